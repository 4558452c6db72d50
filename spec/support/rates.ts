/** What the specs of rates and schedulers share: optimizers, and what their rates are. */
import * as tf from '@tensorflow/tfjs-core';
import { SWA, type Schedule } from '../../lib/index.js';
import { half, own, variable } from './support.js';

/** The rate that the optimizer says it has. */
export const rateOf = (optimizer: object): number =>
  (optimizer as { learningRate: number }).learningRate;

export const ratesOf = (swa: SWA): number[] => swa.paramGroups.map(({ lr }) => lr);

/** A bare SGD, disposed after the spec. */
export const sgd = (learningRate: number): tf.SGDOptimizer => own(tf.train.sgd(learningRate));

/** An SWA of SGD with one group for each rate. */
export function grouped(...rates: number[]): SWA {
  const paramGroups = rates.map((lr) => ({ params: variable(1), lr }));
  return own(new SWA(tf.train.sgd(0.5), { paramGroups }));
}

/** One step on `0.5 sum(v^2)`; returns v afterwards. */
export async function stepOn(optimizer: tf.Optimizer, v: tf.Variable): Promise<number> {
  optimizer.minimize(half(v), false, [v]);
  return (await v.data())[0]!;
}

/** A schedule of listed rates. */
export const listed =
  (...rates: number[]): Schedule =>
  (step) =>
    rates[step]!;

/** An optimizer that shows no rate. */
export class Rateless extends tf.Optimizer {
  static get className(): string {
    return 'Rateless';
  }
  applyGradients(): void {}
  getConfig(): tf.serialization.ConfigDict {
    return {};
  }
}

/** Every property runs on the same numbers each time. */
export const seeded = { seed: 20180314, numRuns: 100 };
