/**
 * What the schedulers have in common: they write learning rates to an optimizer between two of its
 * steps, count their calls, and keep both as plain data. It knows nothing of which rates.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { ratesOf, setRates, type Rate } from './learning_rate.js';
import { checkInteger, checkNumber, invalid } from '../check.js';

/** What a scheduler remembers, as plain data: no functions, so a schedule is not part of it. */
export interface LRSchedulerStateDict {
  /** How often `step()` was called. */
  last_epoch: number;
  /** The rates that the scheduler set last, one a group. */
  _last_lr: number[];
  /** The rates of the optimizer when the state was taken, one a group, whoever set them. */
  lr: number[];
}

/** What the schedulers have in common: a count of calls, and the rates that were set last. */
export abstract class LRScheduler {
  /** Calls of `step()` so far. */
  protected epoch = 0;
  /** The rates that were set last, one a group. */
  private rates: readonly number[] = [];

  protected constructor(protected readonly optimizer: tf.Optimizer) {
    const { applyGradients } = (optimizer ?? {}) as Partial<tf.Optimizer>;
    if (typeof applyGradients !== 'function') {
      invalid('optimizer', optimizer, 'an SWA or a tf.train optimizer');
    }
  }

  /** The rates that the scheduler set last, one a group. */
  get lastLr(): number[] {
    return [...this.rates];
  }

  /** Sets the rates that follow from those that are, and the count; if one is refused, neither. */
  protected set(epoch: number, next: (live: readonly Rate[]) => number[]): void {
    const live = ratesOf(this.optimizer);
    const rates = next(live);
    setRates(live, rates);
    this.rates = rates;
    this.epoch = epoch;
  }

  /** The count and the rates, as plain data. */
  stateDict(): LRSchedulerStateDict {
    return {
      last_epoch: this.epoch,
      _last_lr: [...this.rates],
      lr: ratesOf(this.optimizer).map(({ lr }) => lr),
    };
  }

  /** Takes over a checked state: first the rates, which the optimizer may still refuse. */
  protected load(live: readonly Rate[], state: LRSchedulerStateDict): void {
    setRates(live, state.lr);
    this.epoch = state.last_epoch;
    this.rates = [...state._last_lr];
  }
}

/** One value for each group, from a list or from one value for all. */
export function perGroup<T>(name: string, values: T | readonly T[], groups: number): readonly T[] {
  if (!Array.isArray(values)) return Array.from({ length: groups }, () => values as T);
  if (values.length === groups) return values as readonly T[];
  return invalid(name, values, `one value, or one for each group: ${groups}`);
}

const warned = /* @__PURE__ */ new WeakSet<tf.Optimizer>();

/** Says, once, that an SWA's own `swaLr` is written at each step, whatever a scheduler sets. */
export function warnOfSwaLr(optimizer: tf.Optimizer): void {
  const { swaLr, swaStart } = optimizer as { swaLr?: number | null; swaStart?: number | null };
  if (swaLr == null || warned.has(optimizer)) return;
  warned.add(optimizer);
  console.warn(
    `The SWA has swaLr ${swaLr} and a scheduler: from step swaStart, ${swaStart}, on swaLr wins, ` +
      'since the SWA writes it at each step',
  );
}

/** What every scheduler's state has. */
export const STATE_KEYS = ['last_epoch', '_last_lr', 'lr'];

/**
 * Checks the part of a state that every scheduler has, and that it is this one's.
 *
 * @param keys What the state has to have, no more and no less.
 * @param groups How many rates there are.
 */
export function checkState(state: unknown, keys: readonly string[], groups: number): void {
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
  // Of the rates set last there may be less: a group can have joined since.
  if ((lr as number[]).length === groups) return;
  const expected = `one rate for each group: ${groups}; load the optimizer's own state first`;
  invalid(inState('lr'), lr, expected);
}

/** What a value of a state is called in a message. */
export function inState(key: string): string {
  return `${key} of the state`;
}

/** A rate, or a copy of a list of them. */
export function checkRates(name: string, rates: number | readonly number[]): number | number[] {
  if (!Array.isArray(rates)) return checkNumber(name, rates, 0);
  if (rates.length === 0) invalid(name, rates, 'a rate, or one for each group');
  return rates.map((rate) => checkNumber(`rate in ${name}`, rate, 0));
}
