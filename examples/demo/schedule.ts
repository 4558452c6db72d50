/** The two learning rates and the moments of averaging, by step. It knows nothing of optimizers. */

/** The rate that both runs begin with, and that one of them keeps. */
export const RATE = 0.1;
export const MOMENTUM = 0.9;
export const BATCH = 64;

/** A run, in steps: the first half is shared, over the second one the average is taken. */
export interface Schedule {
  epochs: number;
  /** The last epoch that both runs share. */
  half: number;
  stepsPerEpoch: number;
  /** The rate with decay at a step, counted from 0: constant to half, 1 % from 90 % on. */
  decayingRate: (step: number) => number;
}

/**
 * The recipe of Izmailov et al. 2018 (arXiv 1803.05407, section 4.1) for a run of some epochs.
 *
 * @param epochs Even, >= 2.
 * @param examples Training images, >= 1.
 */
export function makeSchedule(epochs: number, examples: number): Schedule {
  const stepsPerEpoch = Math.ceil(examples / BATCH);
  const decayingRate = (step: number): number => {
    const time = step / (epochs * stepsPerEpoch);
    const decayed = Math.min(Math.max((time - 0.5) / 0.4, 0), 1);
    return RATE * (1 - 0.99 * decayed);
  };
  return { epochs, half: epochs / 2, stepsPerEpoch, decayingRate };
}
