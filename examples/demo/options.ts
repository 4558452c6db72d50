/** What the command line asks for, checked. It knows nothing of training or files' contents. */
import { accessSync, constants, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { METHODS, type Method } from './method.js';

/** The backends that the demo runs on. */
export type BackendName = 'wasm' | 'cpu';

/** The options of the demo, all given. */
export interface DemoOptions {
  /** How many runs, with the seeds 1, 2, ...; an integer >= 1. */
  seeds: number;
  /** Epochs of a run, even, >= 2; SGD's rate decays in the second half. */
  epochs: number;
  /** Units of each hidden layer, >= 1. */
  width: number;
  /** Fraction of the training labels that are drawn at random, 0 to 1. */
  noise: number;
  /** How to average, and at which rate. */
  method: Method;
  /** Points of the error plane along its longer side, >= 3. */
  grid: number;
  backend: BackendName;
  /** Folder for the pictures and results.json. */
  out: string;
  /** Where to keep how far the run is; missing: nowhere. */
  checkpoint?: string;
}

/** Something that the user can mend, on the command line say; the message is one line. */
export class UsageError extends Error {}

const DEFAULTS = {
  seeds: '3',
  epochs: '30',
  width: '64',
  noise: '0.2',
  method: 'swa',
  grid: '21',
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
  --grid N        points along the error plane           (3 to 100, default ${DEFAULTS.grid})
  --backend NAME  wasm or cpu                            (default ${DEFAULTS.backend})
  --out DIR       folder for pictures and results.json   (default ${DEFAULTS.out})
  --checkpoint FILE  keep there how far the run is, see below
  --help          this text

Methods:
  swa             the rate stays constant; an equal average of every step, whose start is chosen
                  on 500 images that are not trained on, when training is over
  ema             the rate stays constant; an exponential moving average over the second half
  cyclic          the rate falls in cycles in the second half; an equal average, where one ends

With --checkpoint FILE the run is saved after every epoch. Stopped by Ctrl-C or kill and started with
the same command again, it goes on after the last saved epoch and ends with the same numbers as a
run that was never stopped. FILE stays when the run is done: the same command then shows the result
at once; remove FILE to begin anew. It belongs to one run: started with other options (but for
--out) or on another backend the demo says which differ, and stops.
`;

/**
 * Reads the options.
 *
 * @param args The command line without the program's name.
 * @returns The options, or `'help'` if that is what was asked for.
 * @throws UsageError that names the option, the rule and the value.
 */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const values = readDemoArguments(args);
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
    grid: integer('grid', values.grid, 3, 100),
    backend,
    out: folder('out', values.out),
    ...(values.checkpoint !== undefined && { checkpoint: file('checkpoint', values.checkpoint) }),
  };
}

/** The command that makes the same results, with every option that they depend on spelt out. */
export function commandOf({ checkpoint: _, ...options }: DemoOptions): string {
  const parts = Object.entries(options).map(([name, value]) => `--${name} ${quote(String(value))}`);
  return `npm run demo -- ${parts.join(' ')}`;
}

function readDemoArguments(args: readonly string[]) {
  const text = (name: keyof typeof DEFAULTS) =>
    ({ type: 'string', default: DEFAULTS[name] }) as const;
  return readArguments(args, {
    seeds: text('seeds'),
    epochs: text('epochs'),
    width: text('width'),
    noise: text('noise'),
    method: text('method'),
    grid: text('grid'),
    backend: text('backend'),
    out: text('out'),
    checkpoint: { type: 'string' },
    help: { type: 'boolean', default: false },
  });
}

/**
 * The values of options, as texts.
 *
 * @throws UsageError in one line.
 */
export function readArguments<T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: joinNegative(args), options }).values;
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

/** An integer in a range, a multiple of `step`. */
export function integer(name: string, text: string, least: number, most: number, step = 1): number {
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
export function folder(name: string, place: string): string {
  if (place === '' || place.includes('\0')) fail(name, place, 'the name of a folder');
  checkFolder(name, place, path.resolve(place), 'a folder');
  return place;
}

/** A file that is there and can be written to, or can be made. */
function file(name: string, place: string): string {
  if (place === '' || place.includes('\0')) fail(name, place, 'the name of a file');
  const stats = statOf(place);
  if (stats?.isDirectory()) fail(name, place, 'a file, but it is a folder');
  if (stats) checkAccess(name, place, place, 'a file');
  checkFolder(name, place, path.dirname(path.resolve(place)), 'a file');
  return place;
}

/** Checks that a folder is there and can be written to, or can be made. */
function checkFolder(name: string, value: string, place: string, what: string): void {
  let nearest = place;
  for (;;) {
    const stats = statOf(nearest);
    if (stats?.isDirectory()) break;
    const part = nearest === path.resolve(value) ? 'it' : 'a part of it';
    if (stats) fail(name, value, `${what}, but ${part} is a file`);
    nearest = path.dirname(nearest);
  }
  checkAccess(name, value, nearest, what);
}

function checkAccess(name: string, value: string, place: string, what: string): void {
  try {
    accessSync(place, constants.W_OK);
  } catch {
    fail(name, value, `${what} that can be written to`);
  }
}

function statOf(place: string): Stats | null {
  try {
    return statSync(place);
  } catch {
    return null; // not there, or below a file
  }
}

/** Refuses an option's value. */
export function fail(name: string, value: string, rule: string): never {
  throw new UsageError(`Invalid --${name}: ${JSON.stringify(value)} (expected ${rule})`);
}

function quote(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
