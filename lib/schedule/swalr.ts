/**
 * The scheduler that anneals a rate to that of averaging, after torch's `swa_utils.SWALR`. It knows
 * nothing of averages.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { ratesOf } from './learning_rate.js';
import { checkInteger, checkKeys, invalid } from '../check.js';
import { cosineShape, interpolate } from './schedules.js';
import {
  checkRates,
  checkState,
  inState,
  LRScheduler,
  perGroup,
  STATE_KEYS,
  warnOfSwaLr,
  type LRSchedulerStateDict,
} from './scheduler.js';

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
    this.goTo(0);
    warnOfSwaLr(optimizer);
  }

  /**
   * Sets the next rates; called once a batch or once an epoch, whatever is counted.
   *
   * @throws Error if the groups or the rates no longer fit; the rates and the count stay as they
   *   were then.
   */
  step(): void {
    this.goTo(this.epoch + 1);
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
    const live = ratesOf(this.optimizer);
    checkState(state, SWALR_KEYS, live.length);
    const { swa_lr, anneal_epochs, anneal_strategy } = state;
    const anneal: Anneal = {
      swaLr: checkRates(inState('swa_lr'), swa_lr),
      epochs: checkInteger(inState('anneal_epochs'), anneal_epochs, 0),
      strategy: checkStrategy(inState('anneal_strategy'), anneal_strategy),
    };
    perGroup(inState('swa_lr'), anneal.swaLr, live.length);
    this.load(live, state);
    this.anneal = anneal;
  }

  private goTo(epoch: number): void {
    const { anneal } = this;
    const before = epoch === 0 ? 0 : annealed(anneal, epoch - 1);
    // The way that is left after `before`, which the anneal of 0 epochs ends at once.
    const share = before === 1 ? 1 : (annealed(anneal, epoch) - before) / (1 - before);
    this.set(epoch, (live) => {
      const swaLrs = perGroup('swaLr', anneal.swaLr, live.length);
      return live.map(({ lr }, i) => interpolate(lr, swaLrs[i]!, share));
    });
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

const SWALR_KEYS = [...STATE_KEYS, 'swa_lr', 'anneal_epochs', 'anneal_strategy'];

function checkStrategy(name: string, value: unknown): 'cos' | 'linear' {
  return value === 'cos' || value === 'linear' ? value : invalid(name, value, "'cos' or 'linear'");
}
