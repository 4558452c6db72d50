/** Learning-rate schedules that multiply the rate by a factor, step by step. Pure, as all of them. */
import { checkOptions, checkStep, type Schedule } from './schedules.js';

/**
 * A rate that is multiplied by a factor every so many steps: `rate = from factor^floor(step /
 * every)`.
 *
 * @param options.from Rate at step 0, finite, >= 0.
 * @param options.factor What it is multiplied by, finite, >= 0; above 1 the rate grows (a search for
 *   the highest rate, say).
 * @param options.every Steps from one multiplication to the next, an integer >= 1.
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = stepDecay({ from: 0.1, factor: 0.5, every: 30 });
 * [0, 29, 30, 60].map(schedule); // 0.1, 0.1, 0.05, 0.025
 *
 * @see torch.optim.lr_scheduler.StepLR
 */
export function stepDecay(options: { from: number; factor: number; every: number }): Schedule {
  const { from, factor, every } = checkOptions(options, ['from', 'factor'], ['every']);
  return (step) => from * factor ** Math.floor(checkStep(step) / every);
}

/**
 * A rate that is multiplied by a factor at every step: `rate = from factor^step`.
 *
 * @param options.from Rate at step 0, finite, >= 0.
 * @param options.factor What it is multiplied by, finite, >= 0; above 1 the rate grows (a search for
 *   the highest rate, say).
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = exponential({ from: 0.1, factor: 0.5 });
 * [0, 1, 2].map(schedule); // 0.1, 0.05, 0.025
 *
 * @see torch.optim.lr_scheduler.ExponentialLR
 */
export function exponential(options: { from: number; factor: number }): Schedule {
  const { from, factor } = checkOptions(options, ['from', 'factor'], []);
  return (step) => from * factor ** checkStep(step);
}
