/**
 * The scheduler that lowers a rate where a metric no longer gets better, after torch's
 * `lr_scheduler.ReduceLROnPlateau`. It knows nothing of where the metric comes from.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { ratesOf } from './learning_rate.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import {
  checkState,
  inState,
  LRScheduler,
  STATE_KEYS,
  warnOfSwaLr,
  type LRSchedulerStateDict,
} from './scheduler.js';

/** What the constructor of {@link ReduceLROnPlateau} takes beside the optimizer. */
export interface ReduceLROnPlateauOptions {
  /** What the rate is multiplied by, in [0, 1); default 0.1. */
  factor?: number;
  /** How many calls without a better metric are let pass, an integer >= 0; default 10. */
  patience?: number;
  /** By which share of the best so far a metric has to be better, finite, >= 0; default 1e-4. */
  threshold?: number;
  /** Calls after a reduction that are not counted, an integer >= 0; default 0. */
  cooldown?: number;
  /** The least rate, finite, >= 0; default 0. */
  minLr?: number;
  /** Whether less is better ('min', the default: a loss) or more ('max': an accuracy). */
  mode?: 'min' | 'max';
}

/** What {@link ReduceLROnPlateau} remembers. */
export interface ReduceLROnPlateauStateDict extends LRSchedulerStateDict {
  /** The best metric so far; `null` before the first. */
  best: number | null;
  /** Calls without a better one since. */
  num_bad_epochs: number;
  /** Calls that will not be counted. */
  cooldown_counter: number;
  /** The option of this name, as the others below. */
  factor: number;
  /** In calls. */
  patience: number;
  /** A share of the best so far. */
  threshold: number;
  /** In calls. */
  cooldown: number;
  /** The option `minLr`. */
  min_lr: number;
  /** Whether less is better or more. */
  mode: 'min' | 'max';
}

/** Changes of a rate that are left out (torch's `eps`). */
const LEAST_CHANGE = 1e-8;

/** What has been seen so far. */
interface Seen {
  readonly best: number | null;
  readonly bad: number;
  readonly cooldown: number;
}

/**
 * Multiplies the rates by `factor` when a metric has not got better for more than `patience` calls
 * of `step(metric)`. Better is below `best (1 - threshold)`, or with mode 'max' above `best (1 +
 * threshold)`; the first finite metric is. After a reduction `cooldown` calls are not counted. A
 * rate does not fall below `minLr`, and changes of at most 1e-8 are left out. A metric that is not
 * finite is no better than any.
 *
 * Groups: all are reduced, from their own rates; an SWA's own `swaLr` wins, as with {@link
 * LambdaLR}.
 *
 * @example
 * const x = tf.variable(tf.scalar(4));
 * const optimizer = tf.train.sgd(0.5);
 * const scheduler = new ReduceLROnPlateau(optimizer, { factor: 0.5, patience: 0 });
 * for (const loss of [3, 2, 2]) scheduler.step(loss);
 * scheduler.lastLr; // [0.25]: the third loss was no better than the second
 *
 * @see torch.optim.lr_scheduler.ReduceLROnPlateau, with its relative threshold.
 */
export class ReduceLROnPlateau extends LRScheduler {
  private options: Required<ReduceLROnPlateauOptions>;
  private seen: Seen = { best: null, bad: 0, cooldown: 0 };

  /**
   * @param optimizer An SWA, or any `tf.Optimizer`.
   * @param options When to reduce, and by how much.
   * @throws Error if an option makes no sense, or if the optimizer's rate cannot be read and set.
   */
  constructor(optimizer: tf.Optimizer, options: ReduceLROnPlateauOptions = {}) {
    super(optimizer);
    checkKeys(options, ['factor', 'patience', 'threshold', 'cooldown', 'minLr', 'mode']);
    const { factor = 0.1, patience = 10, threshold = 1e-4, cooldown = 0 } = options;
    const { minLr = 0, mode = 'min' } = options;
    this.options = checkOptions({ factor, patience, threshold, cooldown, minLr, mode });
    this.set(0, (live) => live.map(({ lr }) => lr));
    warnOfSwaLr(optimizer);
  }

  /**
   * Takes a metric, once an epoch say, and reduces the rates if it is time.
   *
   * @param metric What is watched, a validation loss say.
   * @throws Error if it is no number, or a rate is refused; nothing has changed then.
   */
  step(metric: number): void {
    if (typeof metric !== 'number') invalid('metric', metric, 'a number');
    const { factor, patience, cooldown, minLr } = this.options;
    let { best, bad, cooldown: left } = this.seen;
    if (this.isBetter(metric)) [best, bad] = [metric, 0];
    else bad += 1;
    if (left > 0) [left, bad] = [left - 1, 0];
    const reduces = bad > patience;
    if (reduces) [left, bad] = [cooldown, 0];
    this.set(this.epoch + 1, (live) =>
      live.map(({ lr }) => {
        const lower = Math.max(lr * factor, minLr);
        return reduces && lr - lower > LEAST_CHANGE ? lower : lr;
      }),
    );
    this.seen = { best, bad, cooldown: left };
  }

  /** The options, what has been seen, the count and the rates, as plain data. */
  override stateDict(): ReduceLROnPlateauStateDict {
    const { minLr, ...options } = this.options;
    const { best, bad, cooldown } = this.seen;
    return {
      ...super.stateDict(),
      ...{ best, num_bad_epochs: bad, cooldown_counter: cooldown },
      ...options,
      min_lr: minLr,
    };
  }

  /**
   * Takes over a state: the options, as torch does, what has been seen, the count and the rates,
   * also the optimizer's.
   *
   * @throws Error that says what is wrong with the state; nothing has changed then.
   */
  loadStateDict(state: ReduceLROnPlateauStateDict): void {
    const live = ratesOf(this.optimizer);
    checkState(state, PLATEAU_KEYS, live.length);
    const { best, num_bad_epochs: bad, cooldown_counter, min_lr: minLr, ...rest } = state;
    const { factor, patience, threshold, cooldown, mode } = rest;
    const options = checkOptions({ factor, patience, threshold, cooldown, minLr, mode }, (name) =>
      inState(name === 'minLr' ? 'min_lr' : name),
    );
    if (best !== null) checkNumber(inState('best'), best, -Infinity, 'a finite number or null');
    checkInteger(inState('num_bad_epochs'), bad, 0);
    checkInteger(inState('cooldown_counter'), cooldown_counter, 0);
    this.load(live, state);
    this.options = options;
    this.seen = { best, bad, cooldown: cooldown_counter };
  }

  private isBetter(metric: number): boolean {
    const { threshold, mode } = this.options;
    const { best } = this.seen;
    if (!Number.isFinite(metric) || best === null) return Number.isFinite(metric);
    return mode === 'min' ? metric < best * (1 - threshold) : metric > best * (1 + threshold);
  }
}

const PLATEAU_KEYS = [
  ...STATE_KEYS,
  ...['best', 'num_bad_epochs', 'cooldown_counter'],
  ...['factor', 'patience', 'threshold', 'cooldown', 'min_lr', 'mode'],
];

function checkOptions(
  options: Required<ReduceLROnPlateauOptions>,
  called = (name: string): string => name,
): Required<ReduceLROnPlateauOptions> {
  const { factor, patience, threshold, cooldown, minLr, mode } = options;
  if (!(checkNumber(called('factor'), factor, 0, SHARE) < 1)) {
    invalid(called('factor'), factor, SHARE);
  }
  checkInteger(called('patience'), patience, 0);
  checkNumber(called('threshold'), threshold, 0);
  checkInteger(called('cooldown'), cooldown, 0);
  checkNumber(called('minLr'), minLr, 0);
  if (mode !== 'min' && mode !== 'max') invalid(called('mode'), mode, "'min' or 'max'");
  return options;
}

const SHARE = 'a number in [0, 1)';
