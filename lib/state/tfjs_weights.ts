/**
 * A wrapper's state as the named tensors that tfjs saves with a model (`getWeights`), and back. It
 * knows nothing of how a state is checked or put in place.
 */
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../check.js';
import { mapState, type LiveState, type SWAStateDict } from './state_dict.js';
import { alias, hostData, isVariable, toTensor, type NamedTensor } from './tensor_data.js';
import { fromWord, toWord, type StandIn } from './json_words.js';

/** The first weight: the tree of the state (json_words.ts) as the bytes of its text in UTF-8. */
const TREE = 'swa';

/** Tensors that were lent, and not read yet. */
export type Lent = Set<tf.Tensor>;

/**
 * The weights of a state: `swa`, its tree, and `swa/0`, `swa/1`, ..., the tensors in it. They are of
 * the moment of the call, and each lasts until it has been read once (`data()`), as tf.io reads it.
 *
 * @param lent Takes those that are not read yet.
 */
export async function toWeights(live: LiveState, lent: Lent): Promise<NamedTensor[]> {
  const tensors: NamedTensor[] = [];
  const leaves = new Map<unknown, StandIn>();
  const tree = await mapState(live, (entry) => {
    const name = `${TREE}/${tensors.length}`;
    const tensor = lend('tensor' in entry ? entry.tensor : toTensor(entry), lent);
    leaves.set(entry, { tensor: name, name: entry.name });
    tensors.push({ name, tensor });
    return entry;
  });
  const text = JSON.stringify(tree, (_, value: unknown) => toWord(value, leaves.get(value)));
  const bytes = new TextEncoder().encode(text);
  return [{ name: TREE, tensor: lend(tf.tensor1d(bytes, 'int32'), lent) }, ...tensors];
}

/** A clone that frees itself once it has been read; of a tensor that is nobody's, the tensor too. */
function lend(tensor: tf.Tensor, lent: Lent): tf.Tensor {
  const clone = alias(tensor);
  if (!isVariable(tensor)) tensor.dispose();
  lent.add(clone);
  const read = clone.data.bind(clone) as () => Promise<never>;
  clone.data = async () => {
    try {
      return await read();
    } finally {
      lent.delete(clone);
      clone.dispose();
    }
  };
  return clone;
}

/**
 * The state dict that {@link toWeights} made the weights of.
 *
 * @throws Error if the weights are not those of an SWA.
 */
export async function fromWeights(weights: readonly NamedTensor[]): Promise<SWAStateDict> {
  const [first, ...others] = weights;
  if (first?.name !== TREE) return invalid('weights', weights, "an SWA's own");
  const bytes = Uint8Array.from(await first.tensor.data());
  const tensors = await Promise.all(others.map(({ name, tensor }) => hostData(name, tensor)));
  const leaves = new Map(tensors.map((data) => [data.name, data]));
  const leafOf = (standIn: unknown): unknown => {
    const { tensor, name } = standIn as StandIn;
    return { ...leaves.get(tensor), name };
  };
  const text = new TextDecoder().decode(bytes);
  return JSON.parse(text, (_, value: unknown) => fromWord(value, leafOf)) as SWAStateDict;
}
