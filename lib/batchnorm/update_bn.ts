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
import { isLayer, layersOf } from '../model/layers.js';
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
  /** Of tfjs-layers' own: where the channels are, and what runs it. */
  axis?: number;
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
 *   any layer to update the loader is not read. Until the end tfjs's layers stay as they are, the
 *   other objects have momentum 0 and statistics without meaning.
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
  const layers = findBnLayers(model);
  if (layers.every(({ frozen }) => frozen)) return;

  for (const { layer } of layers) {
    if (busy.has(layer))
      throw new Error(`updateBn: the layer ${layer.name} is being updated already`);
  }
  const watches: Watch[] = [];
  const passes: Pass[] = [];
  let examples = 0;
  let done = false;
  try {
    for (const { layer, frozen } of layers) {
      busy.add(layer);
      watches.push((isLayersBn(layer) ? watchLayer : watchOwn)(layer, frozen, passes));
    }
    let batch = 0;
    for await (const value of batchesOf(loader)) {
      const size = forward ? sizeOf(value) : listOf(inputsOf(value))[0]!.shape[0];
      if (size > 0) {
        runForward(forward ?? defaultForward, model, value);
        for (const { after } of watches) after?.(size);
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
    done = true;
  } finally {
    tf.dispose(passes.map(({ left }) => left));
    for (const { layer } of layers) busy.delete(layer);
    for (const { end } of watches) end(done);
  }
}

/** The layers under re-estimation. */
const busy = new WeakSet<BnLayer>();

/** One pass through a layer. */
interface Pass {
  /** The statistics that it left, mean and variance; kept until they are read. */
  left: tf.Tensor[];
  /** Puts them into the pool. */
  add: (read: ArrayLike<number>[]) => void;
}

/** A layer under re-estimation. */
interface Watch {
  /** Called after the model ran on a batch. */
  after?: (examples: number) => void;
  /** The layer gets what was pooled if all went well, and is else as it was. */
  end: (done: boolean) => void;
}

/** The statistics of all that passed through a layer, in float64. */
interface Pool {
  /** Takes a pass of so many values a channel, by the statistics that it left. */
  take: (added: number, left: readonly tf.Tensor[]) => void;
  /** Gives the layer's statistics their values, if anything passed. */
  write: () => void;
}

function poolOf(moving: readonly tf.Variable[], passes: Pass[]): Pool {
  const { size, shape } = moving[0]!;
  let count = 0;
  const mean = new Float64Array(size);
  const squares = mean.slice(); // of the deviations from it
  return {
    take(added, left) {
      // Chan et al. 1979, eq. 2.1.
      const add = ([means, variances]: ArrayLike<number>[]): void => {
        const total = count + added;
        for (let i = 0; i < size; i++) {
          const delta = means![i]! - mean[i]!;
          mean[i]! += (delta * added) / total;
          squares[i]! += variances![i]! * added + (delta * delta * count * added) / total;
        }
        count = total;
      };
      passes.push({ left: left.map(tf.keep), add });
    },
    write() {
      if (count === 0) return;
      const pooled = [mean, squares.map((sum) => sum / count)];
      tf.tidy(() =>
        assign(
          moving,
          pooled.map((values) => tf.tensor(Float32Array.from(values), shape)),
        ),
      );
    },
  };
}

/**
 * Puts a layer of tfjs-layers under re-estimation: the statistics of each of its passes are taken
 * here, and the layer is lent them, to normalize by them as in training. One that is shared, or under
 * TimeDistributed, passes several times a batch.
 */
function watchLayer(layer: BnLayer, frozen: boolean, passes: Pass[]): Watch {
  const { axis, movingMean, movingVariance, call } = layer;
  const hasOwnCall = Object.hasOwn(layer, 'call');
  const pool = poolOf(movingOf(layer), passes);
  layer.call = function (inputs, kwargs) {
    if (!kwargs?.training) return call!.call(this, inputs, kwargs);
    const input = listOf(inputs)[0]!;
    // Of no values WebGL and WebGPU cannot take the mean (0 / 0 elements in tfjs 4.22's Mean).
    if (input.size === 0) return tf.clone(input);
    const axes = [...input.shape.keys()];
    axes.splice(axis!, 1);
    const { mean, variance } = tf.moments(input, axes);
    if (!frozen) pool.take(input.size / mean.size, [mean, variance]);
    Object.assign(layer, {
      movingMean: { read: () => mean },
      movingVariance: { read: () => variance },
    });
    try {
      // Told that it trains, it would take the statistics once more, and fold them into its own.
      return call!.call(this, inputs, { ...kwargs, training: false });
    } finally {
      Object.assign(layer, { movingMean, movingVariance });
    }
  };
  return {
    end(done) {
      if (hasOwnCall) layer.call = call!;
      else delete layer.call;
      if (done) pool.write();
    },
  };
}

/** Puts a layer of the caller's own under re-estimation: what each batch leaves is taken. */
function watchOwn(layer: BnLayer, frozen: boolean, passes: Pass[]): Watch {
  const { momentum } = layer;
  const moving = movingOf(layer);
  const pool = poolOf(moving, passes);
  const saved = moving.map((s) => tf.keep(tf.clone(s)));
  const zeros = moving.map((s) => tf.keep(tf.zerosLike(s)));
  layer.momentum = 0;
  if (!frozen) assign(moving, zeros);
  return {
    after(examples) {
      if (frozen || moving[0]!.dataId === zeros[0]!.dataId) return;
      pool.take(examples, moving.map(tf.clone));
      assign(moving, zeros);
    },
    end(done) {
      layer.momentum = momentum;
      assign(moving, saved);
      if (done) pool.write();
      tf.dispose([saved, zeros]);
    },
  };
}

/** The variables of a layer's statistics, mean and variance. */
function movingOf({ movingMean, movingVariance }: BnLayer): tf.Variable[] {
  return [movingMean, movingVariance].map((s) => ('read' in s ? s.read() : s));
}

/** Gives variables other values, of their shape. */
function assign(variables: readonly tf.Variable[], values: readonly tf.Tensor[]): void {
  variables.forEach((variable, i) => variable.assign(values[i]!));
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
