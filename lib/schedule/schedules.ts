/**
 * Learning-rate schedules: pure functions from the step, counted from 0, to the rate; here what a
 * schedule is, the plain ones, and one after another. They know nothing of optimizers; `LambdaLR`
 * hands their rates to one.
 */
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';

/**
 * A learning rate for each step; pure, so it can be drawn, tested and called in any order. What a
 * step is, a batch or an epoch, is the caller's choice. The schedules of this package take any finite
 * step >= 0, fractions of a step included, and throw `Invalid step: -1 (expected a finite number
 * >= 0)` for another.
 */
export type Schedule = (step: number) => number;

/** One phase of a {@link sequence}: a schedule, and for how many steps it is followed. */
export type SchedulePhase = readonly [schedule: Schedule, steps: number];

/**
 * The point at fraction `t` of the way: `(1 - t) from + t to`, in the form that gives exactly
 * `from` at 0 and `to` at 1, never leaves the two, and stays put where they are equal.
 */
export function interpolate(from: number, to: number, t: number): number {
  return t < 0.5 ? from + (to - from) * t : to - (to - from) * (1 - t);
}

/** The shape of a cosine anneal: `(1 - cos(pi t)) / 2`, from 0 at t = 0 to 1 at t = 1. */
export function cosineShape(t: number): number {
  return (1 - Math.cos(Math.PI * t)) / 2;
}

/**
 * The same rate at every step: `rate = lr`.
 *
 * @param lr Learning rate, finite, >= 0.
 * @returns The schedule.
 * @throws Error `Invalid lr: VALUE (expected ...)`.
 *
 * @example
 * const schedule = constant(0.1);
 * schedule(1000); // 0.1
 *
 * @see torch.optim.lr_scheduler.ConstantLR, whose start at another rate is a {@link sequence}.
 */
export function constant(lr: number): Schedule {
  checkNumber('lr', lr, 0);
  return (step) => {
    checkStep(step);
    return lr;
  };
}

/**
 * A straight line from one rate to another: `rate = (1 - t) from + t to`, `t = min(1, step /
 * steps)`. From step `steps` on it stays at `to`.
 *
 * @param options.from Rate at step 0, finite, >= 0.
 * @param options.to Rate from step `steps` on, finite, >= 0; above `from` for a warm-up.
 * @param options.steps Steps from the one to the other, an integer >= 1.
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = linear({ from: 0.1, to: 0.05, steps: 5 });
 * [0, 1, 4, 5, 6].map(schedule); // 0.1, 0.09, 0.06, 0.05, 0.05
 *
 * @see torch.optim.lr_scheduler.LinearLR
 */
export function linear(options: { from: number; to: number; steps: number }): Schedule {
  const { from, to, steps } = checkOptions(options, ['from', 'to'], ['steps']);
  return (step) => interpolate(from, to, Math.min(1, checkStep(step) / steps));
}

/**
 * Half a cosine from one rate to another: `rate = from + (to - from) (1 - cos(pi step / steps)) /
 * 2`. It arrives at `to` at step `steps`, and then, as torch's CosineAnnealingLR beyond its
 * `T_max`, goes the same way back: it is at `from` again at step `2 steps`, and so on. To stay at
 * `to`, say where it ends: `sequence([[cosineAnnealing(options), steps]])`.
 *
 * @param options.from Rate at step 0, finite, >= 0.
 * @param options.to Rate at step `steps`, finite, >= 0 (torch's `eta_min`).
 * @param options.steps Steps from the one to the other, an integer >= 1 (torch's `T_max`).
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = cosineAnnealing({ from: 0.1, to: 0.02, steps: 4 });
 * [0, 2, 4, 6, 8].map(schedule); // 0.1, 0.06, 0.02, 0.06, 0.1
 *
 * @see torch.optim.lr_scheduler.CosineAnnealingLR, in its closed form; Loshchilov and Hutter 2017,
 *   SGDR, arXiv 1608.03983, equation 5.
 */
export function cosineAnnealing(options: { from: number; to: number; steps: number }): Schedule {
  const { from, to, steps } = checkOptions(options, ['from', 'to'], ['steps']);
  return (step) => interpolate(from, to, cosineShape((checkStep(step) % (2 * steps)) / steps));
}

/**
 * One schedule after another, each from its own step 0: part k, which starts at
 * `start = steps_0 + ... + steps_(k-1)`, gives `rate = schedule_k(step - start)`.
 *
 * @param parts Pairs of a schedule and the steps for which it is followed, an integer >= 1. The
 *   last may be a bare schedule, which runs on for ever; where it is a pair, the rate stays, from
 *   its end on, at what its schedule gives for step `steps`: `to`, where a `linear` or
 *   `cosineAnnealing` of as many steps ends.
 * @returns The schedule.
 * @throws Error if there is no part, or if one is neither of these.
 *
 * @example
 * // The rates of a run of 100 epochs: high, annealed, then cycles to average over.
 * const schedule = sequence([
 *   [constant(0.1), 20],
 *   [cosineAnnealing({ from: 0.1, to: 0.01, steps: 30 }), 30],
 *   cyclic({ high: 0.05, low: 0.01, steps: 5 }),
 * ]);
 * [0, 20, 35, 50, 54].map(schedule); // 0.1, 0.1, 0.055, 0.042, 0.01
 *
 * @see torch.optim.lr_scheduler.SequentialLR
 */
export function sequence(parts: ReadonlyArray<SchedulePhase | Schedule>): Schedule {
  if (!Array.isArray(parts) || !parts.length) {
    invalid('sequence', parts, 'a list [[schedule, steps], ..., schedule]');
  }
  const phases = (parts as readonly unknown[]).map((part, k): SchedulePhase => {
    if (k === parts.length - 1 && typeof part === 'function') return [part as Schedule, Infinity];
    if (!Array.isArray(part) || part.length !== 2 || typeof part[0] !== 'function') {
      const expected = '[schedule, steps]; only the last may be a schedule alone';
      return invalid(`sequence[${k}]`, part, expected);
    }
    return [part[0] as Schedule, checkInteger(`steps of sequence[${k}]`, part[1], 1)];
  });
  const [last, lastSteps] = phases.pop()!;
  return (step) => {
    let own = checkStep(step);
    for (const [schedule, steps] of phases) {
      if (own < steps) return schedule(own);
      own -= steps;
    }
    return last(Math.min(own, lastSteps));
  };
}

/** Passes on a step, a finite number >= 0, and refuses anything else. */
export function checkStep(step: number): number {
  return checkNumber('step', step, 0);
}

/** Checks options that are rates, >= 0, and lengths in steps, >= 1, and nothing else. */
export function checkOptions<T extends object>(
  options: T,
  rates: ReadonlyArray<keyof T & string>,
  lengths: ReadonlyArray<keyof T & string>,
): T {
  checkKeys(options, [...rates, ...lengths]);
  for (const name of rates) checkNumber(name, options[name], 0);
  for (const name of lengths) checkInteger(name, options[name], 1);
  return options;
}
