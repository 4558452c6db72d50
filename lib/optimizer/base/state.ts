/**
 * The state of a base optimizer as a list of entries: from tfjs's fields, or by the `getWeights` and
 * `setWeights` of one that keeps its state in its own way. It knows nothing of groups or averages.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { StateEntry } from '../../state/state_dict.js';
import { hostData, toTensor, type NamedTensor, type TensorData } from '../../state/tensor_data.js';
import { keepsOwnState, partsOf, type Part } from './fields.js';

/**
 * The state of an optimizer: `iterations`, and by reference what else it has of {@link partsOf}.
 * Another's own `getWeights()`, as it is.
 *
 * @throws Error if the optimizer keeps its state in its own way and has no `getWeights`.
 */
export function getOptimizerState(
  optimizer: tf.Optimizer,
  params: readonly tf.Variable[],
): StateEntry[] | Promise<NamedTensor[]> {
  if (keepsOwnState(optimizer)) {
    if (optimizer.getWeights === tf.Optimizer.prototype.getWeights) {
      throw new Error(
        `Cannot save the state of the optimizer ${optimizer.getClassName()}: it has no getWeights()`,
      );
    }
    return optimizer.getWeights();
  }
  const [{ name, shape }, ...parts] = partsOf(optimizer, params) as [Part, ...Part[]];
  return [
    { name, dtype: 'int32', shape, values: Int32Array.of(optimizer.iterations) },
    ...parts.flatMap(({ name, tensor }) => (tensor ? { name, tensor } : [])),
  ];
}

/**
 * Hands saved weights to those of the optimizers that keep their state in their own way: to all of
 * them or, if one refuses, to none.
 */
export async function setOwnStates(
  all: readonly (readonly [tf.Optimizer, readonly TensorData[]])[],
): Promise<void> {
  const before: [tf.Optimizer, TensorData[]][] = [];
  try {
    for (const [optimizer, entries] of all) {
      if (!keepsOwnState(optimizer)) continue;
      const held = await getOptimizerState(optimizer, []);
      before.push([optimizer, await Promise.all(held.map(downloadEntry))]);
      await setOwnState(optimizer, entries);
    }
  } catch (error) {
    // One that refused may be changed by half.
    for (const [optimizer, entries] of before)
      await setOwnState(optimizer, entries).catch(() => {});
    throw error;
  }
}

async function setOwnState(optimizer: tf.Optimizer, entries: readonly TensorData[]): Promise<void> {
  const weights = entries.map((entry) => ({ name: entry.name, tensor: toTensor(entry) }));
  try {
    await optimizer.setWeights(weights);
  } finally {
    tf.dispose(weights.map(({ tensor }) => tensor));
  }
}

/** Copies a part of the state to plain data; frees the scalar that `getWeights` makes anew. */
export async function downloadEntry(entry: StateEntry): Promise<TensorData> {
  if (!('tensor' in entry)) return entry;
  const data = await hostData(entry.name, entry.tensor);
  // tfjs-core 4.22, optimizer.ts, `saveIterations`.
  if (entry.name === 'iter' && !(entry.tensor instanceof tf.Variable)) entry.tensor.dispose();
  return data;
}
