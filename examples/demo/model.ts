/** The net: its layers, its weights as plain data, its test error. It knows nothing of training. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { SWA } from 'tfjs-swa';
import { breathe } from './breathe.js';
import { batchesOf, CLASSES, SIDE, type Images } from './data.js';

/** How well a net does on labelled images. */
export interface Score {
  /** Share of wrong answers, in percent. */
  error: number;
  /** Mean negative log-likelihood of the right class, in nats. */
  nll: number;
}

/** Flatten, two times [dense without bias, batch normalization, ReLU], dense with 10 logits. */
export function createModel(width: number, seed: number): tfl.Sequential {
  const dense = (units: number, useBias: boolean, layer: number) =>
    tfl.layers.dense({
      units,
      useBias,
      kernelInitializer: tfl.initializers.heNormal({ seed: seed * 10 + layer }),
      kernelRegularizer: l2Regularizer(2.5e-4),
    });
  const hidden = [1, 2].flatMap((layer) => [
    dense(width, false, layer),
    tfl.layers.batchNormalization({ momentum: 0.9, epsilon: 1e-5 }),
    tfl.layers.reLU(),
  ]);
  return tfl.sequential({
    layers: [tfl.layers.flatten({ inputShape: [SIDE, SIDE] }), ...hidden, dense(CLASSES, true, 3)],
  });
}

/**
 * tfjs's regularizer `l2 sum(w^2)`, with `2 l2 w` for its gradient: of the operations that tfjs has it
 * made of (tfjs-layers 4.22, regularizers.ts), the gradients of three kernels take a fifth of a step.
 */
export function l2Regularizer(l2: number): ReturnType<typeof tfl.regularizers.l2> {
  const penalty = tf.customGrad((weights, save) => {
    (save as tf.GradSaveFunc)([weights as tf.Tensor]);
    return {
      value: tf.mul(l2, tf.sum(tf.square(weights as tf.Tensor))),
      gradFunc: (dy, [saved]) => tf.mul(saved!, tf.mul(dy, 2 * l2)),
    };
  });
  return Object.assign(tfl.regularizers.l2({ l2 }), { apply: penalty });
}

/** The variables that training changes, in the model's order. */
export function trainableVariables(model: tfl.LayersModel): tf.Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as tf.Variable);
}

/** Cross-entropy in training mode, plus the l2 penalty of the kernels. */
export function lossOf(model: tfl.LayersModel, images: tf.Tensor, labels: tf.Tensor): tf.Scalar {
  const logits = model.apply(images, { training: true }) as tf.Tensor;
  const crossEntropy = tf.losses.softmaxCrossEntropy(labels, logits);
  return tf.addN([crossEntropy, ...model.calculateLosses()]) as tf.Scalar;
}

/**
 * Test error and likelihood, with the moving statistics that the model holds.
 *
 * @param batches The images once more, as {@link batchesOf} gives them, where they are at hand.
 */
export async function evaluate(
  model: tfl.LayersModel,
  images: Images,
  batches: Iterable<tf.Tensor> = batchesOf(images, 1000),
): Promise<Score> {
  let [index, wrong, nll] = [0, 0, 0];
  for (const batch of batches) {
    const logits = tf.tidy(() => model.apply(batch) as tf.Tensor);
    const values = (await logits.data()) as Float32Array;
    logits.dispose();
    // By hand and in place: a list or a closure an image would take as long as the net does.
    for (let start = 0; start < values.length; start += CLASSES) {
      const label = images.labels[index++]!;
      let most = start;
      for (let i = start + 1; i < start + CLASSES; i++) if (values[i]! > values[most]!) most = i;
      let total = 0;
      for (let i = start; i < start + CLASSES; i++) total += Math.exp(values[i]! - values[most]!);
      const likelihood = Math.log(total) + values[most]! - values[start + label]!;
      nll += likelihood;
      // Not finite: a wrong answer, whatever the label.
      if (most !== start + label || !Number.isFinite(likelihood)) wrong += 1;
    }
    await breathe();
  }
  return { error: (100 * wrong) / images.count, nll: nll / images.count };
}

/** Re-estimates the statistics of batch normalization on images, in batches. */
export async function reestimate(
  model: tfl.LayersModel,
  images: Images,
  batches: Iterable<tf.Tensor> = batchesOf(images),
): Promise<void> {
  await SWA.bnUpdate(batches, model, { onBatch: breathe });
}

/** Runs `f` and puts the statistics of batch normalization back as they were before. */
export async function keepingStatistics<T>(
  model: tfl.LayersModel,
  f: () => Promise<T>,
): Promise<T> {
  const statistics = model.nonTrainableWeights.map((weight) => weight.read() as tf.Variable);
  const saved = await Promise.all(statistics.map(hostValues));
  try {
    return await f();
  } finally {
    statistics.forEach((variable, i) => assign(variable, saved[i]!));
  }
}

/** All weights and statistics, copied. */
export async function snapshot(model: tfl.LayersModel): Promise<Float32Array[]> {
  return Promise.all(model.getWeights().map(hostValues));
}

/** Puts back what {@link snapshot} copied. */
export function restore(model: tfl.LayersModel, saved: readonly Float32Array[]): void {
  model.getWeights().forEach((variable, i) => assign(variable as tf.Variable, saved[i]!));
}

/** The trainable weights as one point of weight space. */
export async function flatWeights(model: tfl.LayersModel): Promise<Float32Array> {
  const parts = await Promise.all(trainableVariables(model).map(hostValues));
  const flat = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    flat.set(part, offset);
    offset += part.length;
  }
  return flat;
}

/** Moves the trainable weights to a point that {@link flatWeights} could have given. */
export function setFlatWeights(model: tfl.LayersModel, flat: Float32Array): void {
  let offset = 0;
  for (const variable of trainableVariables(model)) {
    assign(variable, flat.slice(offset, (offset += variable.size)));
  }
}

async function hostValues(tensor: tf.Tensor): Promise<Float32Array> {
  // A copy, because the cpu backend can return its live array.
  return ((await tensor.data()) as Float32Array).slice();
}

function assign(variable: tf.Variable, values: Float32Array): void {
  tf.tidy(() => variable.assign(tf.tensor(values.slice(), variable.shape)));
}
