/**
 * Running averages: variables that hold one, and how a value is taken in. It knows nothing of
 * optimizers, groups or steps, and of backends only that they may have a fused kernel
 * (kernels/fused.ts).
 */
import * as tf from '@tensorflow/tfjs-core';
import { between, factsOf, type AvgFn } from './avg_fn.js';
import { fusedUpdate } from './kernels/fused.js';
import { shown } from '../check.js';
import { isTensor, kindOf } from '../state/tensor_data.js';

/**
 * A buffer that holds the average of one value, `value` itself. It shares the tensor's data until
 * either of the two is assigned to, as everything in tfjs does, so nothing is copied.
 */
export function startAverage(value: tf.Variable): tf.Variable {
  return tf.variable(value, false);
}

/**
 * Averages that hold one value each.
 *
 * @returns `null` where `finiteOnly` skips the values.
 * @throws Error where it refuses them.
 */
export function startAverages(values: readonly tf.Variable[], avgFn: AvgFn): tf.Variable[] | null {
  return mayStart(values, avgFn) ? values.map(startAverage) : null;
}

/**
 * Whether values may be the first ones: false where `finiteOnly` skips them.
 *
 * @throws Error where it refuses them.
 */
export function mayStart(values: readonly tf.Tensor[], avgFn: AvgFn): boolean {
  return factsOf(avgFn).guard?.accepts(values, 0) ?? true;
}

/**
 * Data of averages that a guard has found safe. In place nobody writes there but {@link moveTowards}.
 */
export const safe = new WeakSet();

/**
 * Moves each target towards its value: `target += (value - target) * weight`, by the fused kernel of
 * the backend where there is one. A weight of 0 does nothing, of 1 copies exactly.
 *
 * @param targets float32; what shares their data (clones) keeps its values.
 * @param values Of the targets' shapes; they are neither changed nor disposed of.
 * @param weight A finite number.
 */
export function moveTowards(
  targets: readonly tf.Variable[],
  values: readonly tf.Tensor[],
  weight: number,
): void {
  if (weight === 0) return;
  const fused = weight === 1 ? null : fusedUpdate(weight);
  targets.forEach((target, i) => {
    const value = values[i]!;
    safe.delete(target.dataId);
    if (!fused?.(target, value)) tf.tidy(() => put(target, between(target, value, weight)));
  });
}

/** Assigning a variable its own data would free it (tfjs-core 4.22, tensor.ts, `assign`). */
function put(variable: tf.Variable, value: tf.Tensor): void {
  if (value.dataId !== variable.dataId) variable.assign(value);
}

/**
 * Takes each of `values` into its buffer. With a function of the caller's all new averages are made
 * before any is put in place, so that one that fails changes nothing.
 *
 * @param numAveraged How many values the buffers hold, >= 1.
 * @returns Whether they were taken: false where `finiteOnly` skipped them, and nothing has changed.
 * @throws Error if the function returns no tensor or one of another shape or dtype.
 */
export function updateAverages(
  buffers: readonly tf.Variable[],
  values: readonly tf.Variable[],
  numAveraged: number,
  avgFn: AvgFn,
): boolean {
  const { weight, guard } = factsOf(avgFn);
  const share = weight?.(numAveraged);
  if (share !== undefined) {
    if (guard?.moves(buffers, values, share)) return true;
    if (!guard) {
      moveTowards(buffers, values, share);
      return true;
    }
  }
  const next = (buffer: tf.Tensor, value: tf.Tensor): tf.Tensor =>
    share === undefined
      ? (guard?.avgFn ?? avgFn)(buffer, value, numAveraged)
      : between(buffer, value, share);
  return tf.tidy(() => {
    const averages = buffers.map((buffer, i) => {
      const value = values[i]!;
      const average = next(buffer, value);
      const got = isTensor(average) ? kindOf(average) : shown(average);
      const wanted = kindOf(value);
      if (got === wanted) return average;
      throw new Error(`avgFn returned ${got} for ${value.name}, not ${wanted}`);
    });
    if (guard && !guard.accepts(averages, numAveraged)) return false;
    buffers.forEach((buffer, i) => put(buffer, averages[i]!));
    return true;
  });
}
