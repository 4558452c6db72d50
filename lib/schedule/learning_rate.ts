/**
 * The live learning rate of any tfjs optimizer, read and written between two steps. It knows
 * nothing of parameter groups or schedules.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkNumber } from '../check.js';

/** The two ways in which tfjs optimizers hold a rate. */
interface Rated {
  learningRate?: unknown;
  setLearningRate?: (learningRate: number) => void;
}

/** Whether the rate can be set: the optimizer has `setLearningRate` or a number `learningRate`. */
export function hasLearningRate(optimizer: tf.Optimizer): boolean {
  const rated = optimizer as Rated;
  return typeof rated.setLearningRate === 'function' || typeof rated.learningRate === 'number';
}

/** @throws Error that says that `name` cannot be set, if the optimizer's rate cannot. */
export function checkLearningRate(optimizer: tf.Optimizer, name: string): void {
  if (hasLearningRate(optimizer)) return;
  throw new Error(
    `Cannot set ${name}: the optimizer ${optimizer.getClassName()} has no learningRate`,
  );
}

/**
 * The rate of the optimizer's next step.
 *
 * @throws Error if the optimizer does not show one.
 */
export function getLearningRate(optimizer: tf.Optimizer): number {
  const learningRate = shownLearningRate(optimizer);
  if (Number.isNaN(learningRate)) {
    throw new Error(`The optimizer ${optimizer.getClassName()} has no learningRate`);
  }
  return learningRate;
}

/** The rate for a record of the state: NaN where the optimizer shows none. */
export function shownLearningRate(optimizer: tf.Optimizer): number {
  const { learningRate } = optimizer as Rated;
  return typeof learningRate === 'number' ? learningRate : NaN;
}

/**
 * Sets the rate of the optimizer's next step: through `setLearningRate` where there is one, since
 * SGD and Momentum cache the rate in a tensor (tfjs-core 4.22, sgd_optimizer.ts, `this.c`), else
 * by writing the `learningRate` that the other optimizers read at each step.
 *
 * @param learningRate Finite, >= 0.
 * @throws Error if the rate makes no sense or the optimizer has none.
 */
export function setLearningRate(optimizer: tf.Optimizer, learningRate: number): void {
  checkNumber('lr', learningRate, 0);
  checkLearningRate(optimizer, 'lr');
  const rated = optimizer as Rated;
  if (rated.setLearningRate) rated.setLearningRate(learningRate);
  else rated.learningRate = learningRate;
}

/** A live learning rate, to read and to write. */
export interface Rate {
  lr: number;
}

/** Under this key a wrapper lists the rates of its groups. */
export const RATES: unique symbol = Symbol.for('tfjs-swa.rates');

export function settleLearningRate(_optimizer: tf.Optimizer): void {}

/** The rate of an optimizer's next step, to read and to write. */
export function rateOf(optimizer: tf.Optimizer): Rate {
  return {
    get lr() {
      return getLearningRate(optimizer);
    },
    set lr(learningRate) {
      setLearningRate(optimizer, learningRate);
    },
  };
}
