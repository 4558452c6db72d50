/**
 * Re-estimates the moving statistics of batch normalization, which the averaged weights need. It
 * meets layers, models and datasets by their shape alone and knows nothing of optimizers.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  batchesOf,
  checkLoader,
  inputsOf,
  listOf,
  sizeOf,
  type BnInput,
  type BnLoader,
} from './batches.js';
import { bnLayersOf, type BnLayer } from './layers.js';
import { announceStatistics } from './statistics.js';
import { runWatched, watch, type Pass } from './watch.js';
import { checkInteger, checkKeys, invalid } from '../check.js';
import { isTensor } from '../state/tensor_data.js';

/** Options of {@link updateBn}. */
export interface BnUpdateOptions<M = unknown, B = unknown> {
  /** Called after each batch with the batches and examples so far; awaited. */
  onBatch?: (progress: { batch: number; examples: number }) => unknown;
  /** Stop after so many batches, an integer >= 1; default: all. */
  maxBatches?: number;
  /**
   * Runs the model on a batch in training mode, instead of `model.apply(x, {training: true})`.
   * What it makes is disposed; it must not be asynchronous. The batch may then be anything: its
   * examples are counted by the first axis of the first tensor in it, or the length of a list.
   */
  forward?: (model: M, batch: B) => unknown;
}

/**
 * Re-estimates the moving mean and variance of every batch-normalization layer, by passes in
 * training mode over the data. They become those of all examples that passed, exactly: batches
 * weigh by their size, and the variance `(sum of squared deviations from the overall mean) / n` is
 * pooled in float64, so that it does not depend on how the data was cut. (A layer behind another
 * batch normalization sees, as in training, what that one makes of each batch.) Section 3.2 of
 * Izmailov et al. 2018, arXiv 1803.05407; torch's `torch.optim.swa_utils.update_bn`.
 *
 * @param loader An iterable or async iterable of batches, or a tf.data Dataset. A batch is a
 *   tensor, an array whose first element is the input or inputs, or `{xs}`, with examples along
 *   the first axis. An array of as many tensors as the model has inputs, where it has several, is
 *   the inputs: for two, `[a, b]`, `[[a, b], y]` and `{xs: [a, b]}` are the same, and `[a, b, y]` is
 *   refused; for one, `[x, y]` has the input x. Batches of a Dataset are disposed, others stay the
 *   caller's.
 * @param model A tfjs-layers model, whose BatchNormalization layers are found however deeply they
 *   are nested, or any object whose `batchNormLayers()` lists objects with `movingMean`,
 *   `movingVariance` and `momentum`. Layers with `trainable` false keep their statistics. Without
 *   any layer to update the loader is not read. Until the end all layers are as they were but while
 *   a batch runs through the model: who else trains it meanwhile is not disturbed, and not counted.
 * @throws Error for an empty loader, a batch of no known form or a layer that another call is
 *   updating, and whatever the loader or the model throws; the statistics are then as they were.
 *
 * @example
 * const net = tf.sequential({ layers: [tf.layers.batchNormalization({ inputShape: [1] })] });
 * await updateBn([tf.tensor2d([[1], [2]]), tf.tensor2d([[6]])], net);
 * net.layers[0].getWeights()[2].print(); // 3, the mean of 1, 2 and 6
 */
export async function updateBn<M, B = unknown>(
  loader: BnLoader<B>,
  model: M,
  options: BnUpdateOptions<M, B> = {},
): Promise<void> {
  checkKeys(options, ['onBatch', 'maxBatches', 'forward']);
  const { onBatch, maxBatches = Infinity, forward } = options;
  if (maxBatches !== Infinity) checkInteger('maxBatches', maxBatches, 1);
  checkLoader(loader);
  const found = bnLayersOf(model);
  const layers = found.map(({ layer }) => layer);
  if (found.every(({ frozen }) => frozen)) return;

  for (const layer of layers) {
    if (busy.has(layer))
      throw new Error(`updateBn: the layer ${layer.name} is being updated already`);
  }
  const passes: Pass[] = [];
  let examples = 0;
  try {
    for (const layer of layers) busy.add(layer);
    const watches = found.map((each) => watch(each, passes));
    let batch = 0;
    for await (const value of batchesOf(loader)) {
      const inputs = forward ? null : inputsOf(value, inputCountOf(model));
      const size = inputs ? listOf(inputs)[0]!.shape[0] : sizeOf(value);
      if (size > 0) {
        runWatched(watches, size, () => (inputs ? apply(model, inputs) : forward!(model, value)));
        const read = await Promise.all(
          passes.map(({ left }) => Promise.all(left.map((s) => s.data()))),
        );
        passes.forEach(({ add }, i) => add(read[i]!));
        tf.dispose(passes.splice(0).map(({ left }) => left));
      }
      examples += size;
      batch += 1;
      await onBatch?.({ batch, examples });
      if (batch >= maxBatches) break;
    }
    if (examples === 0) throw new Error('updateBn: the loader gave no examples');
    announceStatistics(model as object, layers);
    for (const { write } of watches) write();
  } finally {
    tf.dispose(passes.map(({ left }) => left));
    for (const layer of layers) busy.delete(layer);
  }
}

/** The layers under re-estimation. */
const busy = new WeakSet<BnLayer>();

/** How many inputs a model of tfjs-layers has; 0 where that is not known. */
function inputCountOf(model: unknown): number {
  const { inputs } = model as { inputs?: unknown };
  return Array.isArray(inputs) ? inputs.length : 0;
}

/** Runs a model on inputs in training mode. */
function apply(model: unknown, inputs: BnInput): unknown {
  const applied = model as {
    apply?: (x: BnInput, kwargs: { training: boolean }) => unknown;
    inputNames?: string[];
  };
  if (!applied.apply) return invalid('model', model, 'one with apply(), or the option forward');
  if (isTensor(inputs)) return applied.apply(inputs, { training: true });
  // By name in the model's order; a Sequential knows no name before its first use.
  const named = inputs as Record<string, tf.Tensor>;
  const names = Array.isArray(inputs) ? [] : (applied.inputNames ?? []);
  const list = names.map(
    (name) => named[name] ?? invalid(`input ${name} of a batch`, undefined, 'a tensor'),
  );
  return applied.apply(names.length > 0 ? list : listOf(inputs), { training: true });
}
