/**
 * Learning-rate schedules: pure functions from the step, counted from 0, to the rate. They know
 * nothing of optimizers; `LambdaLR` hands their rates to one.
 */
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';

/**
 * A learning rate for each step; pure, so it can be drawn, tested and called in any order. What a
 * step is, a batch or an epoch, is the caller's choice. The schedules of this file take any finite
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
 * A triangle wave: torch's CyclicLR in its mode 'triangular'. From `low` up to `high` in
 * `stepsUp` steps and down again in `stepsDown`, over and over. With `c = stepsUp + stepsDown` and
 * `p = mod(step, c)`: `t = min(p / stepsUp, (c - p) / stepsDown)`, `rate = (1 - t) low + t high`.
 *
 * @param options.low Rate at step 0 and at each cycle's start, finite, from 0 to `high`.
 * @param options.high Rate at the tip, finite.
 * @param options.stepsUp Steps from `low` to `high`, an integer >= 1.
 * @param options.stepsDown Steps from `high` to `low`, an integer >= 1.
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = triangular({ low: 0.01, high: 0.05, stepsUp: 1, stepsDown: 4 });
 * [0, 1, 2, 3, 4, 5].map(schedule); // 0.01, 0.05, 0.04, 0.03, 0.02, 0.01
 *
 * @see torch.optim.lr_scheduler.CyclicLR; Smith 2017, arXiv 1506.01186, section 3.
 */
export function triangular(options: {
  low: number;
  high: number;
  stepsUp: number;
  stepsDown: number;
}): Schedule {
  const { low, high, stepsUp, stepsDown } = checkBounds(options, ['stepsUp', 'stepsDown']);
  const cycle = stepsUp + stepsDown;
  return (step) => {
    const p = checkStep(step) % cycle;
    return interpolate(low, high, Math.min(p / stepsUp, (cycle - p) / stepsDown));
  };
}

/**
 * The cyclic rate of the SWA paper: a saw that falls from near `high` to `low` in `steps` steps
 * and jumps back. With `i = step + 1` and `c = steps`: `t = (mod(i - 1, c) + 1) / c`,
 * `rate = (1 - t) high + t low`. So `low`, where the paper averages, comes at each `i` that `c`
 * divides; the first rate of a cycle is a `c`-th of the way below `high`; and `steps: 1` is the
 * constant rate `low`. Within a step the rate does not change.
 *
 * @param options.high Rate above the start of a cycle (the paper's alpha_1), finite.
 * @param options.low Rate at the end of a cycle (alpha_2), finite, from 0 to `high`.
 * @param options.steps Steps of a cycle (c), an integer >= 1.
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = cyclic({ high: 0.05, low: 0.01, steps: 4 });
 * [0, 1, 2, 3, 4].map(schedule); // 0.04, 0.03, 0.02, 0.01, 0.04
 *
 * @see Izmailov et al. 2018, arXiv 1803.05407, section 3.1.
 */
export function cyclic(options: { high: number; low: number; steps: number }): Schedule {
  const { low, high, steps } = checkBounds(options, ['steps']);
  return (step) => interpolate(high, low, (Math.floor(checkStep(step) % steps) + 1) / steps);
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

function checkStep(step: number): number {
  return checkNumber('step', step, 0);
}

/** Checks options that are rates, >= 0, and lengths in steps, >= 1, and nothing else. */
function checkOptions<T extends object>(
  options: T,
  rates: ReadonlyArray<keyof T & string>,
  lengths: ReadonlyArray<keyof T & string>,
): T {
  checkKeys(options, [...rates, ...lengths]);
  for (const name of rates) checkNumber(name, options[name], 0);
  for (const name of lengths) checkInteger(name, options[name], 1);
  return options;
}

/** The same where two of the rates are `low` and `high`, in this order. */
function checkBounds<T extends { low: number; high: number }>(
  options: T,
  lengths: ReadonlyArray<keyof T & string>,
): T {
  const { low, high } = checkOptions(options, ['low', 'high'], lengths);
  if (low > high) invalid('low', low, `a finite number from 0 to high, ${high}`);
  return options;
}
