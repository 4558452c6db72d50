/**
 * The second moment of values beside their running average: how a value is taken in. It knows nothing
 * of weights or samples.
 */
import * as tf from '@tensorflow/tfjs-core';
import { fusedSquares } from './kernels/fused.js';

/**
 * Welford's second moment: `m2 += (value - mean)^2 share`, by the fused kernel of the backend where
 * there is one.
 *
 * @param m2 Sums of squared deviations; nobody else holds their data.
 * @param means The averages before they take the values in.
 * @param share n / (n + 1), n being how many values they hold: `(value - mean) n / (n + 1)` is the
 *   deviation from the average after.
 */
export function addSquares(
  m2: readonly tf.Variable[],
  means: readonly tf.Tensor[],
  values: readonly tf.Tensor[],
  share: number,
): void {
  const fused = fusedSquares(share);
  m2.forEach((sum, i) => {
    const [mean, value] = [means[i]!, values[i]!];
    if (fused?.(sum, mean, value)) return;
    tf.tidy(() => sum.assign(tf.add(sum, tf.mul(tf.squaredDifference(value, mean), share))));
  });
}
