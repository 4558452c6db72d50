/**
 * The running average of one variable. It knows nothing of optimizers, groups or steps; a kernel
 * that averages in place belongs in {@link updateAverage}.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * The equal running average of SWA: `averaged + (current - averaged) / (numAveraged + 1)`
 * (Izmailov et al. 2018, arXiv 1803.05407, Algorithm 1).
 *
 * @param averaged The average of `numAveraged` values so far, of any shape.
 * @param current The next value, of the same shape.
 * @param numAveraged How many values `averaged` holds, >= 0.
 * @returns A new tensor of that shape.
 */
export function runningAverage(
  averaged: tf.Tensor,
  current: tf.Tensor,
  numAveraged: number,
): tf.Tensor {
  return tf.tidy(() => tf.add(averaged, tf.mul(tf.sub(current, averaged), 1 / (numAveraged + 1))));
}

/**
 * A buffer that holds the average of one value, `value` itself. It shares the tensor's data until
 * either of the two is assigned to, as everything in tfjs does, so nothing is copied.
 */
export function startAverage(value: tf.Variable): tf.Variable {
  return tf.variable(value, false);
}

/** Takes `value` into `buffer`, the average of `numAveraged` values; leaves no tensor behind. */
export function updateAverage(buffer: tf.Variable, value: tf.Tensor, numAveraged: number): void {
  tf.tidy(() => buffer.assign(runningAverage(buffer, value, numAveraged)));
}
