/**
 * Averaging functions and the running averages that they make. It knows nothing of optimizers,
 * groups or steps, and of backends only that they may have a fused kernel (kernels/contract.ts).
 */
import * as tf from '@tensorflow/tfjs-core';
import { AVERAGE, type Update } from './kernels/contract.js';
import { checkKeys, checkNumber, invalid } from './options.js';
import { isTensor, kindOf } from './tensor_data.js';

/**
 * Makes the next average of a parameter: `averaged` holds `numAveraged` (>= 1) values so far and
 * `current` is the next one, of the same shape. A pure function: it may return a new tensor or one
 * that it was handed, and disposes neither. The first value is copied without asking it.
 */
export type AvgFn = (averaged: tf.Tensor, current: tf.Tensor, numAveraged: number) => tf.Tensor;

/** What the averaging functions of this file carry, and a caller's own do not. */
const BUILT_IN = Symbol('tfjs-swa averaging function');

/** An {@link AvgFn} of the form `averaged + (current - averaged) * weight(numAveraged)`. */
interface BuiltIn extends AvgFn {
  readonly [BUILT_IN]: {
    weight(numAveraged: number): number;
    /** The arguments of {@link emaAvgFn}, or `null` for the equal average. */
    readonly ema: EmaConfig | null;
  };
}

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
  return weighted((numAveraged) => 1 / (numAveraged + 1), null);
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
  const decayAt = (n: number) => (warmup ? Math.min(decay, (1 + n) / (10 + n)) : decay);
  return weighted((n) => 1 - decayAt(n), { decay, warmup });
}

function weighted(weight: (numAveraged: number) => number, ema: EmaConfig | null): BuiltIn {
  const avgFn: AvgFn = (averaged, current, numAveraged) =>
    tf.tidy(() => tf.add(averaged, tf.mul(tf.sub(current, averaged), weight(numAveraged))));
  return Object.assign(avgFn, { [BUILT_IN]: { weight, ema } });
}

/**
 * An averaging function as plain data: the arguments of {@link emaAvgFn}, `null` for the equal
 * average, or `undefined` for a caller's own, which plain data cannot hold.
 */
export function avgFnConfig(avgFn: AvgFn): EmaConfig | null | undefined {
  return (avgFn as Partial<BuiltIn>)[BUILT_IN]?.ema;
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
): void {
  if (BUILT_IN in avgFn) {
    const weight = (avgFn as BuiltIn)[BUILT_IN].weight(numAveraged);
    const fused = fusedUpdate(weight);
    buffers.forEach((buffer, i) => {
      const value = values[i]!;
      if (fused?.(buffer, value)) return;
      tf.tidy(() => buffer.assign(tf.add(buffer, tf.mul(tf.sub(value, buffer), weight))));
    });
    return;
  }
  tf.tidy(() => {
    const averages = buffers.map((buffer, i) => {
      const average: unknown = avgFn(buffer, values[i]!, numAveraged);
      checkAverage(average, values[i]!);
      return average;
    });
    buffers.forEach((buffer, i) => {
      // Assigning a variable its own data would free it (tfjs-core 4.22, tensor.ts, `assign`).
      if (averages[i]!.dataId !== buffer.dataId) buffer.assign(averages[i]!);
    });
  });
}

function checkAverage(average: unknown, value: tf.Variable): asserts average is tf.Tensor {
  const { name } = value;
  if (!isTensor(average)) return invalid(`result of avgFn for ${name}`, average, 'a tensor');
  const [got, wanted] = [kindOf(average), kindOf(value)];
  if (got !== wanted) throw new Error(`avgFn returned ${got} for ${name}, not ${wanted}`);
}

/** Refuses an option `avgFn` that is no function. */
export function checkAvgFn(avgFn: unknown): asserts avgFn is AvgFn {
  if (typeof avgFn !== 'function') invalid('avgFn', avgFn, 'a function');
}
