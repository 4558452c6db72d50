/**
 * A wrapper's state as the named tensors that tfjs saves with a model (`getWeights`), and back. It
 * knows nothing of how a state is checked or put in place.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LiveState, SWAStateDict } from './state_dict.js';
import { hostData, toTensor, type NamedTensor, type TensorData } from './tensor_data.js';

/**
 * The weights of a state: `swa/param_groups`, a string of JSON; then `swa/opt_state/GROUP/NAME` and
 * `swa/swa_state/PARAMETER`. What is a tensor in the state is passed on, the rest is made anew.
 */
export async function toWeights(state: LiveState): Promise<NamedTensor[]> {
  const { opt_state, swa_state, param_groups } = state;
  const weights = [
    { name: 'swa/param_groups', tensor: tf.scalar(JSON.stringify(param_groups), 'string') },
  ] as NamedTensor[];
  const add = (name: string, entry: NamedTensor | TensorData): void => {
    weights.push({ name, tensor: 'tensor' in entry ? entry.tensor : toTensor(entry) });
  };
  for (const [group, entries] of Object.entries(opt_state)) {
    for (const entry of await entries) add(`swa/opt_state/${group}/${entry.name}`, entry);
  }
  for (const [index, { swa_buffer }] of Object.entries(swa_state)) {
    add(`swa/swa_state/${index}`, swa_buffer);
  }
  return weights;
}

/**
 * The state dict that {@link toWeights} made the weights of.
 *
 * @throws Error if the weights are not those of an SWA.
 */
export async function fromWeights(weights: readonly NamedTensor[]): Promise<SWAStateDict> {
  const [first, ...others] = weights;
  if (first?.name !== 'swa/param_groups') {
    throw new Error(`These are not the weights of an SWA: the first is ${first?.name}`);
  }
  const [json] = (await first.tensor.data()) as unknown as [string];
  const param_groups = JSON.parse(json) as SWAStateDict['param_groups'];
  // JSON has no NaN: it writes the rate of an optimizer that shows none as null.
  for (const group of param_groups) group.lr ??= NaN;
  const opt_state = Object.fromEntries(param_groups.map((_, g) => [g, [] as TensorData[]]));
  const state: SWAStateDict = { opt_state, swa_state: {}, param_groups };
  for (const { name, tensor } of others) {
    const [, part, key, ...rest] = name.split('/');
    const entry = await hostData(rest.join('/') || 'swa_buffer', tensor);
    if (part === 'opt_state') opt_state[key!]?.push(entry);
    else state.swa_state[key!] = { swa_buffer: entry };
  }
  return state;
}
