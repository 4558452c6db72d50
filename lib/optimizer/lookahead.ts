/**
 * The optimizer wrapper Lookahead: slow weights that follow the fast ones, which go on from there. It
 * knows nothing of layers, backends or files, and leaves groups and states to what every wrapper has
 * in common.
 */
import * as tf from '@tensorflow/tfjs-core';
import { weightedAvgFn, type AvgFn } from '../average/avg_fn.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import { KEPT_AVERAGES } from '../state/state_dict.js';
import { deserialized, serialized } from './base/make.js';
import { assignAverages, takeAverages } from './group_averages.js';
import { GroupedOptimizer } from './grouped_optimizer.js';
import type { Group, ParamGroupOptions } from './groups/param_groups.js';
import type { Keeps } from './groups/save_state.js';

/** What the constructor of {@link Lookahead} takes beside the optimizer. */
export interface LookaheadOptions {
  /** Steps between two synchronizations, an integer >= 1; default 5. */
  k?: number;
  /** How much of the way to the fast weights the slow ones go, in (0, 1]; default 0.5. */
  alpha?: number;
  /** The groups; default: the variables of the first step form one. */
  paramGroups?: ParamGroupOptions[];
}

/**
 * Lookahead around any tfjs optimizer (Zhang et al. 2019, arXiv 1907.08610, Algorithm 1): the base
 * optimizer takes `k` steps, the fast weights; then `slow += alpha (fast - slow)`, and the fast ones
 * go on from the slow ones. Training is steadier, at a higher rate too.
 *
 * The slow weights start at the weights of the first step. A group is synchronized after each step
 * with `step_counter % k === 0`; its `n_avg` is 1, for the start, and one more for each time. What the
 * base optimizer remembers stays. The variables are the fast weights, and after a synchronization the
 * slow ones too, so there is nothing to swap. A group with `average: false` is only stepped.
 *
 * Memory: one copy of the weights beside them. Groups, rates, `minimize`, `applyGradients`, state
 * dicts, `compile` and `model.save` are those of {@link SWA}.
 *
 * @example
 * const x = tf.variable(tf.tensor1d([4, -2]));
 * const lookahead = new Lookahead(tf.train.adam(0.1), { k: 5, alpha: 0.5 });
 * for (let i = 0; i < 100; i++) lookahead.minimize(() => tf.sum(tf.square(x)), false, [x]);
 */
export class Lookahead extends GroupedOptimizer {
  /** The name under which `model.save` and `tf.serialization` know the class. */
  static get className(): string {
    return 'Lookahead';
  }

  /** Steps between two synchronizations. */
  readonly k: number;
  /** How much of the way to the fast weights the slow ones go. */
  readonly alpha: number;

  private readonly avgFn: AvgFn;

  /**
   * @param optimizer The base optimizer, any `tf.Optimizer`. The wrapper owns it from now on.
   * @param options How often and how far: {@link LookaheadOptions}.
   * @throws Error if an option makes no sense, or names a variable twice.
   */
  constructor(optimizer: tf.Optimizer, options: LookaheadOptions = {}) {
    checkKeys(options, ['k', 'alpha', 'paramGroups']);
    const { k = 5, alpha = 0.5, paramGroups } = options;
    checkInteger('k', k, 1);
    const range = 'a number in (0, 1]';
    if (checkNumber('alpha', alpha, Number.MIN_VALUE, range) > 1) invalid('alpha', alpha, range);
    const keeps: Keeps = {
      kind: 'Lookahead',
      avgFn: `lookahead(k ${k}, alpha ${alpha})`,
      ...KEPT_AVERAGES,
      buffers: (group) => (group.swapped ? [] : KEPT_AVERAGES.buffers(group)),
    };
    super(optimizer, keeps, null);
    this.k = k;
    this.alpha = alpha;
    this.avgFn = weightedAvgFn(() => alpha);
    this.nameGroups(paramGroups);
  }

  /**
   * The configuration, for `fromConfig`: the wrapped optimizer's and the options.
   *
   * @throws Error if the wrapped optimizer's class has the name of another.
   */
  override getConfig(): tf.serialization.ConfigDict {
    const { optimizer, k, alpha } = this;
    return { optimizer: serialized(optimizer), k, alpha };
  }

  /** Makes a wrapper, and the optimizer that it wraps, from a configuration. */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    const { optimizer, k, alpha } = config;
    return new cls(deserialized(optimizer as ReturnType<typeof serialized>), { k, alpha });
  }

  protected override beforeStep(): void {
    // The slow weights of a group start at the weights of its first step.
    this.follow(this.groups.list.filter(({ n_avg }) => n_avg === 0));
  }

  protected override afterStep(): void {
    const { list } = this.groups;
    super.afterStep();
    const due = list.filter(({ step_counter }) => step_counter % this.k === 0);
    this.follow(due);
    assignAverages(due);
  }

  private follow(groups: readonly Group[]): void {
    takeAverages(groups, this.avgFn);
  }
}

// A bundler takes this along wherever the class is used; register.ts is for where it is not.
tf.serialization.registerClass(Lookahead);
