/** Moves variables towards values. It knows nothing of what they are. */
import * as tf from '@tensorflow/tfjs-core';

/** `target += (value - target) * weight`: nothing at weight 0, an exact copy at 1. */
export function moveTowards(
  targets: readonly tf.Variable[],
  values: readonly tf.Tensor[],
  weight: number,
): void {
  if (weight === 0) return;
  targets.forEach((target, i) => {
    const value = values[i]!;
    if (target.dataId === value.dataId) return;
    tf.tidy(() =>
      target.assign(weight === 1 ? value : tf.add(target, tf.mul(tf.sub(value, target), weight))),
    );
  });
}
