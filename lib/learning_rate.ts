/**
 * The live learning rate of any tfjs optimizer, read and written between two steps. It knows
 * nothing of parameter groups or schedules.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkNumber } from './options.js';

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

/**
 * The rate of the optimizer's next step.
 *
 * @throws Error if the optimizer does not show one.
 */
export function getLearningRate(optimizer: tf.Optimizer): number {
  const learningRate = shownLearningRate(optimizer);
  if (Number.isNaN(learningRate)) {
    throw new Error(`The optimizer ${optimizer.getClassName()} has no learningRate to read`);
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
 * @param name What the caller calls it, for the error.
 * @throws Error if the rate makes no sense or the optimizer has none.
 */
export function setLearningRate(optimizer: tf.Optimizer, learningRate: number, name = 'lr'): void {
  checkNumber(name, learningRate, 0);
  const rated = optimizer as Rated;
  if (!hasLearningRate(optimizer)) throw noLearningRate(optimizer, name);
  if (typeof rated.setLearningRate === 'function') rated.setLearningRate(learningRate);
  else rated.learningRate = learningRate;
}

/** The error for an optimizer whose rate cannot be set. */
export function noLearningRate(optimizer: tf.Optimizer, name: string): Error {
  return new Error(
    `Cannot set ${name}: the optimizer ${optimizer.getClassName()} has neither ` +
      'setLearningRate() nor a numeric learningRate',
  );
}
