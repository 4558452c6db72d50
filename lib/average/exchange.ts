/**
 * Exchanges the contents of two variables, and knows which variables hold others' values for the
 * time being, so that no two holders mix them up. It knows nothing of averages or groups.
 */
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

/** Who has swapped other values into a variable, of which there is one at most. */
const holders = new WeakMap<tf.Variable, object>();

/**
 * Refuses what would take values for weights that are none.
 *
 * @param action What was to be done: `step`.
 * @param holder Who asks; what it swapped itself is for it to know.
 * @throws Error that names the first variable into which another has swapped its values.
 */
export function checkNotHeld(
  variables: readonly tf.Variable[],
  action: string,
  holder?: object,
): void {
  for (const variable of variables) {
    const other = holders.get(variable);
    if (other === undefined || other === holder) continue;
    throw new Error(
      `Cannot ${action}: variable ${variable.name} holds the averages of another wrapper; ` +
        'swap that one back first, or dispose of it',
    );
  }
}

/** Notes who has swapped its values into variables, or with `null` that they are back. */
export function setHolder(variables: readonly tf.Variable[], holder: object | null): void {
  for (const variable of variables) {
    if (holder) holders.set(variable, holder);
    else holders.delete(variable);
  }
}
