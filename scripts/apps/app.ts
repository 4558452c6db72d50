/**
 * An app in a folder of its own, with the package in it as npm packs it and as a user gets it. It
 * knows nothing of what the app does.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const root = path.join(import.meta.dirname, '../..');

/** A tool of this repository. */
export const bin = (name: string): string => path.join(root, 'node_modules', '.bin', name);

/** Packages by name, with the version that this repository has of each. */
export function versionsHere(...names: string[]): Record<string, string> {
  const version = (name: string): string => {
    const text = readFileSync(path.join(root, 'node_modules', name, 'package.json'), 'utf8');
    return (JSON.parse(text) as { version: string }).version;
  };
  return Object.fromEntries(names.map((name) => [name, version(name)]));
}

export interface App {
  readonly folder: string;
  /** The packed package: a file in the folder. */
  readonly tarball: string;
  /** Writes a file, and the folders above it. */
  readonly write: (file: string, text: string) => void;
  /** Says what is done and runs a command in the folder; throws if it fails. */
  readonly run: (what: string, command: string, ...args: string[]) => void;
  /** The same with BACKEND in its environment. */
  readonly runOn: (backend: string, what: string, command: string, ...args: string[]) => void;
  /**
   * Installs the tarball and packages from the registry, versions by name, and nothing else. It is
   * no failure if those of `optional` cannot be had; they are not there then.
   */
  readonly install: (packages: Record<string, string>, optional?: Record<string, string>) => void;
}

/** Puts the package into a folder as npm packs it: PACKED, where that names it, else packed anew. */
function pack(folder: string): string {
  const { PACKED } = process.env;
  if (PACKED) {
    copyFileSync(PACKED, path.join(folder, path.basename(PACKED)));
  } else {
    console.log('- pack');
    execFileSync('npm', ['pack', '--pack-destination', folder], { cwd: root, stdio: 'ignore' });
  }
  const [tarball] = readdirSync(folder);
  if (tarball === undefined) throw new Error('npm pack gave nothing');
  return tarball;
}

/** Makes the app, hands it to `use`, and clears it away. */
export async function inApp(use: (app: App) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));
  try {
    const tarball = pack(folder);

    const write: App['write'] = (file, text) => {
      mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      writeFileSync(path.join(folder, file), text);
    };
    const execute = (what: string, command: string, args: string[], more = {}): void => {
      console.log(`- ${what}`);
      const env = { ...process.env, ...more };
      execFileSync(command, args, { cwd: folder, env, stdio: ['ignore', 'inherit', 'inherit'] });
    };
    const run: App['run'] = (what, command, ...args) => execute(what, command, args);
    const runOn: App['runOn'] = (backend, what, command, ...args) =>
      execute(`${what}, ${backend}`, command, args, { BACKEND: backend });
    const install: App['install'] = (packages, optionalDependencies = {}) => {
      const dependencies = { ...packages, 'tfjs-swa': `file:${tarball}` };
      const manifest = { name: 'app', private: true, dependencies, optionalDependencies };
      write('package.json', JSON.stringify(manifest));
      for (const before of ['node_modules', 'package-lock.json']) {
        rmSync(path.join(folder, before), { recursive: true, force: true });
      }
      run('install', 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund');
    };
    await use({ folder, tarball, write, run, runOn, install });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
