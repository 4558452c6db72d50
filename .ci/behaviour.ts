/** Which specs run where: those of behaviour, which need no Node, on every backend. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The project's folder. */
export const root = path.dirname(import.meta.dirname);

/** Their paths in {@link root}. */
export function behaviourSpecs(): string[] {
  return readdirSync(path.join(root, 'spec'))
    .filter((name) => name.endsWith('.spec.ts'))
    .map((name) => `spec/${name}`)
    .filter((file) => !readFileSync(path.join(root, file), 'utf8').includes("from 'node:"));
}

/** The specs of what only a browser has. */
export function browserSpecs(): string[] {
  return readdirSync(path.join(root, 'spec/browser_only')).map(
    (name) => `spec/browser_only/${name}`,
  );
}
