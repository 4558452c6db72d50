/**
 * A wrapper's state as the named tensors that tfjs saves with a model (`getWeights`), and back. It
 * knows nothing of how a state is checked or put in place.
 */
import * as tf from '@tensorflow/tfjs-core';
import { getOptimizerState, type StateEntry } from './optimizer_state.js';
import type { Group } from './param_groups.js';
import { bufferEntries, describeGroups, type SWAStateDict } from './state_dict.js';
import { hostData, toTensor, type NamedTensor, type TensorData } from './tensor_data.js';

/** Name of the first weight: a string, JSON of everything that is not a tensor. */
const INDEX = 'swa/state_dict';

/** What the JSON says of one entry of `opt_state`; `values` only of what is not a tensor. */
interface IndexEntry {
  name: string;
  values?: number[];
}

interface Index {
  opt_state: IndexEntry[][];
  swa_state: number[];
  param_groups: SWAStateDict['param_groups'];
}

/** The state by reference: a JSON string made anew, then the wrapper's own variables. */
export async function toWeights(groups: readonly Group[]): Promise<NamedTensor[]> {
  const entries = await Promise.all(
    groups.map(async ({ optimizer }) => getOptimizerState(optimizer)),
  );
  return asWeights(entries, bufferEntries(groups), describeGroups(groups));
}

/** The same of a state that no group holds yet; every tensor is made anew. */
export function stateToWeights({
  opt_state,
  swa_state,
  param_groups,
}: SWAStateDict): NamedTensor[] {
  const live = (entry: TensorData) =>
    entry.name === 'iterations' ? entry : { name: entry.name, tensor: toTensor(entry) };
  const entries = Object.values(opt_state).map((list) => list.map(live));
  const buffers = Object.entries(swa_state).map(([number, { swa_buffer }]): [number, tf.Tensor] => [
    Number(number),
    toTensor(swa_buffer),
  ]);
  return asWeights(entries, buffers, param_groups);
}

function asWeights(
  entries: StateEntry[][],
  buffers: [number, tf.Tensor][],
  param_groups: SWAStateDict['param_groups'],
): NamedTensor[] {
  const index: Index = {
    opt_state: entries.map((list) =>
      list.map((entry) =>
        'tensor' in entry
          ? { name: entry.name }
          : { name: entry.name, values: Array.from(entry.values) },
      ),
    ),
    swa_state: buffers.map(([number]) => number),
    param_groups,
  };
  return [
    { name: INDEX, tensor: tf.scalar(JSON.stringify(index), 'string') },
    ...entries.flatMap((list, g) =>
      list.flatMap((entry) =>
        'tensor' in entry
          ? [{ name: `swa/opt_state/${g}/${entry.name}`, tensor: entry.tensor }]
          : [],
      ),
    ),
    ...buffers.map(([number, tensor]) => ({ name: `swa/swa_state/${number}`, tensor })),
  ];
}

/**
 * The state dict that {@link toWeights} made the weights of.
 *
 * @throws Error if the weights are not those of an SWA.
 */
export async function fromWeights(weights: readonly NamedTensor[]): Promise<SWAStateDict> {
  const tensors = new Map(weights.map(({ name, tensor }) => [name, tensor]));
  const find = (name: string): tf.Tensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`These are not the weights of an SWA: no ${name}`);
    return tensor;
  };
  const [json] = (await find(INDEX).data()) as unknown as [string];
  const { opt_state, swa_state, param_groups } = JSON.parse(json) as Index;
  const entryData = async (g: number, { name, values }: IndexEntry): Promise<TensorData> =>
    values
      ? { name, dtype: 'int32', shape: [], values: Int32Array.from(values) }
      : hostData(name, find(`swa/opt_state/${g}/${name}`));
  const optimizers = opt_state.map((list, g) =>
    Promise.all(list.map((entry) => entryData(g, entry))),
  );
  const buffers = swa_state.map(async (number) => {
    const swa_buffer = await hostData('swa_buffer', find(`swa/swa_state/${number}`));
    return [number, { swa_buffer }] as const;
  });
  return {
    opt_state: Object.fromEntries((await Promise.all(optimizers)).entries()),
    swa_state: Object.fromEntries(await Promise.all(buffers)),
    // JSON has no NaN: it writes the rate of an optimizer that shows none as null.
    param_groups: param_groups.map((group) => ({ ...group, lr: group.lr ?? NaN })),
  };
}
