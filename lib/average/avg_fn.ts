/**
 * Averaging functions: how the average so far and the next value make the next average. It knows
 * neither what holds averages nor how they are updated fast.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkKeys, checkNumber, invalid } from '../check.js';

/**
 * Makes the next average of a parameter: `averaged` holds `numAveraged` (>= 1) values so far and
 * `current` is the next one, of the same shape. A pure function: it may return a new tensor or one
 * that it was handed, and disposes neither. The first value is copied without asking it.
 */
export type AvgFn = (averaged: tf.Tensor, current: tf.Tensor, numAveraged: number) => tf.Tensor;

/** An {@link emaAvgFn} as plain data. */
export interface EmaConfig {
  readonly decay: number;
  readonly warmup: boolean;
}

/** What is known of an averaging function that was made here, and not of a caller's own. */
export interface AvgFnFacts {
  /** The new average is `averaged + (current - averaged) * weight(numAveraged)`; else anything. */
  readonly weight?: (numAveraged: number) => number;
  /** The arguments of {@link emaAvgFn}, `null` for the equal average, absent if it has no such. */
  readonly config?: EmaConfig | null;
  /** Keeps out what is not finite (finite.ts). */
  readonly guard?: AverageGuard;
}

/** Says whether a group's averages may be replaced. */
export interface AverageGuard {
  /** The averaging function that is guarded. */
  readonly avgFn: AvgFn;
  /**
   * Moves averages towards values by `moveTowards`, where no value is so large that an average
   * between two of them could overflow, or NaN; else false, and nothing has changed.
   */
  moves(averages: readonly tf.Variable[], values: readonly tf.Tensor[], weight: number): boolean;
  /** Whether new averages, after `numAveraged` values, may be put in place; it may also throw. */
  accepts(averages: readonly tf.Tensor[], numAveraged: number): boolean;
}

const facts = new WeakMap<AvgFn, AvgFnFacts>();

/** What is known of an averaging function; nothing of a caller's own. */
export const factsOf = (avgFn: AvgFn): AvgFnFacts => facts.get(avgFn) ?? {};

/** Has {@link factsOf} know an averaging function. */
export function withFacts(avgFn: AvgFn, known: AvgFnFacts): AvgFn {
  facts.set(avgFn, known);
  return avgFn;
}

/**
 * The equal average of all values: `averaged + (current - averaged) / (numAveraged + 1)` (Izmailov
 * et al. 2018, arXiv 1803.05407, Algorithm 1). The default of `SWA` and `AveragedModel`.
 *
 * @example
 * const average = swaAvgFn();
 * average(tf.scalar(1), tf.scalar(5), 3).print(); // 1 + (5 - 1) / 4 = 2
 */
export function swaAvgFn(): AvgFn {
  return weighted((n) => 1 / (n + 1), null);
}

/**
 * The exponential moving average: `decay * averaged + (1 - decay) * current`, formed as
 * `averaged + (current - averaged) * (1 - decay)`. It starts from the first value, so it has no
 * bias towards zero, but with a high decay it forgets that value slowly; with `warmup` the decay is
 * `min(decay, (1 + n) / (10 + n))`, n being `numAveraged`, as in TensorFlow's
 * `tf.train.ExponentialMovingAverage(decay, num_updates)`: 2/11 at the second value, 0.5 at n = 8.
 *
 * @param decay The fraction of the average that is kept, in [0, 1]; default 0.999. Or `{halfLife}`:
 *   after how many updates a value counts half, > 0; the decay is `2 ** (-1 / halfLife)`.
 * @param options `warmup`: start with a low decay; default false.
 * @throws Error `Invalid decay: ...` out of [0, 1], `Invalid halfLife: ...` if it is not above 0.
 *
 * @example
 * const average = emaAvgFn(0.75);
 * average(tf.scalar(8), tf.scalar(4), 1).print(); // 0.75 * 8 + 0.25 * 4 = 7
 * emaAvgFn({ halfLife: 1 })(tf.scalar(8), tf.scalar(4), 1).print(); // decay 0.5: 6
 */
export function emaAvgFn(
  decay: number | { halfLife: number } = 0.999,
  options: { warmup?: boolean } = {},
): AvgFn {
  checkKeys(options, ['warmup']);
  const { warmup = false } = options;
  return emaOf({ decay: decayOf(decay), warmup });
}

function decayOf(decay: unknown): number {
  if (typeof decay !== 'object' || decay === null) return decay as number; // for emaOf to check
  checkKeys(decay, ['halfLife'], 'property of decay');
  const { halfLife } = decay as { halfLife?: unknown };
  return 2 ** (-1 / checkNumber('halfLife', halfLife, Number.MIN_VALUE, 'a finite number > 0'));
}

/**
 * An {@link emaAvgFn} made of its configuration.
 *
 * @throws Error if that makes no sense.
 */
export function emaOf({ decay, warmup = false }: Partial<EmaConfig>): AvgFn {
  const range = 'a number in [0, 1]';
  const kept = checkNumber('decay', decay, 0, range);
  if (kept > 1) invalid('decay', decay, range);
  if (typeof warmup !== 'boolean') invalid('warmup', warmup, 'a boolean');
  // Its keys in one order: states compare configurations by their text.
  const config = { decay: kept, warmup };
  return weighted((n) => 1 - (warmup ? Math.min(kept, (1 + n) / (10 + n)) : kept), config);
}

/**
 * An average of the caller's own weights: `averaged + (current - averaged) * weight(numAveraged)`.
 * `weight` is asked once an update, with the number of values so far (>= 1), and says how much of the
 * way to the new value the average goes: 0 leaves it, 1 copies the value.
 *
 * @throws Error `Invalid weight: ...` if `weight` is no function; when averaging, `Invalid weight(3):
 *   NaN (expected a finite number)`, before anything has changed.
 *
 * @example
 * // An EMA whose window grows with training: decays 0.37, 0.52, 0.60, ...
 * const average = weightedAvgFn((n) => (1 + n) ** (-2 / 3));
 * average(tf.scalar(8), tf.scalar(0), 7).print(); // 8 - 8 / 4 = 6
 */
export function weightedAvgFn(weight: (numAveraged: number) => number): AvgFn {
  if (typeof weight !== 'function') invalid('weight', weight, 'a function');
  return weighted((n) => {
    const value = weight(n);
    return Number.isFinite(value) ? value : invalid(`weight(${n})`, value, 'a finite number');
  });
}

function weighted(weight: (numAveraged: number) => number, config?: EmaConfig | null): AvgFn {
  const avgFn: AvgFn = (averaged, current, n) => between(averaged, current, weight(n));
  return withFacts(avgFn, { weight, ...(config === undefined ? {} : { config }) });
}

/** `from + (to - from) * weight` by plain ops; exactly `from` for a weight of 0, `to` for 1. */
export function between(from: tf.Tensor, to: tf.Tensor, weight: number): tf.Tensor {
  if (weight === 0 || weight === 1) return tf.clone(weight === 0 ? from : to);
  return tf.tidy(() => tf.add(from, tf.mul(tf.sub(to, from), weight)));
}

/**
 * An averaging function as plain data: the arguments of {@link emaAvgFn}, `null` for the equal
 * average, or `undefined` for one with a function of the caller's, which plain data cannot hold.
 */
export function avgFnConfig(avgFn: AvgFn): EmaConfig | null | undefined {
  return factsOf(avgFn).config;
}

/**
 * What kind of average a function makes, for a state to be compared with: `swa`, `ema(decay 0.99)`,
 * `ema(decay 0.99, warmup)`, or `own` for {@link weightedAvgFn} and a caller's own function.
 */
export function avgFnKind(avgFn: AvgFn): string {
  const config = avgFnConfig(avgFn);
  if (config === undefined) return 'own';
  return config ? `ema(decay ${config.decay}${config.warmup ? ', warmup' : ''})` : 'swa';
}

/** Refuses an option `avgFn` that is no function. */
export function checkAvgFn(avgFn: unknown): asserts avgFn is AvgFn {
  if (typeof avgFn !== 'function') invalid('avgFn', avgFn, 'a function');
}
