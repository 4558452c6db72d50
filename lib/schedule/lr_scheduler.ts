/**
 * Schedulers, which write learning rates to an optimizer between two of its steps, after torch's
 * `lr_scheduler.LambdaLR` and `swa_utils.SWALR`. They meet an SWA structurally, by its parameter
 * groups, and know nothing of averages.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { getLearningRate, checkLearningRate, setLearningRate } from './learning_rate.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import { cosineShape, interpolate, type Schedule } from './schedules.js';

/** What a scheduler remembers, as plain data: no functions, so a schedule is not part of it. */
export interface LRSchedulerStateDict {
  /** How often `step()` was called. */
  last_epoch: number;
  /** The rates that the scheduler set last, one a group. */
  _last_lr: number[];
  /** The rates of the optimizer when the state was taken, one a group, whoever set them. */
  lr: number[];
}

/** What {@link SWALR} remembers. */
export interface SWALRStateDict extends LRSchedulerStateDict {
  /** The rate at the end of the anneal, for all groups or one a group. */
  swa_lr: number | number[];
  /** Calls of `step()` from the first to the last rate. */
  anneal_epochs: number;
  /** The shape of the anneal. */
  anneal_strategy: 'cos' | 'linear';
}

/** What the constructor of {@link SWALR} takes beside the optimizer. */
export interface SWALROptions {
  /** The rate at the end, finite, >= 0: one for all groups, or a list with one a group. */
  swaLr: number | number[];
  /** Calls of `step()` until then, an integer >= 0; default 10. */
  annealEpochs?: number;
  /** The shape: half a cosine (the default) or a straight line. */
  annealStrategy?: 'cos' | 'linear';
}

/** What the schedulers have in common: a count of calls, and the rates that were set last. */
abstract class LRScheduler {
  /** Calls of `step()` so far. */
  protected epoch = 0;
  /** The rates that were set last, one a group. */
  protected rates: readonly number[] = [];

  protected constructor(protected readonly optimizer: tf.Optimizer) {
    checkOptimizer(optimizer);
  }

  /** The rates that the scheduler set last, one a group. */
  get lastLr(): number[] {
    return [...this.rates];
  }

  /**
   * Sets the next rates; called once a batch or once an epoch, whatever is counted.
   *
   * @throws Error if the groups or the rates no longer fit; the rates and the count stay as they
   *   were then.
   */
  step(): void {
    this.setRates(this.epoch + 1);
    this.epoch += 1;
  }

  /** The rates after `epoch` calls of `step()`, one for each optimizer. */
  protected abstract ratesAt(epoch: number, optimizers: readonly tf.Optimizer[]): number[];

  /** Sets the rates after `epoch` calls of `step()`. */
  protected setRates(epoch: number): void {
    const optimizers = groupOptimizers(this.optimizer);
    const rates = this.ratesAt(epoch, optimizers);
    write(optimizers, rates);
    this.rates = rates;
  }

  /** The count and the rates, as plain data. */
  stateDict(): LRSchedulerStateDict {
    return {
      last_epoch: this.epoch,
      _last_lr: [...this.rates],
      lr: groupOptimizers(this.optimizer).map(getLearningRate),
    };
  }

  /** Takes over a checked state. */
  protected load(optimizers: readonly tf.Optimizer[], state: LRSchedulerStateDict): void {
    write(optimizers, state.lr);
    this.epoch = state.last_epoch;
    this.rates = [...state._last_lr];
  }
}

/**
 * Sets the learning rate that a schedule gives: `lr = schedule(n)` after `n` calls of `step()`,
 * `schedule(0)` at construction. Unlike torch's LambdaLR a schedule gives the rate itself, not a
 * factor.
 *
 * Groups: one schedule is for every group, those added later included, from the next `step()` on.
 * A list has one schedule for each group, in order; when the number of groups is another, already
 * at construction or since, it is an error. An SWA has no groups before its first step, unless
 * they were named; until then it counts as one group, the wrapped optimizer.
 *
 * With an SWA that has a `swaLr` of its own, that one wins from step `swaStart` on, because it is
 * written at each step; a warning says so.
 *
 * @example
 * // A warm-up over 5 epochs, then half a cosine over 45.
 * const x = tf.variable(tf.scalar(4));
 * const swa = new SWA(tf.train.momentum(0.1, 0.9));
 * const warmUp = linear({ from: 0.01, to: 0.1, steps: 5 });
 * const cosine = cosineAnnealing({ from: 0.1, to: 0.01, steps: 45 });
 * const scheduler = new LambdaLR(swa, sequence([[warmUp, 5], cosine]));
 * for (let epoch = 0; epoch < 50; epoch++) {
 *   swa.minimize(() => tf.square(x) as tf.Scalar, false, [x]);
 *   scheduler.step();
 * }
 * scheduler.lastLr; // [0.01]
 *
 * @see torch.optim.lr_scheduler.LambdaLR
 */
export class LambdaLR extends LRScheduler {
  /**
   * @param optimizer An SWA, or any `tf.Optimizer`.
   * @param schedule Rates by calls of `step()`, finite, >= 0; or a list with one for each group.
   * @throws Error if there is another number of schedules than of groups, if a schedule gives no
   *   rate, or if the optimizer's rate cannot be read and set; nothing has changed then.
   */
  constructor(
    optimizer: tf.Optimizer,
    private readonly schedule: Schedule | readonly Schedule[],
  ) {
    super(optimizer);
    const schedules: readonly unknown[] = Array.isArray(schedule) ? schedule : [schedule];
    if (schedules.length === 0 || schedules.some((one) => typeof one !== 'function')) {
      invalid('schedule', schedule, 'a function of the step, or a list of them');
    }
    this.setRates(0);
    warnOfSwaLr(optimizer);
  }

  /**
   * Takes over a count and rates, also the optimizer's; the schedule is the constructor's. Loaded
   * beside the optimizer's own state it goes on as if it had never stopped.
   *
   * @throws Error that says what is wrong with the state; nothing has changed then.
   */
  loadStateDict(state: LRSchedulerStateDict): void {
    const optimizers = groupOptimizers(this.optimizer);
    checkState(state, LR_KEYS, optimizers.length);
    this.load(optimizers, state);
  }

  protected override ratesAt(epoch: number, { length }: readonly tf.Optimizer[]): number[] {
    return perGroup('schedule', this.schedule, length).map((schedule, i) =>
      checkNumber(`rate of group ${i} at step ${epoch}`, schedule(epoch), 0),
    );
  }
}

/**
 * Anneals the learning rate, from what it is, to the rate of averaging, and keeps it there. After
 * `n` calls of `step()`: `lr = (1 - a(n)) base + a(n) swaLr`, where `t = min(1, n / annealEpochs)`
 * and `a = (1 - cos(pi t)) / 2` ('cos') or `a = t` ('linear').
 *
 * As in torch, `base` is not remembered but follows from the rate as it is: each call goes from
 * there by `(a(n) - a(n - 1)) / (1 - a(n - 1))` of the way to `swaLr`. So another scheduler may
 * lead until the first `step()`, and the anneal starts where that one stopped. With
 * `annealEpochs: 0` the rate is `swaLr` at once, from construction on.
 *
 * Groups: a number `swaLr` is for every group; one that is added later joins from its own rate. A
 * list has one rate for each group; when the number of groups is another, it is an error. An SWA
 * has no groups before its first step, unless they were named; until then it counts as one group,
 * the wrapped optimizer. An SWA's own `swaLr` wins, as with {@link LambdaLR}.
 *
 * @example
 * // Half a cosine for 30 epochs; from then on to the constant rate 0.05 within 5, and average.
 * const x = tf.variable(tf.scalar(4));
 * const swa = new SWA(tf.train.sgd(0.1));
 * const scheduler = new LambdaLR(swa, cosineAnnealing({ from: 0.1, to: 0, steps: 60 }));
 * const swaScheduler = new SWALR(swa, { swaLr: 0.05, annealEpochs: 5 });
 * for (let epoch = 0; epoch < 60; epoch++) {
 *   swa.minimize(() => tf.square(x) as tf.Scalar, false, [x]);
 *   if (epoch < 30) scheduler.step();
 *   else {
 *     swaScheduler.step();
 *     swa.updateSwa();
 *   }
 * }
 * swaScheduler.lastLr; // [0.05]
 *
 * @see torch.optim.swa_utils.SWALR
 */
export class SWALR extends LRScheduler {
  private anneal: Anneal;

  /**
   * @param optimizer An SWA, or any `tf.Optimizer`.
   * @param options Where to, in how many calls of `step()`, and in which shape.
   * @throws Error if an option makes no sense, or if the optimizer's rate cannot be read and set;
   *   nothing has changed then.
   */
  constructor(optimizer: tf.Optimizer, options: SWALROptions) {
    super(optimizer);
    checkKeys(options, ['swaLr', 'annealEpochs', 'annealStrategy']);
    const { swaLr, annealEpochs = 10, annealStrategy = 'cos' } = options;
    this.anneal = {
      swaLr: checkRates('swaLr', swaLr),
      epochs: checkInteger('annealEpochs', annealEpochs, 0),
      strategy: checkStrategy('annealStrategy', annealStrategy),
    };
    this.setRates(0);
    warnOfSwaLr(optimizer);
  }

  /** The options, the count and the rates, as plain data. */
  override stateDict(): SWALRStateDict {
    const { swaLr, epochs, strategy } = this.anneal;
    return {
      ...super.stateDict(),
      swa_lr: typeof swaLr === 'number' ? swaLr : [...swaLr],
      anneal_epochs: epochs,
      anneal_strategy: strategy,
    };
  }

  /**
   * Takes over a state: the options, as torch does, the count and the rates, also the optimizer's.
   * Loaded beside the optimizer's own state it goes on as if it had never stopped, also in the
   * middle of an anneal.
   *
   * @throws Error that says what is wrong with the state; nothing has changed then.
   */
  loadStateDict(state: SWALRStateDict): void {
    const optimizers = groupOptimizers(this.optimizer);
    checkState(state, SWALR_KEYS, optimizers.length);
    const { swa_lr, anneal_epochs, anneal_strategy } = state;
    const anneal: Anneal = {
      swaLr: checkRates(inState('swa_lr'), swa_lr),
      epochs: checkInteger(inState('anneal_epochs'), anneal_epochs, 0),
      strategy: checkStrategy(inState('anneal_strategy'), anneal_strategy),
    };
    perGroup(inState('swa_lr'), anneal.swaLr, optimizers.length);
    this.load(optimizers, state);
    this.anneal = anneal;
  }

  protected override ratesAt(epoch: number, optimizers: readonly tf.Optimizer[]): number[] {
    const swaLrs = perGroup('swaLr', this.anneal.swaLr, optimizers.length);
    const before = epoch === 0 ? 0 : annealed(this.anneal, epoch - 1);
    const now = annealed(this.anneal, epoch);
    // The way that is left after `before`, which the anneal of 0 epochs ends at once.
    const share = before === 1 ? 1 : (now - before) / (1 - before);
    return optimizers.map((each, i) => interpolate(getLearningRate(each), swaLrs[i]!, share));
  }
}

/** The options of an anneal, checked. */
interface Anneal {
  readonly swaLr: number | readonly number[];
  readonly epochs: number;
  readonly strategy: 'cos' | 'linear';
}

/** How far the anneal has come after `epoch` calls: `a(epoch)`, from 0 to 1. */
function annealed({ epochs, strategy }: Anneal, epoch: number): number {
  if (epoch >= epochs) return 1;
  const t = epoch / epochs;
  return strategy === 'cos' ? cosineShape(t) : t;
}

/** An SWA, as far as a scheduler looks at it. */
interface Grouped {
  readonly optimizer: tf.Optimizer;
  readonly paramGroups: ReadonlyArray<{ readonly optimizer: tf.Optimizer }>;
  readonly swaLr: number | null;
  readonly swaStart: number | null;
}

function asGrouped(optimizer: tf.Optimizer): (tf.Optimizer & Grouped) | null {
  const { paramGroups } = optimizer as Partial<Grouped>;
  return Array.isArray(paramGroups) ? (optimizer as tf.Optimizer & Grouped) : null;
}

/** Where the rates are read and written, one a group: all of them can take one. */
function groupOptimizers(optimizer: tf.Optimizer): tf.Optimizer[] {
  const grouped = asGrouped(optimizer);
  // A wrapper without groups is written through itself, and answers for the one that it wraps.
  const optimizers = grouped?.paramGroups.map((group) => group.optimizer) ?? [];
  const base = optimizers.length > 0 ? optimizers : [grouped?.optimizer ?? optimizer];
  for (const one of base) checkLearningRate(one, 'lr');
  base.forEach(getLearningRate);
  return optimizers.length > 0 ? optimizers : [optimizer];
}

/** Writes rates that have been checked. */
function write(optimizers: readonly tf.Optimizer[], rates: readonly number[]): void {
  optimizers.forEach((each, i) => setLearningRate(each, rates[i]!));
}

/** One value for each group, from a list or from one value for all. */
function perGroup<T>(name: string, values: T | readonly T[], groups: number): readonly T[] {
  if (!Array.isArray(values)) return Array.from({ length: groups }, () => values as T);
  if (values.length === groups) return values as readonly T[];
  return invalid(name, values, `one value, or one for each group: ${groups}`);
}

const warned = /* @__PURE__ */ new WeakSet<tf.Optimizer>();

function warnOfSwaLr(optimizer: tf.Optimizer): void {
  const { swaLr, swaStart } = asGrouped(optimizer) ?? {};
  if (swaLr == null || warned.has(optimizer)) return;
  warned.add(optimizer);
  console.warn(
    `The SWA has swaLr ${swaLr} and a scheduler: from step swaStart, ${swaStart}, on swaLr wins, ` +
      'since the SWA writes it at each step',
  );
}

const LR_KEYS = ['last_epoch', '_last_lr', 'lr'];
const SWALR_KEYS = [...LR_KEYS, 'swa_lr', 'anneal_epochs', 'anneal_strategy'];

function checkState(state: unknown, keys: readonly string[], groups: number): void {
  if (state === null || typeof state !== 'object' || Array.isArray(state)) {
    return invalid('state', state, 'an object that stateDict() gave');
  }
  const { last_epoch, _last_lr, lr } = state as Record<string, unknown>;
  const given = Object.keys(state);
  const missing = keys.filter((key) => !given.includes(key));
  const unexpected = given.filter((key) => !keys.includes(key));
  if (missing.length + unexpected.length > 0) {
    throw new Error(
      `The state is not this scheduler's (missing: ${missing.join(', ') || 'none'}; ` +
        `unexpected: ${unexpected.join(', ') || 'none'})`,
    );
  }
  checkInteger(inState('last_epoch'), last_epoch, 0);
  for (const [name, list] of Object.entries({ _last_lr, lr })) {
    if (!Array.isArray(list)) invalid(inState(name), list, 'a list of rates, one a group');
    checkRates(inState(name), list as number[]);
  }
  for (const [name, list] of Object.entries({ _last_lr, lr })) {
    perGroup(inState(name), list as number[], groups);
  }
}

function inState(key: string): string {
  return `${key} of the state`;
}

function checkOptimizer(optimizer: unknown): void {
  const { applyGradients } = (optimizer ?? {}) as Partial<tf.Optimizer>;
  if (typeof applyGradients !== 'function') {
    invalid('optimizer', optimizer, 'an SWA or a tf.train optimizer');
  }
}

/** A rate, or a copy of a list of them. */
function checkRates(name: string, rates: number | readonly number[]): number | number[] {
  if (!Array.isArray(rates)) return checkNumber(name, rates, 0);
  if (rates.length === 0) invalid(name, rates, 'a rate, or one for each group');
  return rates.map((rate) => checkNumber(`rate in ${name}`, rate, 0));
}

function checkStrategy(name: string, value: unknown): 'cos' | 'linear' {
  return value === 'cos' || value === 'linear' ? value : invalid(name, value, "'cos' or 'linear'");
}
