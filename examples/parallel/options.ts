/** What the command line asks for, checked. It knows nothing of training or queues. */
import { availableParallelism } from 'node:os';
import { folder, integer, readArguments } from '../demo/options.js';

/** The options, all given. */
export interface ParallelOptions {
  /** How many workers train from one start. */
  workers: number;
  /** How many processes train at a time. */
  concurrency: number;
  /** Epochs that come before, by one worker. */
  start: number;
  /** Epochs of each worker in a round. */
  epochs: number;
  /** How often the workers train and are merged. */
  rounds: number;
  /** How many runs, with the seeds 1, 2, ... */
  seeds: number;
  /** Training images. */
  images: number;
  /** Whether each worker has images of its own, the k-th k shares, instead of all. */
  split: boolean;
  /** Whether to show that a killed worker changes nothing. */
  kill: boolean;
  out: string;
}

const CORES = availableParallelism();
const FULL = { workers: '8', start: '10', epochs: '2', rounds: '1', seeds: '3', images: '4000' };
const QUICK = { ...FULL, workers: '3', start: '1', seeds: '1', images: '640' };
const OUT = 'demo-output/parallel';

export const HELP = `Usage: npm run parallel -- [options]

Trains a net on Fashion-MNIST to a start, goes on from there with several workers, each with a data
order of its own, in processes of their own that take jobs from a BullMQ queue in Redis, and merges
their averages. Needs redis-server, and starts one for itself.

  --workers K      workers that go on from the start       (1 to 1000, default ${FULL.workers})
  --concurrency C  processes that train at a time          (1 to 64, default the processors: ${CORES})
  --start N        epochs before, by one worker            (1 to 1000, default ${FULL.start})
  --epochs N       epochs of each worker in a round        (1 to 1000, default ${FULL.epochs})
  --rounds R       merge and go on from there, R times     (1 to 100, default ${FULL.rounds})
  --seeds N        runs, with the seeds 1 to N             (1 to 100, default ${FULL.seeds})
  --images N       training images                         (64 to 4000, default ${FULL.images})
  --split          each worker has images of its own, the k-th worker k shares of them
  --quick          a run of seconds: ${['workers', 'start', 'seeds', 'images'].map((name) => `${name} ${QUICK[name as keyof typeof QUICK]}`).join(', ')}
  --kill           the first seed alone, twice, once with a worker killed in the middle of an epoch,
                   and whether both end the same, bit for bit
  --out DIR        folder for all that is kept             (default ${OUT})
  --help           this text

Stopped by Ctrl-C or kill, and started with the same command again, it goes on where it was. The last
round merges the workers' averages, those before it their last weights, as local SGD does; each worker
counts by its number of images.
`;

/**
 * Reads the options.
 *
 * @throws UsageError that names the option, the rule and the value.
 */
export function parseOptions(args: readonly string[]): ParallelOptions | 'help' {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const given = readArguments(args, {
    ...{ workers: text, concurrency: text, start: text, epochs: text, rounds: text, seeds: text },
    ...{ images: text, out: text, split: flag, quick: flag, kill: flag, help: flag },
  });
  if (given.help) return 'help';
  const { split, kill, quick } = given;
  const defaults = quick ? QUICK : FULL;
  const number = (name: keyof typeof FULL, least: number, most: number): number =>
    integer(name, given[name] ?? defaults[name], least, most);
  const workers = number('workers', 1, 1000);
  const epochs = number('epochs', kill ? 2 : 1, 1000); // killed after the first checkpoint
  return {
    ...{ workers, epochs, split, kill },
    concurrency: integer('concurrency', given.concurrency ?? `${CORES}`, 1, 64),
    start: number('start', 1, 1000),
    rounds: number('rounds', 1, 100),
    seeds: number('seeds', 1, 100),
    images: number('images', Math.max(64, split ? 64 * workers : 0), 4000),
    out: folder('out', given.out ?? OUT),
  };
}
