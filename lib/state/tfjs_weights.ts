/**
 * A wrapper's state as the named tensors that tfjs saves with a model (`getWeights`), and back. It
 * knows nothing of how a state is checked or put in place.
 */
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../check.js';
import { mapState, type LiveState, type StateOf, type SWAStateDict } from './state_dict.js';
import { alias, hostData, isVariable, toTensor, type NamedTensor } from './tensor_data.js';

/** The first weight: the tree of the state, in JSON, as the bytes of its text in UTF-8. */
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
  const tree = await mapState(live, (entry): Leaf => {
    const weight = tensors.length;
    const tensor = lend('tensor' in entry ? entry.tensor : toTensor(entry), lent);
    tensors.push({ name: `${TREE}/${weight}`, tensor });
    return { name: entry.name, weight };
  });
  const bytes = new TextEncoder().encode(
    // As in state_tree.ts, numbers that JSON does not have.
    JSON.stringify(tree, (_, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? { $: String(value) } : value,
    ),
  );
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
  const tree = JSON.parse(new TextDecoder().decode(bytes), (_, value: unknown) => {
    const { $: number } = Object(value) as { $?: string };
    return /^(NaN|-?Infinity)$/.test(String(number)) ? Number(number) : value;
  }) as StateOf<Leaf>;
  const state = await mapState(tree, ({ name, weight }) => ({ ...tensors[weight]!, name }));
  return state as SWAStateDict;
}

/** What stands for a tensor in the tree. */
interface Leaf {
  name: string;
  weight: number;
}
