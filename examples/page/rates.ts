/** The learning rate and the moments of averaging of a run. It knows nothing of optimizers. */
import { constant, cyclic, sequence, type Schedule } from 'tfjs-swa';
import { BATCH, LOW_RATE, makeSchedule, RATE } from '../demo/schedule.js';
import type { Settings } from './settings.js';

/** Steps of an epoch. */
export function stepsPerEpoch({ images }: Settings): number {
  return Math.ceil(images / BATCH);
}

/** The learning rate at a step, counted from 0. */
export function rateOf(settings: Settings): Schedule {
  const { schedule, start, every, epochs, images } = settings;
  const steps = stepsPerEpoch(settings);
  if (schedule === 'decay') return makeSchedule(epochs, images).decayingRate;
  if (schedule === 'constant') return constant(RATE);
  const cycles = cyclic({ high: RATE, low: LOW_RATE, steps: every * steps });
  return start === 0 ? cycles : sequence([[constant(RATE), start * steps], cycles]);
}

/** The most deviations of the weights that SWAG keeps, as in Maddox et al. 2019, section 5. */
export const COLUMNS = 20;

/** Whether SWAG takes the weights after a step, counted from 1: evenly, where it can {@link COLUMNS} times. */
export function isSampled(settings: Settings, step: number): boolean {
  const steps = stepsPerEpoch(settings);
  const first = settings.start * steps;
  const every = Math.max(1, Math.floor((settings.epochs * steps - first) / COLUMNS));
  return step > first && (step - first) % every === 0;
}

/** Whether the weights go into the running average after an epoch, counted from 1. */
export function isAveraged({ start, every }: Settings, epoch: number): boolean {
  return epoch > start && (epoch - start) % every === 0;
}
