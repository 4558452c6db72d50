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
import { isLayer, layersOf } from './layers.js';
import { checkInteger, checkKeys, invalid } from './options.js';
import { isTensor } from './tensor_data.js';

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

/** A moving statistic: a variable, or tfjs-layers' LayerVariable around one. */
type Statistic = tf.Variable | { read(): tf.Variable };

/** A batch-normalization layer, tfjs-layers' or the caller's own. */
interface BnLayer {
  movingMean: Statistic;
  movingVariance: Statistic;
  /** The fraction of the old statistic that a training pass keeps (tfjs's sense). */
  momentum: number;
  name?: string;
  trainable?: boolean;
  call?: (inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean }) => unknown;
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
 *   the first axis. Batches of a Dataset are disposed, others stay the caller's.
 * @param model A tfjs-layers model, whose BatchNormalization layers are found however deeply they
 *   are nested, or any object whose `batchNormLayers()` lists objects with `movingMean`,
 *   `movingVariance` and `momentum`. Layers with `trainable` false keep their statistics. Without
 *   any layer to update the loader is not read.
 * @throws Error for an empty loader or a batch of no known form, and whatever the loader or the
 *   model throws; the statistics are then as they were.
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
  const layers = findBnLayers(model);
  if (layers.every(({ frozen }) => frozen)) return;

  const watches: Watch[] = [];
  const passes: Pass[] = [];
  let examples = 0;
  let done = false;
  try {
    for (const { layer, frozen } of layers) watches.push(watch(layer, frozen, passes));
    let batch = 0;
    for await (const value of batchesOf(loader)) {
      const size = forward ? sizeOf(value) : listOf(inputsOf(value))[0]!.shape[0];
      if (size > 0) {
        for (const { before } of watches) before();
        runForward(forward ?? defaultForward, model, value);
        for (const { after } of watches) after(size);
        for (const add of await Promise.all(passes.map(({ read }) => read))) add();
        tf.dispose(passes.splice(0).map(({ held }) => held));
      }
      examples += size;
      batch += 1;
      await onBatch?.({ batch, examples });
      if (batch >= maxBatches) break;
    }
    if (examples === 0) throw new Error('updateBn: the loader gave no examples');
    done = true;
  } finally {
    // Not awaited: a GPU that was lost never answers.
    for (const { held, read } of passes) {
      read.catch(() => {});
      tf.dispose(held);
    }
    for (const { end } of watches) end(done);
  }
}

/** One pass through a layer. */
interface Pass {
  /**
   * The statistics that it left: WebGPU cannot finish reading what was disposed meanwhile (tfjs
   * 4.22, `convertAndCacheOnCPU`).
   */
  held: tf.Tensor[];
  /** Puts them into the pool, once they are here. */
  read: Promise<() => void>;
}

/** A layer under re-estimation. */
interface Watch {
  /** Called before the model runs on a batch. */
  before: () => void;
  /** Called after it. */
  after: (examples: number) => void;
  /** The layer gets what was pooled if all went well, else back what it had. */
  end: (done: boolean) => void;
}

/**
 * Puts a layer under re-estimation. A tfjs layer reports each of its passes: one that is shared, or
 * under TimeDistributed, passes several times for one batch and leaves only the last statistics.
 */
function watch(layer: BnLayer, frozen: boolean, passes: Pass[]): Watch {
  const moving = [layer.movingMean, layer.movingVariance].map((s) => ('read' in s ? s.read() : s));
  const assign = (values: tf.Tensor[]) => moving.forEach((s, i) => s.assign(values[i]!));
  const copies = () => moving.map((s) => tf.keep(tf.clone(s)));
  const saved = copies();
  const zeros = moving.map((s) => tf.keep(tf.zerosLike(s)));
  const { momentum, call } = layer;
  const hasOwnCall = Object.hasOwn(layer, 'call');

  // The pool, in float64: values a channel, their mean, and their squared deviations from it.
  let count = 0;
  const mean = new Float64Array(saved[0]!.size);
  const squares = mean.slice();
  const pass = (added: number): void => {
    // Chan et al. 1979, eq. 2.1.
    const addTo = ([means, variances]: ArrayLike<number>[]): void => {
      const total = count + added;
      for (let i = 0; i < mean.length && added > 0; i++) {
        const delta = means![i]! - mean[i]!;
        mean[i]! += (delta * added) / total;
        squares[i]! += variances![i]! * added + (delta * delta * count * added) / total;
      }
      count = total;
    };
    const held = copies();
    const read = Promise.all(held.map((s) => s.data())).then((values) => () => addTo(values));
    passes.push({ held, read });
  };
  // A layer computes `old - (old - new) * (1 - momentum)`, which is `new` exactly only for an old
  // value and a momentum of 0 (tfjs-layers 4.22, normalization.ts).
  layer.momentum = 0;
  const own = !frozen && !isLayersBn(layer);
  let emptied: object | undefined;
  if (!frozen && !own) {
    layer.call = function (inputs, kwargs) {
      // In inference a layer needs the statistics that it has.
      if (!kwargs?.training) return call!.call(this, inputs, kwargs);
      const input = listOf(inputs)[0]!;
      // Of no values WebGL and WebGPU cannot take the mean (0 / 0 elements in tfjs 4.22's Mean).
      if (input.size === 0) return tf.clone(input);
      assign(zeros);
      const output = call!.call(this, inputs, kwargs);
      pass(input.size / mean.length);
      return output;
    };
  }

  return {
    before() {
      if (own) assign(zeros);
      emptied = moving[0]!.dataId;
    },
    after(examples) {
      if (own && moving[0]!.dataId !== emptied) pass(examples);
    },
    end(done) {
      layer.momentum = momentum;
      if (hasOwnCall) layer.call = call!;
      else delete layer.call;
      const pooled = [mean, squares.map((sum) => sum / count)];
      tf.tidy(() =>
        assign(
          saved.map((old, i) =>
            done && count > 0 ? tf.tensor(Float32Array.from(pooled[i]!), old.shape) : old,
          ),
        ),
      );
      tf.dispose([saved, zeros]);
    },
  };
}

function defaultForward(model: unknown, batch: unknown): void {
  const { apply, inputNames = [] } = model as {
    apply?: (x: BnInput, kwargs: { training: boolean }) => unknown;
    inputNames?: string[];
  };
  if (!apply) return invalid('model', model, 'one with apply(), or the option forward');
  const inputs = inputsOf(batch);
  // By name in the model's order; a Sequential knows no name before its first use.
  const byName = !isTensor(inputs) && !Array.isArray(inputs) && inputNames.length > 0;
  const list = byName
    ? inputNames.map(
        (name) =>
          (inputs as Record<string, tf.Tensor>)[name] ??
          invalid(`input ${name} of a batch`, undefined, 'a tensor'),
      )
    : listOf(inputs);
  apply.call(model, isTensor(inputs) ? inputs : list, { training: true });
}

function runForward<M, B>(forward: (model: M, batch: B) => unknown, model: M, batch: B): void {
  tf.tidy(() => {
    const output = forward(model, batch);
    if (output instanceof Promise) {
      output.catch(() => {});
      throw new Error('updateBn: forward must not be asynchronous');
    }
  });
}

function isLayersBn(value: unknown): boolean {
  return isLayer(value) && value.getClassName() === 'BatchNormalization';
}

/** The batch-normalization layers of a model: those that it lists, else those of tfjs-layers. */
function findBnLayers(model: unknown): { layer: BnLayer; frozen: boolean }[] {
  if (Object(model) !== model) invalid('model', model, 'a model with batch-normalization layers');
  const { batchNormLayers } = model as { batchNormLayers?: () => Iterable<BnLayer> };
  const found = batchNormLayers
    ? [...new Set(batchNormLayers.call(model))].map((layer) => ({
        layer,
        frozen: layer?.trainable === false,
      }))
    : layersOf(model as object).filter(({ layer }) => isLayersBn(layer));
  for (const { layer } of found) {
    const { movingMean, movingVariance, name } = Object(layer) as Partial<BnLayer>;
    if (movingMean && movingVariance) continue;
    throw new Error(`updateBn: the layer ${name} has no statistics; build the model first`);
  }
  return found as { layer: BnLayer; frozen: boolean }[];
}
