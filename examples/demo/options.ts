/** What the command line asks for, checked. It knows nothing of training or files' contents. */
import { accessSync, constants, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { METHODS, type Method } from './method.js';

/** The backends that the demo runs on. */
export type BackendName = 'wasm' | 'cpu';

/** The options of the demo, all given. */
export interface DemoOptions {
  /** How many runs, with the seeds 1, 2, ...; an integer >= 1. */
  seeds: number;
  /** Epochs of a run, even, >= 2; the second half is averaged. */
  epochs: number;
  /** Units of each hidden layer, >= 1. */
  width: number;
  /** Fraction of the training labels that are drawn at random, 0 to 1. */
  noise: number;
  /** How to average, and at which rate. */
  method: Method;
  backend: BackendName;
  /** Folder for the pictures and results.json. */
  out: string;
}

/** A mistake on the command line; the message is one line. */
export class UsageError extends Error {}

const DEFAULTS = {
  seeds: '3',
  epochs: '30',
  width: '64',
  noise: '0.2',
  method: 'swa',
  backend: 'wasm',
  out: 'demo-output',
};

export const HELP = `Usage: npm run demo -- [options]

Trains a net with batch normalization on small Fashion-MNIST images with wrong labels among them,
by SGD with a decaying rate and by averaging weights, as Stochastic Weight Averaging (SWA) does or
with an exponential moving average (EMA), and compares them on test images.

  --seeds N       how many runs, with the seeds 1 to N   (1 to 100, default ${DEFAULTS.seeds})
  --epochs N      epochs of a run; an even number        (2 to 1000, default ${DEFAULTS.epochs})
  --width N       units of each hidden layer             (1 to 1024, default ${DEFAULTS.width})
  --noise F       fraction of random training labels     (0 to 1, default ${DEFAULTS.noise})
  --method NAME   swa, ema or cyclic, see below          (default ${DEFAULTS.method})
  --backend NAME  wasm or cpu                            (default ${DEFAULTS.backend})
  --out DIR       folder for pictures and results.json   (default ${DEFAULTS.out})
  --help          this text

Methods, over the second half of the run:
  swa             the rate stays constant; an equal average, once an epoch
  ema             the rate stays constant; an exponential moving average, at every step
  cyclic          the rate falls in cycles; an equal average, where a cycle ends
`;

/**
 * Reads the options.
 *
 * @param args The command line without the program's name.
 * @returns The options, or `'help'` if that is what was asked for.
 * @throws UsageError that names the option, the rule and the value.
 */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const values = readArguments(args);
  if (values.help) return 'help';
  const { backend, method } = values;
  if (!isMethod(method)) fail('method', method, 'swa, ema or cyclic');
  if (backend !== 'wasm' && backend !== 'cpu') fail('backend', backend, 'wasm or cpu');
  return {
    seeds: integer('seeds', values.seeds, 1, 100),
    epochs: integer('epochs', values.epochs, 2, 1000, 2),
    width: integer('width', values.width, 1, 1024),
    noise: fraction('noise', values.noise),
    method,
    backend,
    out: folder(values.out),
  };
}

/** The command that makes the same results, with every option spelt out. */
export function commandOf(options: DemoOptions): string {
  const parts = Object.entries(options).map(([name, value]) => `--${name} ${quote(String(value))}`);
  return `npm run demo -- ${parts.join(' ')}`;
}

function readArguments(args: readonly string[]) {
  const text = (name: keyof typeof DEFAULTS) =>
    ({ type: 'string', default: DEFAULTS[name] }) as const;
  try {
    return parseArgs({
      args: joinNegative(args),
      options: {
        seeds: text('seeds'),
        epochs: text('epochs'),
        width: text('width'),
        noise: text('noise'),
        method: text('method'),
        backend: text('backend'),
        out: text('out'),
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    // Node explains at length, in several lines; the first sentence says what is wrong.
    const [first] = (error as Error).message.split(/\.?\n|\. /);
    throw new UsageError(`${first} (--help lists the options)`);
  }
}

/** `--width -4` as `--width=-4`, so that the rule of the option answers and not that of dashes. */
function joinNegative(args: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined.at(-1);
    if (before?.startsWith('--') && /^-\.?\d/.test(arg)) joined.splice(-1, 1, `${before}=${arg}`);
    else joined.push(arg);
  }
  return joined;
}

function isMethod(name: string): name is Method {
  return (METHODS as readonly string[]).includes(name);
}

function integer(name: string, text: string, least: number, most: number, step = 1): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most && value % step === 0)) {
    fail(name, text, `${step === 2 ? 'an even' : 'an'} integer from ${least} to ${most}`);
  }
  return value;
}

function fraction(name: string, text: string): number {
  const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : NaN;
  if (!(value >= 0 && value <= 1)) fail(name, text, 'a number from 0 to 1');
  return value;
}

/** A folder that is there and can be written to, or can be made. */
function folder(out: string): string {
  if (out === '' || out.includes('\0')) fail('out', out, 'the name of a folder');
  let nearest = path.resolve(out);
  for (;;) {
    const stats = statOf(nearest);
    if (stats?.isDirectory()) break;
    if (stats)
      fail(
        'out',
        out,
        `a folder, but ${nearest === path.resolve(out) ? 'it' : 'a part of it'} is a file`,
      );
    nearest = path.dirname(nearest);
  }
  try {
    accessSync(nearest, constants.W_OK);
  } catch {
    fail('out', out, 'a folder that can be written to');
  }
  return out;
}

function statOf(place: string): Stats | null {
  try {
    return statSync(place);
  } catch {
    return null; // not there, or below a file
  }
}

function fail(name: string, value: string, rule: string): never {
  throw new UsageError(`Invalid --${name}: ${JSON.stringify(value)} (expected ${rule})`);
}

function quote(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
