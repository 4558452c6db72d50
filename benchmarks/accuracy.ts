/**
 * `npm run bench:accuracy`: what SWA buys against baselines that are tuned; `--help` tells the options. The
 * command line, the order of the runs, the checkpoint and the files; it knows nothing of how a net is
 * trained or methods are compared.
 */
import * as tf from '@tensorflow/tfjs-core';
import path from 'node:path';
import 'tfjs-swa/wasm-conv-gradient';
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
  experimentsOf,
  seedsOf,
  splitOf,
  titleOf,
  tuningOf,
  type Net,
} from './accuracy/experiments.js';
import { Finished } from './accuracy/finished.js';
import { execute, type Run } from './accuracy/run.js';
import { NODE_BACKENDS, startBackend } from './backends.js';
import { machine, machineText } from './machine.js';

const HELP = `Usage: npm run bench:accuracy -- [options]

Trains small nets with batch normalization on small Fashion-MNIST images, with and without wrong
labels, for a short and a long budget: SGD that decays to zero or follows a cosine, SWA, EMA,
ScheduleFree and Lookahead. Each is tuned on validation images with seeds of its own, then compared
on test images over others. Takes some hours of one core, on tfjs-node if it is built (npm run
node-gpu), else on wasm.

  --seeds N    how many seeds     (2 to 100, default 10, 6 at the long budget, 2 with --quick)
  --net NAME   dense or conv                            (default both)
  --quick      tiny nets and few images, to see that it runs
  --out DIR    folder for accuracy.json                 (default reports/bench)
  --help       this text

What is finished stands in DIR/accuracy.runs.jsonl, a run a line, and is not run again, also for
other options: stopped by Ctrl-C or kill and started with the same command, it goes on with the run
that it was in and ends with the same numbers. Remove that file to begin anew. DIR/weights has the
weights that bench:uncertainty looks at.
`;

interface Options {
  /** `null`: as many as each experiment has by default. */
  seeds: number | null;
  nets: Net[];
  quick: boolean;
  out: string;
}

const NETS: readonly Net[] = ['dense', 'conv'];

let stopProgress = () => {};

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
    seeds: values.seeds === undefined ? (quick ? 2 : null) : integer('seeds', values.seeds, 2, 100),
    nets: net === undefined ? [...NETS] : [checkedNet(net)],
    out: folder('out', values.out),
  };
}

function checkedNet(name: string): Net {
  return NETS.find((net) => net === name) ?? fail('net', name, 'dense or conv');
}

async function benchmark({ seeds: count, nets, quick, out }: Options): Promise<void> {
  const finished = await Finished.load(out);
  stopOn('SIGINT', 130);
  stopOn('SIGTERM', 143);
  // One thread, so that the numbers are the same on any number of cores.
  process.env['TF_NUM_INTRAOP_THREADS'] = process.env['TF_NUM_INTEROP_THREADS'] = '1';
  tf.enableProdMode();
  const backend = NODE_BACKENDS.includes('tensorflow') ? 'tensorflow' : 'wasm';
  await startBackend(backend);
  const before = machine();
  console.log(`${machineText(before)}; ${backend}\n`);
  const all = await loadImages();

  /** Executes what is not finished. */
  async function finish(title: string, runs: readonly Run[]): Promise<void> {
    const left = runs.filter((run) => !finished.has(run));
    if (left.length === 0) return;
    console.error(title);
    const progress = startProgress(runs.length, runs.length - left.length);
    stopProgress = () => progress.stop();
    const started = performance.now();
    for (const [i, run] of left.entries()) {
      const images = splitOf(run.experiment, run.seed, all);
      const { outcome, kept } = await execute({ run, images });
      await finished.add(run, outcome, kept);
      const minutes = ((performance.now() - started) / 60e3 / (i + 1)) * (left.length - i - 1);
      const what = `${run.way} ${run.rate}, seed ${run.seed}`;
      progress.advance(1, `${what}, ${Math.ceil(minutes)} min left`);
    }
    progress.stop();
  }

  const comparisons: Comparison[] = [];
  for (const experiment of experimentsOf(nets, quick)) {
    const tuning = tuningOf(experiment.net, quick);
    const length = count ?? seedsOf(experiment);
    const seeds = Array.from({ length }, (_, i) => i + 1);
    await finish(`${titleOf(experiment)}: tuning`, tuningRuns(experiment, tuning));
    const choices = choose(experiment, tuning, finished.outcome);
    await finish(`${titleOf(experiment)}: test`, finalRuns(experiment, choices, seeds));
    comparisons.push(compare(experiment, tuning, seeds, finished.outcome));
    // What there is after each, for the next one may take long.
    const results = {
      command: commandOf({ seeds: count, nets, quick, out }),
      machine: before,
      tfjs: tf.version_core,
      backend,
      loadAfter: machine().load,
      comparisons,
    };
    writeFiles(out, { 'accuracy.json': `${JSON.stringify(results, null, 1)}\n` });
  }
  console.log(tableOf(comparisons));
  console.log(`\n${path.join(out, 'accuracy.json')}; load at the end ${machine().load}`);
}

/** Ends at a signal; the run that it is in is lost. */
function stopOn(signal: NodeJS.Signals, code: number): void {
  process.on(signal, () => {
    stopProgress();
    console.error(`\nStopped by ${signal}; the same command goes on with the run that it was in.`);
    process.exit(code);
  });
}

/** The command that makes the same numbers. */
function commandOf({ seeds, nets, quick }: Options): string {
  const [net, ...others] = nets;
  const parts = [
    ...(quick ? ['--quick'] : []),
    ...(seeds === null ? [] : [`--seeds ${seeds}`]),
    ...(others.length === 0 ? [`--net ${net}`] : []),
  ];
  return ['npm run bench:accuracy', ...(parts.length > 0 ? ['--', ...parts] : [])].join(' ');
}
