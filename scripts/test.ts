/**
 * Runs the specs: all of them in Node on cpu, those of behaviour on each backend of tfjs, and what
 * is said of the page and of tfjs-node-gpu alone. What this machine cannot run is left out, and it
 * says so at the end; with CI=true, or where a suite is asked for by its name, that is a failure.
 *
 *   npm test
 *   npm test -- wasm chromium:webgpu --grep swap
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { behaviourSpecs, root, specsIn } from './behaviour.js';
import { findChromium } from './chromium.js';

interface Suite {
  name: string;
  /** What it runs: a script and its arguments. */
  command: string[];
  backend?: string;
  /** Why it is left out, and how to get it. */
  missing?: string | false;
}

const mocha = (files: string[]): string[] => ['node_modules/mocha/bin/mocha.js', ...files];

const noChromium = !findChromium() && 'no Chromium on the PATH (apt-get install -y chromium)';
const noNodeGpu =
  !existsSync(path.join(root, '.node-gpu/built')) &&
  'tfjs-node-gpu is not built (npm run node-gpu: 0.9 GB, half a minute)';

const pageSpecs = specsIn('spec/page');
const suites: Suite[] = [
  {
    name: 'cpu',
    backend: 'cpu',
    command: mocha([...behaviourSpecs(), ...specsIn('spec/node'), ...specsIn('spec/programs')]),
  },
  { name: 'wasm', backend: 'wasm', command: mocha(behaviourSpecs()) },
  {
    name: 'tensorflow',
    backend: 'tensorflow',
    command: mocha([...behaviourSpecs(), ...specsIn('spec/node_gpu')]),
    missing: noNodeGpu,
  },
  ...['cpu', 'wasm', 'webgl', 'webgpu'].map((backend) => ({
    name: `chromium:${backend}`,
    command: ['--import', 'tsx', 'scripts/browser.ts', backend],
    missing: noChromium,
  })),
  ...(pageSpecs.length > 0
    ? [{ name: 'page', command: mocha(pageSpecs), missing: noChromium }]
    : []),
];

const { positionals: asked, values: options } = parseArgs({
  allowPositionals: true,
  options: { grep: { type: 'string' } },
});
const names = suites.map(({ name }) => name);
const unknown = asked.filter((name) => !names.includes(name));
if (unknown.length > 0)
  throw new Error(`Unknown ${unknown.join(', ')}; there are ${names.join(', ')}`);

const grep = options.grep === undefined ? [] : ['--grep', options.grep];
const strict = asked.length > 0 || process.env['CI'] === 'true';
const report: string[] = [];
let failed = false;
for (const { name, command, backend, missing } of suites) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  if (missing) {
    report.push(`${name}: LEFT OUT, ${missing}`);
    failed ||= strict;
    continue;
  }
  console.log(`\n--- ${name} ---`);
  const start = performance.now();
  const { status } = spawnSync(process.execPath, [...command, ...grep], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...(backend && { BACKEND: backend }) },
  });
  const seconds = Math.round((performance.now() - start) / 1000);
  report.push(`${name}: ${status === 0 ? 'passed' : 'FAILED'} (${seconds} s)`);
  failed ||= status !== 0;
}
console.log(`\n${report.join('\n')}`);
process.exitCode = failed ? 1 : 0;
