/**
 * Mean and second moment of values that come one after the other, by Welford's way. It knows nothing
 * of what the values are.
 */
import * as tf from '@tensorflow/tfjs-core';
import { moveTowards } from '../average/average.js';
import { addSquares } from './second_moment.js';

/** Nothing is formed from sums of squares, which in float32 leave nothing of a small variance. */
export class Moments {
  /**
   * @param count How many values it holds, >= 1.
   * @param means Their averages; its own.
   * @param m2 The sums of their squared deviations from the average; its own.
   */
  constructor(
    public count: number,
    readonly means: readonly tf.Variable[],
    readonly m2: readonly tf.Variable[],
  ) {}

  /** Of one value, float32, whose data it shares. */
  static of(values: readonly tf.Tensor[]): Moments {
    return new Moments(
      1,
      values.map((value) => tf.variable(value, false)),
      values.map((value) => tf.tidy(() => tf.variable(tf.zerosLike(value), false))),
    );
  }

  /** Takes values of the same shapes in. */
  add(values: readonly tf.Tensor[]): void {
    const { count, means, m2 } = this;
    addSquares(m2, means, values, count / (count + 1));
    moveTowards(means, values, 1 / (count + 1));
    this.count += 1;
  }

  dispose(): void {
    tf.dispose([...this.means, ...this.m2]);
  }
}
