/**
 * The Bayesian model average: a model predicts with one sample of its weights after another, and mean
 * and spread of the predictions are kept. It knows nothing of how samples are drawn.
 */
import * as tf from '@tensorflow/tfjs-core';
import { startAverage } from '../average/average.js';
import { checkRereadable, type BnLoader } from '../batchnorm/batches.js';
import { updateBn } from '../batchnorm/update_bn.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import { alias, checkAlive, isTensor } from '../state/tensor_data.js';
import { assignValues } from '../swap/placed.js';
import type { TrainedWeights } from '../swap/trained_weights.js';
import type { Gaussian } from './gaussian.js';
import { Moments } from './moments.js';
import { checkSeed } from './options.js';
import { foldIn, freshSeed, keyOf } from './random.js';

/** Options of {@link SWAG.predict}. */
export interface SWAGPredictOptions {
  /** How many samples of the weights predict, an integer >= 1; default 30. */
  samples?: number;
  /** As in {@link SWAGSampleOptions}; each sample has a seed of its own that follows from it. */
  seed?: number;
  /** As in {@link SWAGSampleOptions}; default 0.5. */
  scale?: number;
  /**
   * The data by which batch normalization is re-estimated for each sample, as {@link updateBn} takes
   * it, and to be read once a sample, so no iterator. Required where the model has batch
   * normalization that is not frozen.
   */
  bnData?: BnLoader<unknown>;
  /** Examples that the model takes at once, an integer >= 1; default: the model's own. */
  batchSize?: number;
  /**
   * Called after each sample, with the samples so far and of all; awaited. A page that is to stay
   * alive meanwhile awaits `tf.nextFrame()` in it.
   */
  onSample?: (progress: { sample: number; samples: number }) => unknown;
}

/** What the samples predict: for each output a tensor, and lists where the model has several. */
export interface SWAGPrediction<T extends tf.Tensor | tf.Tensor[]> {
  /** The mean over the samples: of a classifier the probabilities. */
  mean: T;
  /** The standard deviation over the samples, the squares divided by their number. */
  std: T;
}

/** Inputs of a model: one tensor or a list. */
type Inputs = tf.Tensor | tf.Tensor[];

/** What of a model is used, tfjs-layers' or one that looks like it. */
interface PredictingModel {
  predict?(xs: Inputs, args: { batchSize?: number }): unknown;
  apply?(xs: Inputs): unknown;
}

/**
 * Refuses what cannot be used for every sample, before anything is done.
 *
 * @returns The options, complete.
 */
export function checkPredict(weights: TrainedWeights, xs: unknown, options: SWAGPredictOptions) {
  const { model, hasNormalization } = weights;
  if (!model) throw new Error('A list of variables has no predict()');
  const known = ['samples', 'seed', 'scale', 'bnData', 'batchSize', 'onSample'];
  checkKeys(options, known);
  const { samples = 30, seed = freshSeed(), scale = 0.5, bnData, batchSize, onSample } = options;
  const list = [xs].flat();
  if (list.length === 0 || !list.every(isTensor)) invalid('xs', xs, 'a tensor or a list of them');
  checkInteger('samples', samples, 1);
  checkSeed(seed);
  checkNumber('scale', scale, 0);
  if (bnData !== undefined) checkRereadable(bnData, 'bnData', 'sample');
  else if (hasNormalization) {
    invalid('bnData', bnData, 'data to re-estimate batch normalization for each sample by');
  }
  if (batchSize !== undefined) checkInteger('batchSize', batchSize, 1);
  if (onSample !== undefined && typeof onSample !== 'function') {
    invalid('onSample', onSample, 'a function');
  }
  return { samples, seed, scale, bnData, batchSize, onSample };
}

/**
 * Predicts with every sample. Beside the weights one sample is held, and the two moments of the
 * outputs. Sample i, from 0, is the one of the seed `foldIn(keyOf(seed), i)`.
 *
 * @param checkGoOn Called after each sample; what it throws ends the prediction.
 * @throws Error of the model, the data, `onSample` or `checkGoOn`; weights and statistics are as
 *   before then, as they are at the end.
 */
export async function predictSamples(
  weights: TrainedWeights,
  gaussian: Gaussian,
  xs: Inputs,
  { samples, seed, scale, bnData, batchSize, onSample }: ReturnType<typeof checkPredict>,
  checkGoOn: () => void,
): Promise<SWAGPrediction<tf.Tensor | tf.Tensor[]>> {
  const { variables, all } = weights;
  const model = weights.model as PredictingModel;
  // They share data with what may change: nobody writes in place where two refer to it.
  const saved = all.map(startAverage);
  let moments: Moments | null = null;
  let several = false;
  try {
    for (let sample = 1; sample <= samples; sample++) {
      const own = foldIn(keyOf(seed), sample - 1);
      const values = gaussian.draw({ seed: own, scale, diagonal: false });
      try {
        assignValues(variables, values);
        tf.dispose(values);
        if (bnData !== undefined) await updateBn(bnData, model);
        all.forEach(checkAlive);
        const output = forward(model, xs, batchSize);
        several = Array.isArray(output);
        try {
          if (moments) moments.add([output].flat());
          else moments = Moments.of([output].flat());
        } finally {
          tf.dispose(output);
        }
      } finally {
        assignValues(all, saved);
      }
      await onSample?.({ sample, samples });
      checkGoOn();
    }
    const { means, m2 } = moments!;
    const mean = means.map(alias);
    const std = m2.map((sum) => tf.tidy(() => tf.sqrt(tf.div(sum, samples))));
    return several ? { mean, std } : { mean: mean[0]!, std: std[0]! };
  } finally {
    tf.dispose(saved);
    moments?.dispose();
  }
}

/** What the model makes of the inputs, as float32. */
function forward(model: PredictingModel, xs: Inputs, batchSize?: number): tf.Tensor | tf.Tensor[] {
  return tf.tidy(() => {
    const output = model.predict
      ? model.predict(xs, batchSize === undefined ? {} : { batchSize })
      : model.apply!(xs);
    const float = (tensor: unknown): tf.Tensor =>
      isTensor(tensor) ? tf.cast(tensor, 'float32') : invalid('output', tensor, 'a tensor');
    return Array.isArray(output) ? output.map(float) : float(output);
  });
}
