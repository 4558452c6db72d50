/**
 * The learning rates of `swaCallback`: keras-swa's 'constant' and 'cyclic' schedules by epoch and
 * batch, and an optimizer's rate that can be put back. It knows nothing of models or averages.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { ratesOf } from '../schedule/learning_rate.js';
import { invalid } from '../check.js';
import { cyclic } from '../schedule/cycles.js';
import { interpolate } from '../schedule/schedules.js';

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

/** One learning rate for all groups of an optimizer, after which each can have its own again. */
export class LiveRate {
  /** The first group's, before. */
  readonly initial: number;
  /** One a group, before; those that are made meanwhile begin at the first's. */
  private readonly before: readonly number[];
  private last: number | null = null;

  /** @throws Error that says that `purpose` cannot be set, if there is a rate that cannot. */
  constructor(
    private readonly optimizer: tf.Optimizer,
    purpose: string,
  ) {
    this.before = ratesOf(optimizer, purpose).map(({ lr }) => lr);
    this.initial = this.before[0]!;
  }

  set(rate: number): void {
    for (const each of ratesOf(this.optimizer)) each.lr = rate;
    this.last = rate;
  }

  /** Puts the rates back, but for those that another has set since. */
  restore(): void {
    if (this.last === null) return;
    ratesOf(this.optimizer).forEach((rate, i) => {
      if (rate.lr === this.last) rate.lr = this.before[i] ?? this.initial;
    });
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
export function scheduleRates(
  { swaLr: low, swaLr2: high, lrSchedule }: RateSettings,
  initial: number,
): Rates {
  const swaLr = low ?? 0.1 * initial;
  if (swaLr > initial) invalid('swaLr', swaLr, `at most the rate of the optimizer, ${initial}`);
  const swaLr2 =
    lrSchedule === 'cyclic' && high !== null ? high : interpolate(swaLr, initial, 0.25);
  return { initial, swaLr, swaLr2 };
}
