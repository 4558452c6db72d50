/** Which specs run where, by the folder in which they lie. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** The project's folder. */
export const root = path.dirname(import.meta.dirname);

/** Folders of `spec` that mirror `lib` and need no Node: their specs run on every backend. */
const BEHAVIOUR = readdirSync(path.join(root, 'lib'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => `spec/${name}`);

/** The specs of a folder, as paths in {@link root}. */
export function specsIn(folder: string): string[] {
  const place = path.join(root, folder);
  if (!existsSync(place)) return [];
  const files = readdirSync(place, { recursive: true, encoding: 'utf8' });
  return files.filter((name) => name.endsWith('.spec.ts')).map((name) => `${folder}/${name}`);
}

/** The specs of behaviour. */
export function behaviourSpecs(): string[] {
  return BEHAVIOUR.flatMap(specsIn);
}

/** The specs of what only a browser has. */
export function browserSpecs(): string[] {
  return specsIn('spec/browser');
}
