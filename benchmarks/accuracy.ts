/**
 * `npm run bench:accuracy`: what SWA buys against baselines that are tuned; `--help` tells the options. The
 * command line, the order of the runs, the checkpoint and the files; it knows nothing of how a net is
 * trained or methods are compared.
 */
import * as tf from '@tensorflow/tfjs-core';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { loadStateDict, saveStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { usage } from '../examples/demo/checkpoint.js';
import { fail, folder, integer, readArguments, UsageError } from '../examples/demo/options.js';
import { writeFiles } from '../examples/demo/output.js';
import { startProgress } from '../examples/demo/progress.js';
import { loadImages } from '../examples/demo/read_images.js';
import {
  choose,
  compare,
  finalRuns,
  tableOf,
  tuningRuns,
  type Comparison,
} from './accuracy/comparison.js';
import {
  BACKENDS,
  experimentsOf,
  splitOf,
  titleOf,
  tuningOf,
  type Net,
} from './accuracy/experiments.js';
import { execute, type Outcome, type Run, type RunState } from './accuracy/run.js';
import { NODE_BACKENDS, startBackend } from './backends.js';
import { machine, machineText } from './machine.js';

const HELP = `Usage: npm run bench:accuracy -- [options]

Trains small nets with batch normalization on small Fashion-MNIST images, with and without wrong
labels, by SGD that decays to zero, follows a cosine or is stopped early, by EMA and by SWA. Each is
tuned on validation images with seeds of its own, then compared on test images over others. Takes
over three hours of one core.

  --seeds N    how many seeds                           (2 to 100, default 10; 2 with --quick)
  --net NAME   dense, on wasm, or conv, on tfjs-node    (default both)
  --quick      tiny nets and few images, to see that it runs
  --out DIR    folder for accuracy.json                 (default reports/bench)
  --help       this text

After every epoch the run is saved in DIR/accuracy.checkpoint. Stopped by Ctrl-C or kill and started
with the same command again, it goes on there and ends with the same numbers. What is finished stays
in that file, also for other options, and is not run again; remove it to begin anew.
`;

interface Options {
  seeds: number;
  nets: Net[];
  quick: boolean;
  out: string;
}

/** How far all is: what was finished, and the run that is being trained. */
interface State {
  kind: typeof KIND;
  /** By {@link keyOf}. */
  finished: Record<string, Outcome>;
  current: { key: string; state: RunState } | null;
}

/** The last figure grows when the state's fields or what is run change. */
const KIND = 'tfjs-swa accuracy 1';

let stopProgress = () => {};
let saving: Promise<unknown> = Promise.resolve();

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(HELP);
  else await benchmark(options);
} catch (error) {
  stopProgress();
  process.exitCode = error instanceof UsageError ? 2 : 1;
  // Uncaught, it would have the wasm backend throw it again and Node print all of that file.
  console.error(error instanceof UsageError ? `accuracy: ${error.message}` : error);
}

function parseOptions(args: readonly string[]): Options | 'help' {
  const values = readArguments(args, {
    seeds: { type: 'string' },
    net: { type: 'string' },
    quick: { type: 'boolean', default: false },
    out: { type: 'string', default: path.join('reports', 'bench') },
    help: { type: 'boolean', default: false },
  });
  const { quick, net } = values;
  if (values.help) return 'help';
  return {
    quick,
    seeds: integer('seeds', values.seeds ?? (quick ? '2' : '10'), 2, 100),
    nets: net === undefined ? availableNets() : [checkedNet(net)],
    out: folder('out', values.out),
  };
}

function checkedNet(name: string): Net {
  if (!Object.hasOwn(BACKENDS, name)) fail('net', name, 'dense or conv');
  const net = name as Net;
  if (!isAvailable(net)) fail('net', name, 'dense, or first: npm run node-gpu');
  return net;
}

function availableNets(): Net[] {
  const nets = Object.keys(BACKENDS) as Net[];
  const there = nets.filter(isAvailable);
  if (there.length < nets.length) {
    console.error('Notice: without conv, for tfjs-node is not built (npm run node-gpu)');
  }
  return there;
}

function isAvailable(net: Net): boolean {
  return NODE_BACKENDS.includes(BACKENDS[net]);
}

async function benchmark({ seeds: count, nets, quick, out }: Options): Promise<void> {
  const checkpoint = path.join(out, 'accuracy.checkpoint');
  const state = await load(checkpoint);
  stopOn('SIGINT', 130, checkpoint);
  stopOn('SIGTERM', 143, checkpoint);
  // One thread, so that the numbers are the same on any number of cores.
  process.env['TF_NUM_INTRAOP_THREADS'] = process.env['TF_NUM_INTEROP_THREADS'] = '1';
  tf.enableProdMode();
  const before = machine();
  console.log(`${machineText(before)}; ${count} seeds\n`);
  const all = await loadImages();
  const seeds = Array.from({ length: count }, (_, i) => i + 1);
  const outcomes = (run: Run): Outcome => state.finished[keyOf(run)]!;
  const save = (): Promise<void> => {
    const handler = fileSystem(checkpoint, { createFolder: true });
    const saved = usage(saveStateDict(handler, state));
    saving = saved;
    return saved;
  };

  /** Executes what is not finished. */
  async function finish(title: string, runs: readonly Run[]): Promise<void> {
    const left = runs.filter((run) => !outcomes(run));
    if (left.length === 0) return;
    await startBackend(BACKENDS[left[0]!.experiment.net]);
    console.error(title);
    const epochsOf = (some: readonly Run[]): number =>
      some.reduce((sum, { experiment }) => sum + experiment.epochs, 0);
    let [trained, toTrain] = [0, epochsOf(left)];
    const progress = startProgress(epochsOf(runs), epochsOf(runs) - toTrain);
    stopProgress = () => progress.stop();
    const started = performance.now();
    for (const run of left) {
      const { schedule, rate, seed, experiment } = run;
      const key = keyOf(run);
      const from = state.current?.key === key ? state.current.state : null;
      const epochsBefore = from?.epoch ?? 0;
      if (from) progress.advance(epochsBefore, `resumed after epoch ${epochsBefore}`);
      toTrain -= epochsBefore;
      const outcome = await execute({
        run,
        images: splitOf(experiment, seed, all),
        from,
        onEpoch: async (epoch, _loss, current) => {
          state.current = { key, state: await current() };
          await save();
          trained += 1;
          const seconds = (performance.now() - started) / 1000;
          const minutes = Math.ceil(((seconds / trained) * (toTrain - trained)) / 60);
          progress.advance(
            1,
            `run ${runs.indexOf(run) + 1}/${runs.length}: ${schedule} ${rate}, seed ${seed}, ` +
              `epoch ${epoch}/${experiment.epochs}, ${minutes} min left`,
          );
        },
      });
      state.finished[key] = outcome;
      state.current = null;
      await save();
    }
    progress.stop();
  }

  const comparisons: Comparison[] = [];
  for (const experiment of experimentsOf(nets, quick)) {
    const tuning = tuningOf(experiment.net, quick);
    await finish(`${titleOf(experiment)}: tuning`, tuningRuns(experiment, tuning));
    const choices = choose(experiment, tuning, outcomes);
    await finish(`${titleOf(experiment)}: test`, finalRuns(experiment, choices, seeds));
    comparisons.push(compare(experiment, tuning, seeds, outcomes));
    // What there is after each, for the next one may take long.
    const results = {
      command: commandOf({ seeds: count, nets, quick, out }),
      machine: before,
      tfjs: tf.version_core,
      backends: BACKENDS,
      loadAfter: machine().load,
      comparisons,
    };
    writeFiles(out, { 'accuracy.json': `${JSON.stringify(results, null, 1)}\n` });
  }
  console.log(tableOf(comparisons));
  console.log(`\n${path.join(out, 'accuracy.json')}; load at the end ${machine().load}`);
}

/** All that a run's numbers depend on. */
function keyOf(run: Run): string {
  return JSON.stringify(run);
}

/** What the file holds, or a new state; what a run has given before is not asked for again. */
async function load(file: string): Promise<State> {
  if (!existsSync(file)) return { kind: KIND, finished: {}, current: null };
  const state = await usage(loadStateDict<Partial<State> | null>(fileSystem(file)));
  if (state?.kind !== KIND) {
    throw new UsageError(`${file} is no checkpoint of this benchmark (expected ${KIND})`);
  }
  return state as State;
}

/** Ends at a signal, after a save that is under way. */
function stopOn(signal: NodeJS.Signals, code: number, checkpoint: string): void {
  const stop = () => {
    stopProgress();
    console.error(`\nStopped by ${signal}; the same command goes on from ${checkpoint}.`);
    process.exit(code);
  };
  // Not once: a terminal and npm may both send it, and the second would end the save half-way.
  process.on(signal, () => void saving.then(stop, stop));
}

/** The command that makes the same numbers. */
function commandOf({ seeds, nets, quick }: Options): string {
  const [net, ...others] = nets;
  const parts = [
    ...(quick ? ['--quick'] : []),
    `--seeds ${seeds}`,
    ...(others.length === 0 ? [`--net ${net}`] : []),
  ];
  return `npm run bench:accuracy -- ${parts.join(' ')}`;
}
