/**
 * The live learning rates of any tfjs optimizer, read and written between two steps. It knows
 * wrappers with parameter groups by what they list of rates alone, and nothing of schedules.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkNumber } from '../check.js';

/** A learning rate that is read and written live; a parameter group is one. */
export interface Rate {
  /** The rate of the next step. */
  lr: number;
}

/**
 * Under this key a wrapper lists its rates: one a parameter group, also of groups that a loaded
 * state brings and whose variables are not known yet; before there is any, its base optimizer's.
 * It is registered, so that two copies of the package, ESM and CJS say, know one another's.
 */
export const RATES: unique symbol = Symbol.for('tfjs-swa.rates');

/** The two ways in which tfjs optimizers hold a rate, and a wrapper's. */
interface Rated {
  learningRate?: unknown;
  setLearningRate?: (learningRate: number) => void;
  /** What SGD and Momentum step with: `-learningRate`, as a tensor. */
  c?: object;
  readonly [RATES]?: readonly Rate[];
}

/**
 * The rates of an optimizer: of a wrapper one for each group, of any other its only one.
 *
 * @param name What is to be set, for the message.
 * @throws Error if one of them cannot be read and set.
 */
export function ratesOf(optimizer: tf.Optimizer, name = 'lr'): readonly Rate[] {
  const { [RATES]: rates = [rateOf(optimizer)] } = optimizer as Rated;
  if (!(RATES in optimizer)) checkLearningRate(optimizer, name);
  // Reading throws where there is none; one that can be read can be set, being a field at least.
  if (!rates.some(({ lr }) => Number.isNaN(lr))) return rates;
  throw new Error(`Cannot set ${name}: a parameter group has no learningRate`);
}

/** The rate of one optimizer. */
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

/**
 * Sets rates, all or none: where one refuses, those before it are put back.
 *
 * @param rates As {@link ratesOf} gave them.
 * @param values One for each, finite, >= 0.
 * @throws What the one that refuses throws.
 */
export function setRates(rates: readonly Rate[], values: readonly number[]): void {
  const before = rates.map(({ lr }) => lr);
  let set = 0;
  try {
    for (; set < rates.length; set++) rates[set]!.lr = values[set]!;
  } catch (error) {
    while (set-- > 0) rates[set]!.lr = before[set]!;
    throw error;
  }
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

/** The rate that a cached tensor was made of. */
const cachedRates = /* @__PURE__ */ new WeakMap<object, number>();

/**
 * Has an optimizer step with the rate that it shows. SGD and Momentum step with a tensor that they
 * made of an earlier rate, so that writing their `learningRate` would do nothing (tfjs-core 4.22,
 * sgd_optimizer.ts, `this.c`); here it takes effect, as it does with the other five. To be called
 * before each step; it costs a look-up as long as the rate stays.
 */
export function settleLearningRate(optimizer: tf.Optimizer): void {
  const rated = optimizer as Rated;
  const { c, learningRate } = rated;
  if (!c || !rated.setLearningRate || typeof learningRate !== 'number') return;
  if (cachedRates.get(c) === learningRate) return;
  rated.setLearningRate(learningRate);
  cachedRates.set(rated.c!, learningRate);
}
