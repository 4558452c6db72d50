/**
 * The optimizer wrapper ScheduleFree: training at a point between the weights that step and their
 * average, which needs no schedule. It knows nothing of layers, backends or files, and leaves groups
 * and states to what every wrapper has in common.
 */
import * as tf from '@tensorflow/tfjs-core';
import { moveTowards, startAverage } from '../average/average.js';
import { exchange, setHolder } from '../average/exchange.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import {
  checkLearningRate,
  setLearningRate,
  shownLearningRate,
} from '../schedule/learning_rate.js';
import { alias, isVariable, type NamedTensor } from '../state/tensor_data.js';
import { deserialized, serialized } from './base/make.js';
import type { Group, ParamGroupOptions } from './groups/param_groups.js';
import { SwappingOptimizer } from './swapping_optimizer.js';

/** What the constructor of {@link ScheduleFree} takes beside the optimizer. */
export interface ScheduleFreeOptions {
  /** How near the gradient is taken to the average, in (0, 1]; default 0.9. */
  beta?: number;
  /** Steps over which the rate grows to its full value, an integer >= 0; default 0. */
  warmupSteps?: number;
  /** Late steps weigh more: by `(k + 1)^r`, r >= 0; default 0. */
  r?: number;
  /** Steps at a high rate weigh more: by `max(lr)` to this power, >= 0; default 2. */
  weightLrPower?: number;
  /** The groups; default: the variables of the first step form one. */
  paramGroups?: ParamGroupOptions[];
}

/** The weights that the base optimizer steps, by their name in the state. */
const Z = 'z';
/** The weights of training, while the variables hold the average. */
const Y = 'y';

/**
 * Schedule-free learning around any tfjs optimizer (Defazio et al. 2024, arXiv 2405.15682): as good as
 * a schedule that knew when training ends, at a constant rate. After `schedulefree`'s optimizers.
 *
 * Three points: the base optimizer steps `z`, with the gradient at `y = (1 - beta) z + beta x`, which
 * the variables hold while training, and `x <- (1 - c) x + c z` is the average, which {@link swap} and
 * {@link withAverage} put into them. `c = w / sum w`, `w = (k + 1)^r max(lr)^weightLrPower`, where `k`
 * is the group's `step_counter` and `max(lr)` its largest rate so far; `c = 0` while all `w` are 0. In
 * the first `warmupSteps` steps the rate is `lr (k + 1) / warmupSteps`.
 *
 * Leave momentum to `beta`: SGD, or Adam with `beta1 = 0`. Evaluate, save for use and re-estimate
 * batch normalization ({@link updateBn}) on the average. Limits: weights that are set by hand in the
 * midst of training leave `z` behind; a parameter that has no gradient is left as it is by a step.
 *
 * Memory: one copy of the weights beside them, `z`; two while swapped. Groups, rates, `minimize`,
 * `applyGradients`, state dicts, `compile` and `model.save` are those of {@link SWA}; a group's
 * `n_avg` counts the values of `z`, and one with `average: false` is only stepped.
 *
 * @example
 * const x = tf.variable(tf.tensor1d([4, -2]));
 * const free = new ScheduleFree(tf.train.sgd(0.1), { warmupSteps: 10 });
 * for (let i = 0; i < 100; i++) free.minimize(() => tf.sum(tf.square(x)), false, [x]);
 * await free.withAverage(() => x.print()); // on the average, then back to training
 */
export class ScheduleFree extends SwappingOptimizer {
  /** The name under which `model.save` and `tf.serialization` know the class. */
  static get className(): string {
    return 'ScheduleFree';
  }

  /** How near the gradient is taken to the average. */
  readonly beta: number;
  /** Steps over which the rate grows. */
  readonly warmupSteps: number;
  /** The power of the step in its weight. */
  readonly r: number;
  /** The power of the rate in a step's weight. */
  readonly weightLrPower: number;

  /**
   * @param optimizer The base optimizer, any `tf.Optimizer`. The wrapper owns it from now on.
   * @param options How to average: {@link ScheduleFreeOptions}.
   * @throws Error if an option makes no sense, names a variable twice, or needs a rate that the
   *   optimizer does not have (`warmupSteps`, and `weightLrPower` but for 0).
   */
  constructor(optimizer: tf.Optimizer, options: ScheduleFreeOptions = {}) {
    const { beta, warmupSteps, r, weightLrPower } = checkNumbers(options);
    const rated = warmupSteps > 0 ? 'warmupSteps' : weightLrPower > 0 ? 'weightLrPower' : null;
    super(
      optimizer,
      {
        kind: 'ScheduleFree',
        swapMethod: 'swap()',
        scopeMethod: 'withAverage()',
        avgFn:
          `schedule_free(beta ${beta}, warmup_steps ${warmupSteps}, r ${r}, ` +
          `weight_lr_power ${weightLrPower})`,
        // The average is formed from y and z by the beta that y was made with.
        fixed: true,
        buffers: ({ n_avg, swapped }) => (n_avg > 0 ? [Z, ...(swapped ? [Y] : [])] : []),
        counters: ['lr_max', 'weight_sum'],
      },
      rated,
    );
    if (rated) checkLearningRate(optimizer, rated);
    [this.beta, this.warmupSteps] = [beta, warmupSteps];
    [this.r, this.weightLrPower] = [r, weightLrPower];
    this.nameGroups(options.paramGroups);
  }

  /**
   * Puts the average into the variables; a second time the weights of training, bit for bit. Before
   * the first step they are one, and nothing happens.
   *
   * @throws Error if a state was loaded whose variables are not known yet, or if another wrapper has
   *   swapped its averages into one of the variables.
   */
  swap(): void {
    this.swapByHand();
  }

  /**
   * Runs `f` while the variables hold the average, and swaps back whatever happens: at the end of the
   * last of several that overlap. Statistics of batch normalization that {@link updateBn} changes
   * meanwhile go back with the weights. After a swap of your own it leaves the average in place.
   *
   * @param f What to run; it may be asynchronous.
   * @returns What `f` returns.
   * @throws Error as {@link swap}, and what `f` throws.
   */
  async withAverage<T>(f: () => T | Promise<T>): Promise<T> {
    return this.runSwapped(f);
  }

  /**
   * The configuration, for `fromConfig`: the wrapped optimizer's and the options.
   *
   * @throws Error if the wrapped optimizer's class has the name of another.
   */
  override getConfig(): tf.serialization.ConfigDict {
    const { optimizer, beta, warmupSteps, r, weightLrPower } = this;
    return { optimizer: serialized(optimizer), beta, warmupSteps, r, weightLrPower };
  }

  /** Makes a wrapper, and the optimizer that it wraps, from a configuration. */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    const { optimizer, beta, warmupSteps, r, weightLrPower } = config;
    const options = { beta, warmupSteps, r, weightLrPower } as ScheduleFreeOptions;
    checkNumbers(options); // Before the optimizer is made, which would be left behind.
    return new cls(deserialized(optimizer as ReturnType<typeof serialized>), options);
  }

  /** The gradients are of y, which a search of the base optimizer's own would not step. */
  protected override callsMinimize(): boolean {
    return false;
  }

  protected override stepGroup(group: Group, gradients: NamedTensor[]): void {
    const { params, optimizer, buffers, counters, averaged, n_avg, step_counter } = group;
    const { beta, warmupSteps } = this;
    const rate = shownLearningRate(optimizer) * Math.min(1, (step_counter + 1) / warmupSteps);
    if (!averaged) {
      this.stepAt(rate, group, gradients);
      return;
    }
    const { c, ...next } = this.weigh(group, rate);
    const z = buffers[Z] ?? params.map(startAverage);
    const before = z.map(alias);
    // A variable that is handed over as a gradient means what it holds now.
    const lent: tf.Tensor[] = [];
    const held = gradients.map(({ name, tensor }) => {
      if (!isVariable(tensor)) return { name, tensor };
      lent.push(alias(tensor));
      return { name, tensor: lent.at(-1)! };
    });
    const exchangeAll = (): void => z.forEach((tensor, i) => exchange(params[i]!, tensor));
    exchangeAll();
    try {
      this.stepAt(rate, group, held);
    } catch (error) {
      // y has not moved; z goes back.
      before.forEach((tensor, i) => params[i]!.assign(tensor));
      exchangeAll();
      tf.dispose([before, lent, n_avg === 0 ? z : []]);
      throw error;
    }
    exchangeAll();
    // To x, and from there to the new y: (1 - beta) z + beta ((1 - c) x + c z).
    const stepped = <T>(list: readonly T[]): T[] => list.filter((_, i) => held[i]!.tensor);
    if (n_avg > 0) moveTowards(stepped(params), stepped(before), 1 - 1 / beta);
    moveTowards(stepped(params), stepped(z), 1 - beta * (1 - c));
    tf.dispose([before, lent]);
    buffers[Z] = z;
    Object.assign(counters, next);
    group.n_avg += 1;
  }

  /** The base optimizer's step, at a rate of the moment. */
  private stepAt(rate: number, group: Group, gradients: NamedTensor[]): void {
    const { optimizer } = group;
    const lr = shownLearningRate(optimizer);
    if (rate < lr) setLearningRate(optimizer, rate);
    try {
      super.stepGroup(group, gradients);
    } finally {
      if (rate < lr) setLearningRate(optimizer, lr);
    }
  }

  protected override swapGroups(back: boolean): tf.Variable[] {
    for (const group of this.groups.list) {
      const { params, n_avg, swapped } = group;
      if (back ? !swapped : n_avg === 0) continue;
      const { [Y]: y = params.map(startAverage), ...training } = group.buffers;
      if (!back) moveTowards(y, training[Z]!, 1 - 1 / this.beta);
      params.forEach((param, i) => exchange(param, y[i]!));
      if (back) tf.dispose(y);
      group.buffers = back ? training : { ...training, [Y]: y };
      group.swapped = !back;
      setHolder(params, back ? null : this.owner);
    }
    return [];
  }

  /** The weight `c` of a group's next `z`, and its counters after that. */
  private weigh({ step_counter, counters }: Group, lr: number) {
    const lr_max = lr > counters['lr_max']! ? lr : counters['lr_max']!;
    const weight = (step_counter + 1) ** this.r * lr_max ** this.weightLrPower;
    const weight_sum = counters['weight_sum']! + weight;
    if (!Number.isFinite(weight_sum)) invalid('sum of weights', weight_sum, 'a finite number');
    return { c: weight_sum > 0 ? weight / weight_sum : 0, lr_max, weight_sum };
  }
}

/** The options but for the groups, with the defaults. */
function checkNumbers(options: ScheduleFreeOptions) {
  checkKeys(options, ['beta', 'warmupSteps', 'r', 'weightLrPower', 'paramGroups']);
  const { beta = 0.9, warmupSteps = 0, r = 0, weightLrPower = 2 } = options;
  const range = 'a number in (0, 1]';
  if (checkNumber('beta', beta, Number.MIN_VALUE, range) > 1) invalid('beta', beta, range);
  checkInteger('warmupSteps', warmupSteps, 0);
  checkNumber('r', r, 0);
  checkNumber('weightLrPower', weightLrPower, 0);
  return { beta, warmupSteps, r, weightLrPower };
}

// A bundler takes this along wherever the class is used; register.ts is for where it is not.
tf.serialization.registerClass(ScheduleFree);
