/**
 * The learning rates of `swaCallback`: keras-swa's 'constant' and 'cyclic' schedules by epoch and
 * batch, and an optimizer's rate that can be put back. It knows nothing of models or averages.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkLearningRate, getLearningRate, setLearningRate } from '../schedule/learning_rate.js';
import { invalid } from '../check.js';
import { cyclic, interpolate } from '../schedule/schedules.js';

/** What the rates depend on; epochs are counted from 0. */
export interface RateSettings {
  readonly start: number;
  readonly lrSchedule: 'manual' | 'constant' | 'cyclic';
  readonly swaLr: number | null;
  readonly swaLr2: number | null;
  readonly swaFreq: number;
}

/** The rates of a schedule. */
export interface Rates {
  readonly initial: number;
  readonly swaLr: number;
  readonly swaLr2: number;
}

/** The learning rate of an optimizer, which can be put back. */
export class LiveRate {
  readonly initial: number;
  private readonly groups: { group: { lr: number }; lr: number }[];
  private last: number | null = null;

  constructor(
    private readonly optimizer: tf.Optimizer,
    purpose: string,
  ) {
    checkLearningRate(optimizer, purpose);
    this.initial = getLearningRate(optimizer);
    const { paramGroups = [] } = optimizer as { paramGroups?: readonly { lr: number }[] };
    this.groups = paramGroups.map((group) => ({ group, lr: group.lr }));
  }

  set(rate: number): void {
    setLearningRate(this.optimizer, rate);
    this.last = rate;
  }

  /** Puts the rates back, unless another has been set since. */
  restore(): void {
    if (getLearningRate(this.optimizer) !== this.last) return;
    setLearningRate(this.optimizer, this.initial);
    for (const { group, lr } of this.groups) group.lr = lr;
    this.last = null;
  }
}

/** The rate of a batch of an epoch, both counted from 0; the batch is of use to 'cyclic' only. */
export function rateAt(
  { start, swaFreq, lrSchedule }: RateSettings,
  { initial, swaLr, swaLr2 }: Rates,
  epoch: number,
  batch: number,
  steps: number | null,
): number {
  if (lrSchedule === 'cyclic' && epoch >= start) {
    const cycle = cyclic({ high: swaLr2, low: swaLr, steps: swaFreq * steps! });
    return cycle(((epoch - start) % swaFreq) * steps! + batch);
  }
  const t = (epoch / start - 0.5) / 0.4;
  return interpolate(initial, swaLr, Math.min(1, Math.max(0, t)));
}

/** The rates of a schedule for an optimizer that has the rate `initial`. */
export function ratesOf(
  { swaLr: low, swaLr2: high, lrSchedule }: RateSettings,
  initial: number,
): Rates {
  const swaLr = low ?? 0.1 * initial;
  if (swaLr > initial) invalid('swaLr', swaLr, `at most the rate of the optimizer, ${initial}`);
  const swaLr2 =
    lrSchedule === 'cyclic' && high !== null ? high : interpolate(swaLr, initial, 0.25);
  return { initial, swaLr, swaLr2 };
}
