/**
 * A wrapper's state as the named tensors that tfjs saves with a model (`getWeights`), and back. It
 * knows nothing of how a state is checked or put in place.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { StateEntry } from '../optimizer/base_optimizer.js';
import { invalid } from '../check.js';
import type { LiveState, SWAStateDict } from './state_dict.js';
import { hostData, toTensor, type NamedTensor, type TensorData } from './tensor_data.js';

/**
 * The weights of a state: `swa`, a string of JSON, and `swa/0`, `swa/1`, ..., the tensors that it
 * refers to. What is a tensor in the state is passed on, the rest is made anew.
 */
export async function toWeights(state: LiveState): Promise<NamedTensor[]> {
  const opt_state: LiveState['opt_state'] = {};
  for (const [g, entries] of Object.entries(state.opt_state)) opt_state[g] = await entries;
  const tensors: NamedTensor[] = [];
  const json = JSON.stringify({ ...state, opt_state }, (_, value: StateEntry) => {
    const { name, tensor, shape } = Object(value) as Partial<NamedTensor & TensorData>;
    if (!tensor && !shape) return value;
    const weight = tensors.length;
    tensors.push({ name: `swa/${weight}`, tensor: tensor ?? toTensor(value as never) });
    return { name, weight };
  });
  return [{ name: 'swa', tensor: tf.scalar(json, 'string') }, ...tensors];
}

/**
 * The state dict that {@link toWeights} made the weights of.
 *
 * @throws Error if the weights are not those of an SWA.
 */
export async function fromWeights(weights: readonly NamedTensor[]): Promise<SWAStateDict> {
  const [first, ...others] = weights;
  if (first?.name !== 'swa') return invalid('weights', weights, "an SWA's own");
  const [json] = (await first.tensor.data()) as unknown as [string];
  const tensors = await Promise.all(others.map(({ name, tensor }) => hostData(name, tensor)));
  return JSON.parse(json, (key, value: { name: string; weight?: number } | number | null) => {
    const { name, weight } = Object(value) as { name: string; weight?: number };
    if (weight !== undefined) return { ...tensors[weight], name };
    // JSON has no NaN: it writes the rate of an optimizer that shows none as null.
    return key === 'lr' ? (value ?? NaN) : value;
  }) as SWAStateDict;
}
