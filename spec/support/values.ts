/** Values of small variables, set, averaged and read, for specs that are solved by hand. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { own } from './support.js';

/** Gives every element of a variable a value. */
export function set(v: tf.Variable, value: number): void {
  tf.tidy(() => v.assign(tf.fill(v.shape, value)));
}

/** The first value of a tensor. */
export const read = async (v: tf.Tensor): Promise<number> => (await v.data())[0]!;

/** Has a variable take each of these values, and an average take it in. */
export function take(
  averaged: { update(): void },
  v: tf.Variable,
  values: readonly number[],
): void {
  for (const value of values) {
    set(v, value);
    averaged.update();
  }
}

/** A vector as a state dict holds it. */
export const floats = (name: string, ...values: number[]) => ({
  name,
  dtype: 'float32' as const,
  shape: [values.length],
  values: Float32Array.from(values),
});

/** A dense layer and a batch normalization, without names of their own. */
export function unnamedNet(): { model: tfl.Sequential; all: tf.Variable[] } {
  const model = own(
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 2, inputShape: [2] }),
        tfl.layers.batchNormalization({ momentum: 0.5 }),
      ],
    }),
  );
  return { model, all: model.weights.map((weight) => weight.read() as tf.Variable) };
}
