/**
 * Batches of data in every form that users have them in: where they come from, the inputs in them
 * and how many examples. It knows nothing of models or statistics.
 */
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from './options.js';

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

/** The batches of any loader; those of a tf.data Dataset come with a way to dispose them. */
export function iterate<B>(loader: BnLoader<B>): AsyncIterable<{ value: B; dispose: () => void }> {
  if (loader === null || typeof loader !== 'object') {
    return invalid('loader', loader, 'an iterable, an async iterable or a tf.data Dataset');
  }
  if ('iterator' in loader && typeof loader.iterator === 'function') {
    return (async function* () {
      const iterator = await loader.iterator();
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        const { value } = next;
        yield { value, dispose: () => tf.dispose(value as tf.TensorContainer) };
      }
    })();
  }
  if (!(Symbol.iterator in loader || Symbol.asyncIterator in loader)) {
    return invalid('loader', loader, 'an iterable, an async iterable or a tf.data Dataset');
  }
  return (async function* () {
    for await (const value of loader) yield { value, dispose: () => {} };
  })();
}

/**
 * The inputs of a batch.
 *
 * @throws Error for a batch of no known form.
 */
export function inputsOf(batch: unknown): BnInput {
  const input: unknown = Array.isArray(batch)
    ? (batch as unknown[])[0]
    : batch !== null && typeof batch === 'object' && 'xs' in batch
      ? batch.xs
      : batch;
  if (input instanceof tf.Tensor) return input;
  const all = input !== null && typeof input === 'object' ? Object.values(input) : [];
  if (all.length > 0 && all.every((tensor) => tensor instanceof tf.Tensor)) return input as BnInput;
  throw new Error('updateBn: a batch is a tensor, an array [input, ...] or an object {xs}');
}

/** Examples in a batch: the length of the first axis of its first input. */
export function sizeOf(batch: unknown): number {
  const inputs = inputsOf(batch);
  const list: tf.Tensor[] = inputs instanceof tf.Tensor ? [inputs] : Object.values(inputs);
  const first = list[0]!;
  if (first.rank === 0) throw new Error('updateBn: the input of a batch is a scalar');
  return first.shape[0];
}
