/**
 * Batches of data in every form that users have them in: where they come from, the inputs in them
 * and how many examples. It knows nothing of models or statistics.
 */
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../check.js';
import { isTensor } from '../state/tensor_data.js';

/** A batch: the input, `[input, ...]`, or `{xs}`; inputs as one tensor, a list, or by name. */
export type BnBatch =
  | tf.Tensor
  | readonly [BnInput, ...unknown[]]
  | { readonly xs: BnInput; readonly [other: string]: unknown };

/** What a model is applied to. */
export type BnInput = tf.Tensor | readonly tf.Tensor[] | Readonly<Record<string, tf.Tensor>>;

/** Where the batches come from: anything that can be iterated, or a tf.data Dataset. */
export type BnLoader<B = BnBatch> =
  | Iterable<B>
  | AsyncIterable<B>
  | { iterator(): Promise<{ next(): Promise<{ value: B; done?: boolean | undefined }> }> };

/** Refuses what cannot be read batch by batch, before anything is read. */
export function checkLoader(loader: unknown, name = 'loader'): void {
  const read = Object(loader) as Record<string | symbol, unknown>;
  const ways = [read['iterator'], read[Symbol.iterator], read[Symbol.asyncIterator]];
  if (typeof loader === 'object' && ways.some((way) => typeof way === 'function')) return;
  invalid(name, loader, 'an iterable, an async iterable or a tf.data Dataset');
}

/** Refuses what cannot be read batch by batch again and again: an iterator. */
export function checkRereadable(loader: unknown, name: string, each: string): void {
  checkLoader(loader, name);
  if (typeof (loader as { next?: unknown }).next !== 'function') return;
  const rule = `what can be read once for every ${each}: a list, a Dataset or an object whose`;
  invalid(name, loader, `${rule} [Symbol.iterator]() begins anew`);
}

/** The batches of any loader; those of a tf.data Dataset are disposed after their turn. */
export async function* batchesOf<B>(loader: BnLoader<B>): AsyncGenerator<B> {
  if (!('iterator' in loader)) {
    yield* loader;
    return;
  }
  const iterator = await loader.iterator();
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    try {
      yield next.value;
    } finally {
      tf.dispose(next.value as tf.TensorContainer);
    }
  }
}

/**
 * The inputs of a batch: one tensor, a list, or by name.
 *
 * @param count How many inputs the model has, 0 if that is not known. With more than one, an array
 *   of just so many tensors is all of them; of any other array the first element counts.
 * @throws Error for a batch of no known form, or with another number of inputs.
 */
export function inputsOf(batch: unknown, count = 0): BnInput {
  const { xs = batch } = Object(batch) as { xs?: unknown };
  const several = Array.isArray(xs) && xs === batch;
  const all = several && count > 1 && xs.length === count && xs.every(isTensor);
  const inputs = (several && !all ? xs[0] : xs) as BnInput;
  const tensors = listOf(inputs);
  if (tensors.length === 0 || !tensors.every((tensor) => isTensor(tensor) && tensor.rank > 0)) {
    invalid('batch', batch, 'a tensor of examples, an array [inputs, ...] or an object {xs}');
  }
  const named = !isTensor(inputs) && !Array.isArray(inputs);
  if (count > 0 && !named && tensors.length !== count) {
    const forms = count > 1 ? ': [a, b], [[a, b], y] or {xs: [a, b]} for two' : '';
    invalid('batch', batch, `the ${count} input${count > 1 ? 's' : ''} of the model${forms}`);
  }
  return inputs;
}

/** The examples in a batch of any form: of its first tensor, else of a list, else one. */
export function sizeOf(batch: unknown): number {
  const parts: unknown[] = [batch, ...(Object.values(Object(batch) as object) as unknown[])].flat();
  const tensor = parts.filter(isTensor).find(({ rank }) => rank > 0);
  return tensor ? tensor.shape[0] : Array.isArray(batch) ? batch.length : 1;
}

/** The tensors of an input. */
export function listOf(inputs: BnInput): tf.Tensor[] {
  return isTensor(inputs) ? [inputs] : Object.values(inputs ?? {});
}
