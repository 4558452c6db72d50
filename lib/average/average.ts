/**
 * Averaging functions and the running averages that they make. It knows nothing of optimizers,
 * groups or steps, and of backends only that they may have a fused kernel (kernels/contract.ts).
 */
import * as tf from '@tensorflow/tfjs-core';
import { AVERAGE, type Update } from './kernels/contract.js';
import { checkKeys, checkNumber, invalid, shown } from '../check.js';
import { isTensor, kindOf } from '../state/tensor_data.js';

/**
 * Makes the next average of a parameter: `averaged` holds `numAveraged` (>= 1) values so far and
 * `current` is the next one, of the same shape. A pure function: it may return a new tensor or one
 * that it was handed, and disposes neither. The first value is copied without asking it.
 */
export type AvgFn = (averaged: tf.Tensor, current: tf.Tensor, numAveraged: number) => tf.Tensor;

/** A function of the form `averaged + (current - averaged) * weight(numAveraged)`. */
interface Weighted {
  weight(numAveraged: number): number;
  /** The arguments of {@link emaAvgFn}, or `null` for the equal average. */
  readonly ema: EmaConfig | null;
}

/** What is known of the averaging functions of this file, and not of a caller's own. */
const weightedFns = new WeakMap<AvgFn, Weighted>();

/** An {@link emaAvgFn} as plain data. */
export interface EmaConfig {
  readonly decay: number;
  readonly warmup: boolean;
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
  return avgFnOf(null);
}

/**
 * The exponential moving average: `decay * averaged + (1 - decay) * current`, formed as
 * `averaged + (current - averaged) * (1 - decay)`. It starts from the first value, so it has no
 * bias towards zero, but with a high decay it forgets that value slowly; with `warmup` the decay is
 * `min(decay, (1 + n) / (10 + n))`, n being `numAveraged`, as in TensorFlow's
 * `tf.train.ExponentialMovingAverage(decay, num_updates)`: 2/11 at the second value, 0.5 at n = 8.
 *
 * @param decay The fraction of the average that is kept, in [0, 1]; default 0.999.
 * @param options `warmup`: start with a low decay; default false.
 * @throws Error `Invalid decay: ...` out of [0, 1].
 *
 * @example
 * const average = emaAvgFn(0.75);
 * average(tf.scalar(8), tf.scalar(4), 1).print(); // 0.75 * 8 + 0.25 * 4 = 7
 */
export function emaAvgFn(decay = 0.999, options: { warmup?: boolean } = {}): AvgFn {
  checkKeys(options, ['warmup']);
  const { warmup = false } = options;
  if (!(checkNumber('decay', decay, 0, 'a number in [0, 1]') <= 1)) {
    invalid('decay', decay, 'a number in [0, 1]');
  }
  if (typeof warmup !== 'boolean') invalid('warmup', warmup, 'a boolean');
  return avgFnOf({ decay, warmup });
}

/** The averaging function of a configuration, see {@link avgFnConfig}. */
function avgFnOf(ema: EmaConfig | null): AvgFn {
  const weight = (n: number): number => {
    if (!ema) return 1 / (n + 1);
    return 1 - (ema.warmup ? Math.min(ema.decay, (1 + n) / (10 + n)) : ema.decay);
  };
  const avgFn: AvgFn = (averaged, current, n) =>
    tf.tidy(() => tf.add(averaged, tf.mul(tf.sub(current, averaged), weight(n))));
  weightedFns.set(avgFn, { weight, ema });
  return avgFn;
}

/**
 * An averaging function as plain data: the arguments of {@link emaAvgFn}, `null` for the equal
 * average, or `undefined` for a caller's own, which plain data cannot hold.
 */
export function avgFnConfig(avgFn: AvgFn): EmaConfig | null | undefined {
  return weightedFns.get(avgFn)?.ema;
}

/**
 * A buffer that holds the average of one value, `value` itself. It shares the tensor's data until
 * either of the two is assigned to, as everything in tfjs does, so nothing is copied.
 */
export function startAverage(value: tf.Variable): tf.Variable {
  return tf.variable(value, false);
}

/** The fused update of the current backend; nothing where none is registered, or it is refused. */
function fusedUpdate(weight: number): Update | null | undefined {
  const kernel = tf.getKernel(AVERAGE, tf.getBackend())?.kernelFunc as
    ((args: object) => unknown) | undefined;
  return kernel?.({ backend: tf.backend(), attrs: weight }) as Update | null | undefined;
}

/**
 * Takes each of `values` into its buffer. With a function of the caller's all new averages are made
 * before any is put in place, so that one that fails changes nothing.
 *
 * @param numAveraged How many values the buffers hold, >= 1.
 * @throws Error if the function returns no tensor or one of another shape or dtype.
 */
export function updateAverages(
  buffers: readonly tf.Variable[],
  values: readonly tf.Variable[],
  numAveraged: number,
  avgFn: AvgFn,
): boolean {
  const weight = weightedFns.get(avgFn)?.weight(numAveraged);
  if (weight !== undefined) {
    const fused = fusedUpdate(weight);
    buffers.forEach((buffer, i) => {
      const value = values[i]!;
      if (fused?.(buffer, value)) return;
      tf.tidy(() => buffer.assign(tf.add(buffer, tf.mul(tf.sub(value, buffer), weight))));
    });
    return true;
  }
  tf.tidy(() => {
    const averages = buffers.map((buffer, i) => {
      const value = values[i]!;
      const average = avgFn(buffer, value, numAveraged);
      const got = isTensor(average) ? kindOf(average) : shown(average);
      const wanted = kindOf(value);
      if (got === wanted) return average;
      throw new Error(`avgFn returned ${got} for ${value.name}, not ${wanted}`);
    });
    buffers.forEach((buffer, i) => {
      // Assigning a variable its own data would free it (tfjs-core 4.22, tensor.ts, `assign`).
      if (averages[i]!.dataId !== buffer.dataId) buffer.assign(averages[i]!);
    });
  });
  return true;
}

/** Refuses an option `avgFn` that is no function. */
export function checkAvgFn(avgFn: unknown): asserts avgFn is AvgFn {
  if (typeof avgFn !== 'function') invalid('avgFn', avgFn, 'a function');
}

export function avgFnKind(avgFn: AvgFn): string {
  const ema = avgFnConfig(avgFn);
  if (ema === undefined) return 'own';
  return ema ? `ema(decay ${ema.decay}${ema.warmup ? ', warmup' : ''})` : 'swa';
}
