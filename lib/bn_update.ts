/**
 * Re-estimates the moving statistics of batch normalization, which the averaged weights need. It
 * meets layers, models and datasets by their shape alone and knows nothing of optimizers.
 */
import * as tf from '@tensorflow/tfjs-core';
import { inputsOf, iterate, sizeOf, type BnInput, type BnLoader } from './batches.js';
import { isLayer, layersOf } from './layers.js';
import { invalid } from './options.js';

/** Options of {@link updateBn}. */
export interface BnUpdateOptions<M = unknown, B = unknown> {
  /** Called after each batch with the batches and examples so far; awaited. */
  onBatch?: (progress: { batch: number; examples: number }) => unknown;
  /** Stop after so many batches, an integer >= 1; default: all. */
  maxBatches?: number;
  /**
   * Runs the model on a batch in training mode, instead of `model.apply(x, {training: true})`.
   * What it makes is disposed; it must not be asynchronous.
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
  call?: (inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean }) => unknown;
}

/** Count, mean and sum of squared deviations of a channel-wise sample, in float64. */
interface Pool {
  count: number;
  mean: Float64Array;
  squares: Float64Array;
}

/** A layer under re-estimation, with what is needed to put it back as it was. */
interface Watched {
  layer: BnLayer;
  mean: tf.Variable;
  variance: tf.Variable;
  saved: { mean: tf.Tensor; variance: tf.Tensor; momentum: number };
  zeros: tf.Tensor;
  pool: Pool;
}

/** The statistics of one pass through a layer: `count` values a channel. */
interface Pass {
  pool: Pool;
  count: number;
  mean: tf.Tensor;
  variance: tf.Tensor;
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
  { onBatch, maxBatches = Infinity, forward = defaultForward }: BnUpdateOptions<M, B> = {},
): Promise<void> {
  if (maxBatches !== Infinity && !(Number.isInteger(maxBatches) && maxBatches >= 1)) {
    invalid('maxBatches', maxBatches, 'an integer >= 1');
  }
  const batches = iterate(loader);
  const layers = findBnLayers(model);
  if (layers.every(({ frozen }) => frozen)) return;

  const watched: Watched[] = [];
  const passes: Pass[] = [];
  let release: (() => void)[] = [];
  let done = false;
  try {
    for (const { layer } of layers) watched.push(watch(layer));
    const live = watched.filter((_, i) => !layers[i]!.frozen);
    release = live.map((entry) => intercept(entry, passes));
    let batch = 0;
    let examples = 0;
    for await (const { value, dispose } of batches) {
      try {
        const size = sizeOf(value);
        if (size > 0) {
          const ownLayers = live.filter(({ layer }) => !isLayersBn(layer)).map(resetOwn);
          runForward(forward, model, value);
          for (const { entry, meanId } of ownLayers) {
            if (entry.mean.dataId !== meanId) passes.push(passOf(entry, size));
          }
          await drain(passes);
        }
        examples += size;
      } finally {
        dispose();
      }
      batch += 1;
      await onBatch?.({ batch, examples });
      if (batch >= maxBatches) break;
    }
    if (examples === 0) throw new Error('updateBn: the loader gave no examples');
    done = true;
  } finally {
    for (const stop of release) stop();
    tf.dispose(passes.flatMap(({ mean, variance }) => [mean, variance]));
    for (const entry of watched) finish(entry, done);
  }
}

/** Adds `count` values of the given mean and variance to a pool (Chan et al. 1979, eq. 2.1). */
function addToPool(
  pool: Pool,
  count: number,
  mean: ArrayLike<number>,
  variance: ArrayLike<number>,
): void {
  const total = pool.count + count;
  pool.mean.forEach((old, i) => {
    const delta = mean[i]! - old;
    pool.mean[i] = old + (delta * count) / total;
    pool.squares[i]! += variance[i]! * count + (delta * delta * pool.count * count) / total;
  });
  pool.count = total;
}

function watch(layer: BnLayer): Watched {
  const mean = variableOf(layer.movingMean);
  const variance = variableOf(layer.movingVariance);
  const { size, shape } = mean;
  const kept = tf.tidy(() => [tf.clone(mean), tf.clone(variance), tf.zeros(shape)].map(tf.keep));
  const saved = { mean: kept[0]!, variance: kept[1]!, momentum: layer.momentum };
  const pool = { count: 0, mean: new Float64Array(size), squares: new Float64Array(size) };
  layer.momentum = 0; // so that a pass leaves the statistics of its own batch
  return { layer, mean, variance, saved, zeros: kept[2]!, pool };
}

/** Ends the watch: the layer gets what was pooled, or, if nothing was, back what it had. */
function finish({ layer, mean, variance, saved, zeros, pool }: Watched, update: boolean): void {
  layer.momentum = saved.momentum;
  if (update && pool.count > 0) {
    tf.tidy(() => {
      mean.assign(tf.tensor(Float32Array.from(pool.mean), mean.shape));
      const pooled = Float32Array.from(pool.squares, (sum) => sum / pool.count);
      variance.assign(tf.tensor(pooled, variance.shape));
    });
  } else {
    mean.assign(saved.mean);
    variance.assign(saved.variance);
  }
  tf.dispose([saved.mean, saved.variance, zeros]);
}

/**
 * Has a tfjs layer report each of its passes: a layer that is shared, or under TimeDistributed,
 * passes several times for one batch, and leaves only the last one's statistics.
 *
 * @returns What undoes it.
 */
function intercept(entry: Watched, passes: Pass[]): () => void {
  const { layer } = entry;
  if (!isLayersBn(layer)) return () => {};
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  const call = layer.call!;
  layer.call = function (inputs, kwargs) {
    if (!kwargs?.training) return call.call(this, inputs, kwargs);
    reset(entry);
    const output = call.call(this, inputs, kwargs);
    const input = Array.isArray(inputs) ? inputs[0]! : inputs;
    passes.push(passOf(entry, input.size / entry.mean.size));
    return output;
  };
  return () => {
    if (own) Object.defineProperty(layer, 'call', own);
    else delete layer.call;
  };
}

/**
 * Empties the statistics before a pass: the layer computes `old - (old - new) * (1 - momentum)`,
 * which is `new` exactly only for an old value of 0 (tfjs-layers 4.22, normalization.ts).
 */
function reset({ mean, variance, zeros }: Watched): void {
  mean.assign(zeros);
  variance.assign(zeros);
}

function resetOwn(entry: Watched) {
  reset(entry);
  return { entry, meanId: entry.mean.dataId };
}

function passOf({ mean, variance, pool }: Watched, count: number): Pass {
  return { pool, count, mean: tf.keep(tf.clone(mean)), variance: tf.keep(tf.clone(variance)) };
}

/** Moves the passes' statistics into their pools. */
async function drain(passes: Pass[]): Promise<void> {
  const data = passes.map(({ mean, variance }) => Promise.all([mean.data(), variance.data()]));
  const values = await Promise.all(data);
  for (const [i, { pool, count, mean, variance }] of passes.entries()) {
    if (count > 0) addToPool(pool, count, ...values[i]!);
    tf.dispose([mean, variance]);
  }
  passes.length = 0;
}

function defaultForward(model: unknown, batch: unknown): void {
  const { apply, inputNames } = model as {
    apply?: (x: BnInput, kwargs: { training: boolean }) => unknown;
    inputNames?: string[];
  };
  if (typeof apply !== 'function') {
    throw new Error('updateBn: the model has no apply(); give the option forward(model, batch)');
  }
  const inputs = inputsOf(batch);
  const byName = !(inputs instanceof tf.Tensor) && !Array.isArray(inputs) && inputNames;
  const x = byName ? inOrder(inputs as Record<string, tf.Tensor>, inputNames) : inputs;
  apply.call(model, x, { training: true });
}

/** Inputs given by name, in the model's order; a Sequential knows no name before its first use. */
function inOrder(inputs: Record<string, tf.Tensor>, inputNames: string[]): tf.Tensor[] {
  if (inputNames.length === 0) return Object.values(inputs);
  return inputNames.map((name) => {
    const input = inputs[name];
    if (input) return input;
    const given = Object.keys(inputs).join(', ');
    throw new Error(`updateBn: a batch has no input ${name} (it has ${given})`);
  });
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

function variableOf(statistic: Statistic): tf.Variable {
  return 'read' in statistic ? statistic.read() : statistic;
}

function isLayersBn(value: unknown): boolean {
  return isLayer(value) && value.getClassName() === 'BatchNormalization';
}

/** The batch-normalization layers of a model: those that it lists, else those of tfjs-layers. */
function findBnLayers(model: unknown): { layer: BnLayer; frozen: boolean }[] {
  if (model === null || (typeof model !== 'object' && typeof model !== 'function')) {
    return invalid('model', model, 'a model with batch-normalization layers');
  }
  const { batchNormLayers } = model as { batchNormLayers?: () => Iterable<BnLayer> };
  const found =
    typeof batchNormLayers === 'function'
      ? [...new Set(batchNormLayers.call(model))].map((layer) => ({
          layer,
          frozen: (layer as { trainable?: boolean }).trainable === false,
        }))
      : layersOf(model)
          .filter(({ layer }) => isLayersBn(layer))
          .map(({ layer, frozen }) => ({ layer: layer as unknown as BnLayer, frozen }));
  for (const { layer } of found) {
    if (layer?.movingMean != null && layer.movingVariance != null) continue;
    const { name = 'without a name' } = (layer ?? {}) as { name?: string };
    throw new Error(`updateBn: the layer ${name} has no statistics; build the model first`);
  }
  return found;
}
