/** Which specs run where, by the folder in which they lie, and what this machine lacks for that. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { onPath } from '../browsers/programs.js';
import { BROWSERS, type BrowserName } from '../browsers/tab.js';

/** The project's folder. */
export const root = path.join(import.meta.dirname, '../..');

/** Specs that run together, in a process of their own. */
export interface Suite {
  readonly name: string;
  /** The specs, as paths in {@link root}. */
  readonly specs: readonly string[];
  /** The arguments of Node that run some of them. */
  readonly command: (specs: readonly string[]) => string[];
  readonly env?: Record<string, string>;
  /** Why it cannot run here, and how it could. */
  readonly missing?: string | false;
}

/** The specs of a folder. */
export function specsIn(folder: string): string[] {
  const place = path.join(root, folder);
  if (!existsSync(place)) return [];
  const files = readdirSync(place, { recursive: true, encoding: 'utf8' });
  return files.filter((name) => name.endsWith('.spec.ts')).map((name) => `${folder}/${name}`);
}

/** The specs of behaviour, in the folders that mirror `lib`: they need no Node. */
export function behaviourSpecs(): string[] {
  return readdirSync(path.join(root, 'lib'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => specsIn(`spec/${name}`));
}

/** The page in each engine; its other specs run in Chromium alone. */
const ENGINES = 'spec/page/engines.spec.ts';

/** The one program that needs a Redis. */
const PARALLEL = 'spec/programs/parallel.spec.ts';

const mocha = (specs: readonly string[]): string[] => ['node_modules/mocha/bin/mocha.js', ...specs];

/** The library: what `npm test` runs. */
export function librarySuites(): Suite[] {
  return [
    { name: 'cpu', specs: behaviourSpecs(), command: mocha },
    { name: 'wasm', specs: behaviourSpecs(), command: mocha, env: { BACKEND: 'wasm' } },
    { name: 'node', specs: specsIn('spec/node'), command: mocha },
  ];
}

/**
 * All else that a machine can run, what takes long first: the page, the demo and other programs,
 * other backends and browsers.
 */
export function otherSuites(): Suite[] {
  const inBrowser = (browser: BrowserName, backend: string): Suite => ({
    name: `${browser}:${backend}`,
    specs: [...behaviourSpecs(), ...specsIn('spec/browser')],
    command: (specs) => ['--import', 'tsx', 'scripts/tests/browser.ts', browser, backend, ...specs],
    missing: BROWSERS[browser].missing(),
  });
  return [
    {
      name: 'page',
      specs: specsIn('spec/page').filter((file) => file !== ENGINES),
      command: mocha,
      missing: BROWSERS.chromium.missing(),
    },
    {
      name: 'page:engines',
      specs: [ENGINES],
      command: mocha,
      missing:
        BROWSERS.chromium.missing() || BROWSERS.firefox.missing() || BROWSERS.webkit.missing(),
    },
    {
      name: 'programs',
      specs: specsIn('spec/programs').filter((file) => file !== PARALLEL),
      command: mocha,
    },
    {
      name: 'parallel',
      specs: [PARALLEL],
      command: mocha,
      missing:
        !onPath('redis-server') &&
        'redis-server is not on the PATH (apt-get install -y redis-server)',
    },
    {
      name: 'python',
      specs: specsIn('spec/python'),
      command: mocha,
      missing:
        !hasPythonPackages() &&
        'python3 has no safetensors, numpy and torch (pip install all three; or SAFETENSORS_PYTHON names ' +
          'a python that has them)',
    },
    {
      name: 'tensorflow',
      specs: [...behaviourSpecs(), ...specsIn('spec/node_gpu')],
      command: mocha,
      env: { BACKEND: 'tensorflow' },
      missing:
        !existsSync(path.join(root, '.node-gpu/built')) &&
        'tfjs-node-gpu is not built (npm run node-gpu: 0.9 GB, half a minute)',
    },
    ...['webgpu', 'webgl', 'wasm', 'cpu'].map((backend) => inBrowser('chromium', backend)),
    inBrowser('firefox', 'wasm'),
    inBrowser('webkit', 'wasm'),
  ];
}

/** Whether the interpreter of spec/python has what its scripts import. */
function hasPythonPackages(): boolean {
  const python = process.env['SAFETENSORS_PYTHON'] ?? 'python3';
  return spawnSync(python, ['-c', 'import numpy, safetensors.numpy, torch']).status === 0;
}

/** What is random, tried for as long as one likes to wait: 1,000 kills, 1,000,000 inputs. */
export function soak(): Suite {
  const random = /\/(kill|checkpoint_fuzz|checkpoint_damage)\.spec\.ts$/;
  return {
    name: 'soak',
    specs: specsIn('spec/node').filter((file) => random.test(file)),
    command: mocha,
    env: { SOAK: 'true' },
  };
}
