/**
 * Watches batch-normalization layers during one forward pass at a time, and pools the statistics of
 * all that passed. Between the passes a layer is as it was, so that nobody else's count. It knows
 * nothing of models, batches or loaders.
 */
import * as tf from '@tensorflow/tfjs-core';
import { listOf } from './batches.js';
import { isLayersBn, movingOf, type BnLayer, type FoundBnLayer } from './layers.js';
import { alias } from '../state/tensor_data.js';

/** One pass through a layer. */
export interface Pass {
  /** The statistics that it left, mean and variance; kept until they are read. */
  left: tf.Tensor[];
  /** Puts them into the pool. */
  add: (read: ArrayLike<number>[]) => void;
}

/** A layer whose statistics are re-estimated. */
export interface Watch {
  /**
   * Called before the model runs on a batch; what it returns is called after it, with the examples
   * of the batch, or `null` if the model failed, and leaves the layer as it was.
   */
  begin: () => (examples: number | null) => void;
  /** Gives the layer's statistics their values, if anything passed. */
  write: () => void;
}

/** Watches a layer; its passes are put into `passes`, unless it is frozen. */
export function watch({ layer, frozen }: FoundBnLayer, passes: Pass[]): Watch {
  const pool = poolOf(movingOf(layer), passes);
  const begin = isLayersBn(layer) ? watchLayer : watchOwn;
  return { begin: () => begin(layer, frozen ? null : pool.take), write: pool.write };
}

/** Runs `forward`, at once, with all layers under watch. */
export function runWatched(
  watches: readonly Watch[],
  examples: number,
  forward: () => unknown,
): void {
  const ends: ((examples: number | null) => void)[] = [];
  let passed: number | null = null;
  try {
    for (const { begin } of watches) ends.push(begin());
    tf.tidy(() => {
      const output = forward();
      if (output instanceof Promise) {
        output.catch(() => {});
        throw new Error('updateBn: forward must not be asynchronous');
      }
    });
    passed = examples;
  } finally {
    for (const end of ends) end(passed);
  }
}

/** Takes a pass of so many values a channel, by the statistics that it left. */
type Take = (added: number, left: readonly tf.Tensor[]) => void;

/** The statistics of all that passed through a layer, in float64. */
interface Pool {
  take: Take;
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
 * Watches a layer of tfjs-layers: the statistics of each of its passes in training are taken here,
 * and the layer is lent them, to normalize by them as in training. One that is shared, or under
 * TimeDistributed, passes several times a batch.
 */
function watchLayer(layer: BnLayer, take: Take | null): () => void {
  const { axis, movingMean, movingVariance, call } = layer;
  const hasOwnCall = Object.hasOwn(layer, 'call');
  layer.call = function (inputs, kwargs) {
    if (!kwargs?.training) return call!.call(this, inputs, kwargs);
    const input = listOf(inputs)[0]!;
    // Of no values WebGL and WebGPU cannot take the mean (0 / 0 elements in tfjs 4.22's Mean).
    if (input.size === 0) return tf.clone(input);
    const axes = [...input.shape.keys()];
    axes.splice(axis!, 1);
    const { mean, variance } = tf.moments(input, axes);
    take?.(input.size / mean.size, [mean, variance]);
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
  return () => {
    if (hasOwnCall) layer.call = call!;
    else delete layer.call;
  };
}

/** Watches a layer of the caller's own: what each batch leaves in it is taken, and put back. */
function watchOwn(layer: BnLayer, take: Take | null): (examples: number | null) => void {
  const moving = movingOf(layer);
  const { momentum } = layer;
  const saved = moving.map(alias);
  const zeros = moving.map((s) => tf.keep(tf.zerosLike(s)));
  if (take) {
    layer.momentum = 0;
    assign(moving, zeros);
  }
  return (examples) => {
    const passed = moving[0]!.dataId !== zeros[0]!.dataId;
    if (take && examples !== null && passed) take(examples, moving.map(alias));
    layer.momentum = momentum;
    assign(moving, saved);
    tf.dispose([saved, zeros]);
  };
}

/** Gives variables other values, of their shape. */
function assign(variables: readonly tf.Variable[], values: readonly tf.Tensor[]): void {
  variables.forEach((variable, i) => variable.assign(values[i]!));
}
