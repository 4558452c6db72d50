#!/usr/bin/env node
/**
 * The command `tfjs-swa`: from its arguments to its exit code, signals too. It knows nothing of how
 * files are averaged.
 */
import path from 'node:path';
import { average, type Summary } from './average.js';
import { info } from './info.js';
import { lastFiles } from './last_files.js';
import { parseCommand, type Request } from './options.js';
import { startProgress } from './progress.js';
import { Refusal } from './refusal.js';
import { mergeStates } from './states.js';
import { isFolder, isModel, MODEL, openSource } from './tensors/open.js';
import type { Output, Source } from './tensors/source.js';
import { counted, printable } from './text.js';

/** Exit codes by signal: 128 and its number. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Names that are shown of many. */
const SHOWN = 10;

/** What has to be undone if a signal ends the command. */
const undo: (() => void)[] = [];

for (const [signal, code] of Object.entries(SIGNALS)) {
  process.on(signal, () => {
    for (const f of undo.reverse()) f();
    process.exit(code);
  });
}
for (const stream of [process.stdout, process.stderr]) {
  // `info FILE | head`: nobody reads on, and it is no mistake.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

try {
  await run(parseCommand(process.argv.slice(2)));
} catch (error) {
  for (const line of (error as Error).message.split('\n')) complain(line);
  process.exitCode = error instanceof Refusal ? 2 : 1;
}

async function run(request: Request): Promise<void> {
  if (request.command === 'help') process.stdout.write(request.text);
  else if (request.command === 'info') await runInfo(request.file);
  else await runAverage(request);
}

async function runInfo(file: string): Promise<void> {
  const source = await openSource(file);
  await source.close();
  process.stdout.write(`${info(source).join('\n')}\n`);
}

async function runAverage(request: Request & { command: 'average' }): Promise<void> {
  const { last, out } = request;
  const files =
    last === undefined ? request.inputs : await lastFiles(request.inputs[0]!, last, out);
  const sources: Source[] = [];
  try {
    for (const file of files) sources.push(await openSource(file));
    const target = await targetOf(out, sources[0]!);
    const what = `${target}: the average of ${counted(files.length, 'file')}`;
    if (sources.some(({ isState }) => isState)) {
      const tensors = await runMerge(sources, target, request.weights);
      say(`${what}, ${counted(tensors, 'tensor')}`);
    } else {
      const weights = request.weights ?? files.map(() => 1);
      say(`${what}, ${textOf(await runTensors(sources, target, weights), files)}`);
    }
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

/** The file that is written, which is called as the first one's form is. */
async function targetOf(out: string, { path: first }: Source): Promise<string> {
  if (!isModel(first)) {
    if (!isModel(out)) return out;
    throw new Refusal(`Invalid --out: ${out} (expected a safetensors file, as ${first} is one)`);
  }
  if (await isFolder(out)) return path.join(out, MODEL);
  if (isModel(out)) return out;
  throw new Refusal(`Invalid --out: ${out} (expected a model.json, as ${first} is one)`);
}

async function runMerge(
  sources: readonly Source[],
  target: string,
  weights: readonly number[] | undefined,
): Promise<number> {
  const other = sources.find(({ isState }) => !isState);
  if (other) {
    throw new Refusal(`${other.path} is no checkpoint of tfjs-swa, and others are`);
  }
  if (weights) throw new Refusal('--weights: checkpoints of tfjs-swa count by their n_avg');
  const paths = sources.map((source) => source.path);
  return mergeStates(paths, target, hold);
}

async function runTensors(
  sources: readonly Source[],
  target: string,
  weights: readonly number[],
): Promise<Summary> {
  const display = await startProgress(process.stderr);
  undo.push(display.stop);
  try {
    return await average(
      sources,
      weights,
      async (first) => {
        const output = await first.create(target);
        hold(output);
        return output;
      },
      display.update,
    );
  } finally {
    display.stop();
  }
}

function hold(output: Output): void {
  undo.push(() => output.discard());
}

function textOf({ averaged, ofLast, ofOptimizer, notFinite }: Summary, files: readonly string[]) {
  if (notFinite.length > 0) {
    const names = notFinite.slice(0, SHOWN).map((name) => JSON.stringify(name));
    if (notFinite.length > SHOWN) names.push('...');
    complain(
      `Warning: NaN or infinity in ${counted(notFinite.length, 'tensor')}: ${names.join(', ')}`,
    );
  }
  return [
    counted(averaged, 'tensor'),
    ofLast > 0 && `${ofLast} of integers as in ${files.at(-1)}`,
    ofOptimizer > 0 && `${ofOptimizer} of the optimizer as in ${files[0]}`,
  ]
    .filter(Boolean)
    .join('; ');
}

function say(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

function complain(text: string): void {
  process.stderr.write(`tfjs-swa: ${printable(text)}\n`);
}
