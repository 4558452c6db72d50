/** The command `npm run parallel`: options in, a table and results.json out. See README.md. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { startBackend } from '../demo/backend.js';
import { UsageError } from '../demo/options.js';
import { writeFiles } from '../demo/output.js';
import { loadImages } from '../demo/read_images.js';
import type { RunTask } from './coordinator.js';
import { HELP, parseOptions, type ParallelOptions } from './options.js';
import { leftOutLines, mergedText, tableOf } from './report.js';
import { runAll, type RunResult } from './session.js';

/** Asked to stop; with the number of the signal. */
class Stopped extends Error {
  constructor(readonly signal: number) {
    super('Stopped; the same command goes on where it was.');
  }
}

const stop = new AbortController();
process.on('SIGINT', () => stop.abort(new Stopped(2)));
process.on('SIGTERM', () => stop.abort(new Stopped(15)));

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(HELP);
  else process.exitCode = await run(options);
} catch (error) {
  const known = error instanceof UsageError || error instanceof Stopped;
  process.stderr.write(`${known ? error.message : (error as Error).stack}\n`);
  process.exitCode = error instanceof Stopped ? 128 + error.signal : known ? 2 : 1;
}
process.exit();

/** Returns the exit code. */
async function run(options: ParallelOptions): Promise<number> {
  const { train, test } = await loadImages();
  await startBackend('wasm', (line) => process.stderr.write(`${line}\n`));
  const onNews = (line: string) => process.stderr.write(`${line}\n`);
  const task = { options, train, test, onNews, signal: stop.signal, killed: null };
  const { out } = options;
  return options.kill ? compare(task) : show(await runAll({ ...task, out }), options);
}

function show(result: RunResult, options: ParallelOptions): number {
  const { seeds, killed } = result;
  writeFiles(options.out, {
    'results.json': `${JSON.stringify({ options, ...result }, null, 1)}\n`,
  });
  say(tableOf(seeds, options), ...leftOutLines(seeds), '');
  say(`${mergedText(seeds)}, ${killed} killed; every number is in ${options.out}/results.json`);
  return 0;
}

/** The first seed twice, the second time with a worker killed. */
async function compare(task: Omit<RunTask, 'queue' | 'out'>): Promise<number> {
  const options = { ...task.options, seeds: 1 };
  const inFolder = async (name: string, killed: string | null): Promise<RunResult> => {
    const out = path.join(options.out, name);
    rmSync(out, { recursive: true, force: true }); // it is to show all of it
    return runAll({ ...task, options, out, killed });
  };
  const unbroken = await inFolder('unbroken', null);
  const killed = await inFolder('killed', `seed1-round1-worker${Math.min(2, options.workers)}`);
  const [before, after] = [unbroken.seeds[0]!, killed.seeds[0]!];
  const equal = before.digest === after.digest && before.merged.average === after.merged.average;
  say(tableOf([after], options), ...leftOutLines([after]), '');
  say(`merged weights, SHA-256: unbroken ${before.digest}, killed ${after.digest}`);
  say(
    `${mergedText([after])}, ${killed.killed} killed, ` +
      `${equal ? 'equal to' : 'DIFFERENT from'} the unbroken run`,
  );
  return equal ? 0 : 1;
}

function say(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}
