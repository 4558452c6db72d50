/** Learning-rate schedules that go up and down between two rates. Pure, as all of them. */
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import { checkOptions, checkStep, cosineShape, interpolate, type Schedule } from './schedules.js';

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
 * One cycle: from a low rate up to `max`, then down to nearly nothing, each on half a cosine. With
 * `w = warmup (steps + 1) - 1` and `a(t) = (1 - cos(pi t)) / 2`: until step w `rate = max
 * (startFactor + (1 - startFactor) a(step / w))`, then `rate = max (1 - (1 - startFactor endFactor)
 * a((step - w) / (steps - w)))`. From step `steps` on it stays at `max startFactor endFactor`.
 * Where `warmup (steps + 1) <= 1` there is no warm-up, and the rate at step 0 is `max`.
 *
 * @param options.max Rate at the top, finite, >= 0 (torch's `max_lr`).
 * @param options.steps Steps from the first rate to the last, an integer >= 1 (torch's
 *   `total_steps` less 1).
 * @param options.startFactor The rate at step 0 as a share of `max`, in [0, 1]; default 1 / 25 (torch's `div_factor` is its inverse).
 * @param options.endFactor The last rate as a share of the first, in [0, 1]; default 1e-4 (the
 *   inverse of torch's `final_div_factor`).
 * @param options.warmup The share of the steps that lead up, in [0, 1]; default 0.3 (torch's
 *   `pct_start`).
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * // w = 0.4 * 5 - 1 = 1
 * const schedule = oneCycle({ max: 0.1, steps: 4, startFactor: 0.5, endFactor: 0, warmup: 0.4 });
 * [0, 1, 2, 3, 4].map(schedule); // 0.05, 0.1, 0.075, 0.025, 0
 *
 * @see torch.optim.lr_scheduler.OneCycleLR (cos, two phases); Smith and Topin 2018, arXiv
 *   1708.07120.
 */
export function oneCycle(options: {
  max: number;
  steps: number;
  startFactor?: number;
  endFactor?: number;
  warmup?: number;
}): Schedule {
  checkKeys(options, ['max', 'steps', 'startFactor', 'endFactor', 'warmup']);
  const { max, steps, startFactor = 1 / 25, endFactor = 1e-4, warmup = 0.3 } = options;
  checkNumber('max', max, 0);
  checkInteger('steps', steps, 1);
  for (const [name, share] of Object.entries({ startFactor, endFactor, warmup })) {
    if (!(checkNumber(name, share, 0, SHARE) <= 1)) invalid(name, share, SHARE);
  }
  const first = max * startFactor;
  const top = Math.min(steps, Math.max(0, warmup * (steps + 1) - 1));
  return (step) => {
    const at = Math.min(checkStep(step), steps);
    if (at < top) return interpolate(first, max, cosineShape(at / top));
    // Where all is warm-up, it ends at the top.
    const t = top < steps ? (at - top) / (steps - top) : 0;
    return interpolate(max, first * endFactor, cosineShape(t));
  };
}

const SHARE = 'a number in [0, 1]';

/**
 * Half a cosine from `high` down towards `low`, again and again, each time from `high` anew. In a
 * cycle of `c` steps, its own step being i: `rate = low + (high - low) (1 + cos(pi i / c)) / 2`. The
 * first cycle takes `steps` steps and each further one `growth` times those of the one before.
 *
 * @param options.high Rate at the start of each cycle, finite.
 * @param options.low Rate that a cycle comes near to (torch's `eta_min`), finite, from 0 to `high`.
 * @param options.steps Steps of the first cycle, an integer >= 1 (torch's `T_0`).
 * @param options.growth How many times longer each cycle is than the one before, an integer >= 1;
 *   default 1 (torch's `T_mult`).
 * @returns The schedule.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 *
 * @example
 * const schedule = warmRestarts({ high: 0.1, low: 0, steps: 2, growth: 2 });
 * [0, 1, 2, 3, 4, 5, 6].map(schedule); // 0.1, 0.05, 0.1, 0.085..., 0.05, 0.014..., 0.1
 *
 * @see torch.optim.lr_scheduler.CosineAnnealingWarmRestarts; Loshchilov and Hutter 2017, SGDR,
 *   arXiv 1608.03983, equation 5.
 */
export function warmRestarts(options: {
  high: number;
  low: number;
  steps: number;
  growth?: number;
}): Schedule {
  checkKeys(options, ['high', 'low', 'steps', 'growth']);
  const { growth = 1, ...rest } = options;
  const { high, low, steps } = checkBounds(rest, ['steps']);
  checkInteger('growth', growth, 1);
  return (step) => {
    let own = checkStep(step);
    let length = steps;
    if (growth === 1) own %= steps;
    for (; own >= length; length *= growth) own -= length;
    return interpolate(high, low, cosineShape(own / length));
  };
}

/** Checks options of which two are `low` and `high`, in this order, and others lengths in steps. */
function checkBounds<T extends { low: number; high: number }>(
  options: T,
  lengths: ReadonlyArray<keyof T & string>,
): T {
  const { low, high } = checkOptions(options, ['low', 'high'], lengths);
  if (low > high) invalid('low', low, `a finite number from 0 to high, ${high}`);
  return options;
}
