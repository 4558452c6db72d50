/**
 * The optimizer wrapper SWA: when to average, the averages, and swapping them in. It knows nothing of
 * layers, backends or files, and leaves groups and states to what every wrapper has in common.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  avgFnConfig,
  avgFnKind,
  checkAvgFn,
  emaOf,
  swaAvgFn,
  type AvgFn,
  type EmaConfig,
} from '../average/avg_fn.js';
import { updateBn } from '../batchnorm/update_bn.js';
import { checkKeys, invalid } from '../check.js';
import { checkLearningRate, shownLearningRate } from '../schedule/learning_rate.js';
import { KEPT_AVERAGES } from '../state/state_dict.js';
import { deserialized, serialized } from './base/make.js';
import { assignAverages, swapAverages, takeAverages } from './group_averages.js';
import type { Group, ParamGroup } from './groups/param_groups.js';
import { checkSchedule, type SWAOptions } from './swa_options.js';
import { SwappingOptimizer } from './swapping_optimizer.js';

/**
 * Stochastic Weight Averaging around any tfjs optimizer: the base optimizer trains as before, and
 * beside it a running average of the weights is kept, which is flatter and generalizes better when
 * the learning rate stays high (Izmailov et al. 2018, arXiv 1803.05407). After torchcontrib's
 * `torchcontrib.optim.SWA`.
 *
 * **Automatic mode** (`swaStart` and `swaFreq` given): from step `swaStart` on the rate is `swaLr`,
 * if given, and after it every `swaFreq`-th step is averaged. **Manual mode** (neither given): the
 * caller calls {@link updateSwa} or {@link updateSwaGroup}.
 *
 * The average of each parameter: `buffer += (param - buffer) / (n_avg + 1)`, then `n_avg += 1`; the
 * first update copies. {@link swapSwaSgd} exchanges parameters and averages, and
 * {@link SWA.bnUpdate} re-estimates the statistics of batch normalization, which the averages need.
 *
 * A step, in this order: the rate is set to `swaLr` in groups with `step_counter >= swaStart`; the
 * base optimizer steps; `step_counter += 1` in every group, then each is averaged if
 * `step_counter > swaStart && step_counter % swaFreq === 0`.
 *
 * Each parameter group has a base optimizer of its own, and with it its own rate, hyper-parameters
 * and slots. Limits: variables are float32; no step can be taken while swapped. A variable that is
 * disposed drops out of its group, with a warning.
 *
 * @example
 * // Automatic mode: average every 5 steps after step 10, at a rate of 0.05.
 * const x = tf.variable(tf.tensor1d([4, -2]));
 * const swa = new SWA(tf.train.momentum(0.1, 0.9), { swaStart: 10, swaFreq: 5, swaLr: 0.05 });
 * for (let i = 0; i < 100; i++) swa.minimize(() => tf.sum(tf.square(x)), false, [x]);
 * swa.swapSwaSgd(); // x now holds the average of 18 values
 *
 * @example
 * // Manual mode: average when you see fit.
 * const y = tf.variable(tf.tensor1d([4, -2]));
 * const manual = new SWA(tf.train.sgd(0.1));
 * for (let i = 0; i < 100; i++) {
 *   manual.minimize(() => tf.sum(tf.square(y)), false, [y]);
 *   if (i >= 50) manual.updateSwa();
 * }
 * await manual.withSwa(() => y.print()); // on the averages, then back to the weights
 */
export class SWA extends SwappingOptimizer {
  /** The name under which `model.save` and `tf.serialization` know the class. */
  static get className(): string {
    return 'SWA';
  }

  /** Steps before averaging starts, or `null` in manual mode. */
  readonly swaStart: number | null;
  /** Steps between two updates of the average, or `null` in manual mode. */
  readonly swaFreq: number | null;
  /** Learning rate from step `swaStart` on, or `null` to leave the rate alone. */
  readonly swaLr: number | null;

  private readonly avgFn: AvgFn;

  /**
   * @param optimizer The base optimizer, any `tf.Optimizer`. The wrapper owns it from now on.
   * @param options When to average and what.
   * @throws Error if an option makes no sense, names a variable twice, or sets a rate that the
   *   optimizer does not have.
   */
  constructor(optimizer: tf.Optimizer, options: SWAOptions = {}) {
    checkKeys(options, ['swaStart', 'swaFreq', 'swaLr', 'paramGroups', 'avgFn']);
    const { avgFn = swaAvgFn(), paramGroups } = options;
    checkAvgFn(avgFn);
    const { schedule, warnings } = checkSchedule(options);
    const [swaStart, swaFreq, swaLr] = schedule;
    const keeps = {
      ...KEPT_AVERAGES,
      ...{ kind: 'SWA', swapMethod: 'swapSwaSgd()', scopeMethod: 'withSwa()' },
      avgFn: avgFnKind(avgFn),
    };
    super(optimizer, keeps, swaLr === null ? null : 'swaLr');
    this.swaStart = swaStart;
    this.swaFreq = swaFreq;
    this.swaLr = swaLr;
    this.avgFn = avgFn;
    if (swaLr !== null) checkLearningRate(optimizer, 'swaLr');
    for (const warning of warnings) this.warn(warning);
    this.nameGroups(paramGroups);
  }

  /** Whether the wrapper averages by itself, at `swaStart` and `swaFreq`. */
  get autoMode(): boolean {
    return this.swaStart !== null;
  }

  /**
   * Takes the parameters of every group into their averages.
   *
   * @throws Error while swapped, or before any variable is known.
   */
  updateSwa(): void {
    this.checkNotSwapped('update the average');
    this.groups.checkKnown();
    takeAverages(this.groups.list, this.avgFn);
  }

  /**
   * Takes the parameters of one group into their averages.
   *
   * @param group One of {@link paramGroups}.
   * @throws Error while swapped, or if the group is not this wrapper's.
   */
  updateSwaGroup(group: ParamGroup): void {
    this.checkNotSwapped('update the average');
    const own = group as Group;
    if (!this.groups.list.includes(own)) invalid('group', group, 'one of paramGroups');
    takeAverages([own], this.avgFn);
  }

  /**
   * Exchanges the parameters and their averages, by reference; its own inverse. A parameter that
   * has no average yet keeps its value, with a warning.
   *
   * @throws Error if averages were loaded whose variables are not known yet, or if another wrapper
   *   has swapped its averages into one of the variables.
   */
  swapSwaSgd(): void {
    for (const { name } of this.swapByHand()) this.warn(notApplied(name));
  }

  /**
   * Gives the parameters the values of their averages; training goes on from there, and the averages
   * stay. A parameter without one keeps its value, with a warning.
   *
   * @throws Error while swapped, or before any variable is known.
   */
  assignSwa(): void {
    this.checkNotSwapped('assign the averages');
    this.groups.checkKnown();
    for (const { name } of assignAverages(this.groups.list)) this.warn(notApplied(name));
  }

  /**
   * Runs `f` while the variables hold the averages, and swaps back whatever happens: at the end of
   * the last of several that overlap. Statistics of batch normalization that {@link updateBn} changes
   * meanwhile go back with the weights. After a swap of your own it leaves the averages in place.
   *
   * @param f What to run; it may be asynchronous.
   * @returns What `f` returns.
   * @throws Error as {@link swapSwaSgd}, and what `f` throws.
   */
  async withSwa<T>(f: () => T | Promise<T>): Promise<T> {
    return this.runSwapped(f);
  }

  /**
   * The configuration, for `fromConfig`: the wrapped optimizer's and the averaging options. An
   * averaging function of the caller's own cannot be part of it, which a warning says.
   *
   * @throws Error if the wrapped optimizer's class has the name of another.
   */
  override getConfig(): tf.serialization.ConfigDict {
    const { optimizer, swaStart, swaFreq, swaLr, avgFn } = this;
    const config = avgFnConfig(avgFn);
    if (config === undefined) this.warn('getConfig() leaves out avgFn, a function of your own');
    return {
      ...{ optimizer: serialized(optimizer), swaStart, swaFreq, swaLr },
      ...(config && { avgFn: { ...config } }),
    };
  }

  /** Makes a wrapper, and the optimizer that it wraps, from a configuration. */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    const { optimizer, swaStart, swaFreq, swaLr, avgFn } = config;
    const ema = avgFn as Partial<EmaConfig> | null | undefined;
    // Checked before the optimizer is made, which would be left behind.
    const averaging = ema && { avgFn: emaOf(ema) };
    return new cls(deserialized(optimizer as ReturnType<typeof serialized>), {
      ...{ swaStart, swaFreq, swaLr },
      ...averaging,
    });
  }

  /** {@link updateBn} under torchcontrib's name. */
  static readonly bnUpdate = updateBn;

  protected override beforeStep(): void {
    const { swaLr, swaStart } = this;
    if (swaLr === null || swaStart === null) return;
    for (const group of this.groups.list) {
      const { step_counter, optimizer } = group;
      if (step_counter < swaStart || shownLearningRate(optimizer) === swaLr) continue;
      if (step_counter > swaStart) {
        this.warn(`swaLr ${swaLr} overwrites a learning rate that was set after swaStart`);
      }
      group.lr = swaLr;
    }
  }

  protected override afterStep(): void {
    const { swaStart, swaFreq } = this;
    super.afterStep();
    if (swaStart === null || swaFreq === null) return;
    const due = this.groups.list.filter(
      ({ step_counter }) => step_counter > swaStart && step_counter % swaFreq === 0,
    );
    takeAverages(due, this.avgFn);
  }

  protected override swapGroups(back: boolean): tf.Variable[] {
    const { list } = this.groups;
    if (list.length === 0) this.warn("SWA wasn't applied: no variable is known yet");
    return swapAverages(list, this.owner, back);
  }

  protected override warnOfLeft(left: readonly tf.Variable[]): void {
    this.warn(notApplied(left.map(({ name }) => name).join(', ')));
  }
}

function notApplied(names: string): string {
  return `SWA wasn't applied to param ${names}; skipping it`;
}

// A bundler takes this along wherever the class is used; register.ts is for where it is not.
tf.serialization.registerClass(SWA);
