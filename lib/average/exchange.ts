/** Exchanges the contents of two variables. It knows nothing of averages or groups. */
import type * as tf from '@tensorflow/tfjs-core';

/**
 * Exchanges what two variables of one shape and dtype hold. tfjs variables refer to their data by
 * `dataId` (tfjs-core 4.22, tensor.ts, `Variable.assign`), and each of the two data ids keeps the
 * one owner that it had, so exchanging the references is all: no kernel runs, no byte is copied,
 * and no count of tensors, bytes or references changes.
 */
export function exchange(a: tf.Variable, b: tf.Variable): void {
  const held = a.dataId;
  a.dataId = b.dataId;
  b.dataId = held;
}
