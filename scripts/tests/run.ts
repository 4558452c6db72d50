/**
 * Runs the specs of the library on cpu and wasm, or all that this machine can run; as many suites at
 * a time as there are processors. What cannot run here is left out, and it says so at the end; with
 * CI=true, or where a suite or a spec is asked for by its name, that is a failure.
 *
 *   npm test
 *   npm test -- spec/average/average.spec.ts --grep swap
 *   npm test -- tensorflow chromium:webgpu
 *   npm run test:all
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { librarySuites, otherSuites, root, soak, type Suite } from './suites.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    all: { type: 'boolean', default: false },
    /** Names the suites, and runs none. */
    list: { type: 'boolean', default: false },
    grep: { type: 'string' },
  },
});

const isFile = (word: string): boolean => word.endsWith('.ts');
const files = positionals.filter(isFile).map((file) => path.relative(root, path.resolve(file)));
const names = positionals.filter((word) => !isFile(word));

/** The suites that are asked for, each with those of its specs that are. */
function chosen(): Suite[] {
  const library = librarySuites();
  const all = [...library, ...otherSuites(), soak()];
  const unknown = names.filter((name) => !all.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    const known = all.map(({ name }) => name).join(', ');
    throw new Error(`Unknown ${unknown.join(', ')} (expected some of ${known}, or files)`);
  }
  const lost = files.filter((file) => !existsSync(path.join(root, file)));
  if (lost.length > 0) throw new Error(`There is no ${lost.join(', ')}`);

  const named = all.filter(({ name }) => names.includes(name));
  const usual = values.all ? all.filter(({ name }) => name !== 'soak') : library;
  const suites = named.length > 0 ? named : usual;
  if (files.length === 0) return suites;
  const has = (suite: Suite, file: string): boolean => suite.specs.includes(file);
  // A spec of no suite of the library runs wherever it does.
  const elsewhere = files.filter((file) => !suites.some((suite) => has(suite, file)));
  const others = otherSuites().filter((suite) => elsewhere.some((file) => has(suite, file)));
  return [...suites, ...(named.length > 0 ? [] : others)]
    .map((suite) => ({ ...suite, specs: files.filter((file) => has(suite, file)) }))
    .filter(({ specs }) => specs.length > 0);
}

/** Runs one in a process of its own; prints what it says as it comes, or all at the end. */
function run(
  { command, specs, env }: Suite,
  live: boolean,
): Promise<{ ok: boolean; said: string }> {
  const grep = values.grep === undefined ? [] : ['--grep', values.grep];
  const child = spawn(process.execPath, [...command(specs), ...grep], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: live ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ ok: status === 0, said }));
  });
}

const suites = chosen();
if (values.list) {
  for (const { name } of suites) console.log(name);
  process.exit();
}
if (suites.length === 0) throw new Error('None of these specs is in a suite that is asked for');

const strict = positionals.length > 0 || process.env['CI'] === 'true';
const left = suites.filter(({ missing }) => missing);
const waiting = suites.filter(({ missing }) => !missing);
const live = waiting.length === 1;
const report: string[] = [];
let failed = strict && left.length > 0;

/** Takes one suite after another, until none waits. */
async function work(): Promise<void> {
  for (let suite = waiting.shift(); suite; suite = waiting.shift()) {
    const start = performance.now();
    const { ok, said } = await run(suite, live);
    const seconds = Math.round((performance.now() - start) / 1000);
    const line = `${suite.name}: ${ok ? 'passed' : 'FAILED'} (${seconds} s)`;
    console.log(live ? '' : `\n--- ${line} ---\n${said}`);
    report.push(line);
    failed ||= !ok;
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
report.push(...left.map(({ name, missing }) => `${name}: LEFT OUT, ${String(missing)}`));
console.log(report.join('\n'));
process.exitCode = failed ? 1 : 0;
