/** The scheduler that sets what a schedule gives, after torch's `lr_scheduler.LambdaLR`. */
import type * as tf from '@tensorflow/tfjs-core';
import { ratesOf } from './learning_rate.js';
import { checkNumber, invalid } from '../check.js';
import type { Schedule } from './schedules.js';
import {
  checkState,
  LRScheduler,
  perGroup,
  STATE_KEYS,
  warnOfSwaLr,
  type LRSchedulerStateDict,
} from './scheduler.js';

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

  /**
   * Takes over a count and rates, also the optimizer's; the schedule is the constructor's. Loaded
   * beside the optimizer's own state it goes on as if it had never stopped.
   *
   * @throws Error that says what is wrong with the state; nothing has changed then.
   */
  loadStateDict(state: LRSchedulerStateDict): void {
    const live = ratesOf(this.optimizer);
    checkState(state, STATE_KEYS, live.length);
    this.load(live, state);
  }

  private goTo(epoch: number): void {
    this.set(epoch, ({ length }) =>
      perGroup('schedule', this.schedule, length).map((schedule, i) =>
        checkNumber(`rate of group ${i} at step ${epoch}`, schedule(epoch), 0),
      ),
    );
  }
}
