/** The learning rates and the moments of averaging, by step. It knows nothing of optimizers. */
import { constant, cyclic, sequence, type Schedule as Rate } from 'tfjs-swa';
import type { Method } from './method.js';

/** The rate that both runs begin with, and that one of them keeps, or cycles below. */
export const RATE = 0.1;
/** The rate at which a cycle ends. */
export const LOW_RATE = 0.01;
export const MOMENTUM = 0.9;
export const BATCH = 64;

/** A run, in steps: the first half is shared, over the second one the averages are taken. */
export interface Schedule {
  method: Method;
  epochs: number;
  /** The last epoch that both runs share. */
  half: number;
  stepsPerEpoch: number;
  /** The rate with decay at a step, counted from 0: constant to half, 1 % from 90 % on. */
  decayingRate: Rate;
  /** The rate of the run that is averaged: constant, in the second half perhaps in cycles. */
  averagedRate: Rate;
  /**
   * Epochs from one value of the equal average to the next. A cycle's length at the cyclic rate,
   * where cycles fill the second half: 3 if that is divisible by 3, else 2 or 1. Otherwise 1.
   */
  swaEpochs: number;
  /**
   * The fraction that the exponential moving average keeps at each step: `1 - 2 / (n + 1)` for the
   * n steps of the second half, whose values then have the same mean age as in an equal average.
   */
  emaDecay: number;
}

/**
 * The recipes of Izmailov et al. 2018 (arXiv 1803.05407, sections 3.1 and 4.1) for a run of some
 * epochs.
 *
 * @param epochs Even, >= 2.
 * @param examples Training images, >= 1.
 */
export function makeSchedule(epochs: number, examples: number, method: Method = 'swa'): Schedule {
  const stepsPerEpoch = Math.ceil(examples / BATCH);
  const half = epochs / 2;
  const decayingRate = (step: number): number => {
    const time = step / (epochs * stepsPerEpoch);
    const decayed = Math.min(Math.max((time - 0.5) / 0.4, 0), 1);
    return RATE * (1 - 0.99 * decayed);
  };
  const isCyclic = method === 'cyclic';
  const swaEpochs = isCyclic ? [3, 2, 1].find((cycle) => half % cycle === 0)! : 1;
  const cycles = cyclic({ high: RATE, low: LOW_RATE, steps: swaEpochs * stepsPerEpoch });
  const averagedRate = isCyclic
    ? sequence([[constant(RATE), half * stepsPerEpoch], cycles])
    : constant(RATE);
  const emaDecay = 1 - 2 / (half * stepsPerEpoch + 1);
  return { method, epochs, half, stepsPerEpoch, decayingRate, averagedRate, swaEpochs, emaDecay };
}
