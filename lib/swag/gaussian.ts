/**
 * The Gaussian of SWAG: mean, second moment and the last deviations of weights, and samples from it.
 * It knows nothing of models.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Moments } from './moments.js';
import { foldIn, keyOf, normal } from './random.js';

/** How a sample is drawn. */
export interface Draw {
  /** How much of the covariance counts. */
  scale: number;
  /** An integer >= 0. */
  seed: number;
  /** Leave the deviations out. */
  diagonal: boolean;
}

export class Gaussian {
  /** Of all values so far; `null` before the first. */
  moments: Moments | null = null;
  /** Of the last values `value - mean` with the mean after it, oldest first. */
  deviations: tf.Tensor[][] = [];

  /** @param maxRank How many deviations are kept. */
  constructor(readonly maxRank: number) {}

  get count(): number {
    return this.moments?.count ?? 0;
  }

  /** Takes values in: one pass for the second moment, one for the mean, one for the deviation. */
  update(values: readonly tf.Variable[]): void {
    if (this.moments) this.moments.add(values);
    else this.moments = Moments.of(values);
    if (this.maxRank === 0) return;
    const { deviations, maxRank } = this;
    const oldest = deviations.length === maxRank ? deviations.shift() : undefined;
    const { means } = this.moments;
    // The oldest goes tensor by tensor, for the backend to use its memory again.
    const deviation = values.map((value, i) => {
      oldest?.[i]!.dispose();
      return tf.keep(tf.sub(value, means[i]!));
    });
    deviations.push(deviation);
  }

  /**
   * `mean + sqrt(scale) (sigma z1 + D z2 / sqrt(K - 1))`. The numbers are those of {@link normal} by
   * the key `foldIn(keyOf(seed), j)`: z2 with j = 0, and z1 of tensor i with j = i + 1.
   *
   * @returns A new tensor for each of the values, kept until it is disposed of.
   */
  draw({ scale, seed, diagonal }: Draw): tf.Tensor[] {
    const { moments, deviations } = this;
    const { count, means, m2 } = moments!;
    const key = keyOf(seed);
    const rank = diagonal || deviations.length < 2 ? 0 : deviations.length;
    const z2 = tf.tidy(() => {
      if (rank === 0) return [];
      return tf.unstack(tf.mul(normal([rank], foldIn(key, 0)), Math.sqrt(scale / (rank - 1))));
    });
    try {
      return means.map((mean, i) => {
        let theta = tf.tidy(() => {
          const deviation = tf.sqrt(tf.mul(m2[i]!, scale / count));
          return tf.add(mean, tf.mul(deviation, normal(mean.shape, foldIn(key, i + 1))));
        });
        z2.forEach((factor, k) => {
          const before = theta;
          theta = tf.tidy(() => tf.add(before, tf.mul(deviations[k]![i]!, factor)));
          before.dispose();
        });
        return tf.keep(theta);
      });
    } finally {
      tf.dispose(z2);
    }
  }

  /** Frees what there is and takes this in its place; of deviations the newest. */
  replace(moments: Moments | null, deviations: tf.Tensor[][]): void {
    this.dispose();
    const dropped = Math.max(0, deviations.length - this.maxRank);
    tf.dispose(deviations.slice(0, dropped));
    this.moments = moments;
    this.deviations = deviations.slice(dropped);
  }

  dispose(): void {
    this.moments?.dispose();
    tf.dispose(this.deviations);
    this.moments = null;
    this.deviations = [];
  }
}
