/**
 * The optimizer wrapper: options -> groups -> step -> average -> swap and state dict. It composes
 * the other files and knows nothing of layers, backends or files.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  avgFnConfig,
  checkAvgFn,
  emaAvgFn,
  swaAvgFn,
  type AvgFn,
  type EmaConfig,
} from '../average/average.js';
import { updateBn } from '../batchnorm/update_bn.js';
import {
  getLearningRate,
  checkLearningRate,
  setLearningRate,
  shownLearningRate,
} from '../schedule/learning_rate.js';
import { GroupSet } from './group_set.js';
import { checkKeys, checkSchedule, invalid } from '../check.js';
import {
  isOptimizer,
  type Group,
  type ParamGroup,
  type ParamGroupOptions,
} from './param_groups.js';
import { checkStateDict, liveState, saveState, type SWAStateDict } from '../state/state_dict.js';
import { checkAlive, isVariable, type NamedTensor } from '../state/tensor_data.js';
import { fromWeights, toWeights } from '../state/tfjs_weights.js';

const UNKNOWN_VARIABLES =
  'No variable is known yet: take a step first, or name them with paramGroups or addParamGroup()';

/** What the constructor of {@link SWA} takes beside the optimizer. */
export interface SWAOptions {
  /** Steps before averaging starts, an integer >= 0. With `swaFreq`: automatic mode. */
  swaStart?: number | null;
  /** Steps between two updates of the average, an integer >= 1. */
  swaFreq?: number | null;
  /** Learning rate of every group from step `swaStart` on, >= 0; automatic mode only. */
  swaLr?: number | null;
  /** The groups; default: the variables of the first step form one. */
  paramGroups?: ParamGroupOptions[];
  /** How to average; default {@link swaAvgFn}, the equal average. Not part of the state. */
  avgFn?: AvgFn;
}

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
 * base optimizer steps; `step_counter += 1`, and the group is averaged if
 * `step_counter > swaStart && step_counter % swaFreq === 0`.
 *
 * Each parameter group has a base optimizer of its own, and with it its own rate, hyper-parameters
 * and slots. Limits: variables are float32; no step can be taken while swapped.
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
export class SWA extends tf.Optimizer {
  /** The name under which `model.save` and `tf.serialization` know the class. */
  static get className(): string {
    return 'SWA';
  }

  /** The wrapped optimizer; it is also the first group's. */
  readonly optimizer: tf.Optimizer;
  /** Steps before averaging starts, or `null` in manual mode. */
  readonly swaStart: number | null;
  /** Steps between two updates of the average, or `null` in manual mode. */
  readonly swaFreq: number | null;
  /** Learning rate from step `swaStart` on, or `null` to leave the rate alone. */
  readonly swaLr: number | null;

  private readonly avgFn: AvgFn;
  private readonly groups: GroupSet;
  /** How many {@link withSwa} run on the averages that the first of them swapped in. */
  private scopes = 0;
  /** Tensors made for {@link getWeights}, whose callers in tfjs dispose nothing. */
  private lent: tf.Tensor[] = [];
  private readonly warned = new Set<string>();
  private disposed = false;

  /**
   * @param optimizer The base optimizer, any `tf.Optimizer`. The wrapper owns it from now on.
   * @param options When to average and what.
   * @throws Error if an option makes no sense, names a variable twice, or sets a rate that the
   *   optimizer does not have.
   */
  constructor(optimizer: tf.Optimizer, options: SWAOptions = {}) {
    super();
    if (!isOptimizer(optimizer)) invalid('optimizer', optimizer, 'a tf.train optimizer');
    checkKeys(options, ['swaStart', 'swaFreq', 'swaLr', 'paramGroups', 'avgFn']);
    const { avgFn = swaAvgFn(), paramGroups } = options;
    [this.swaStart, this.swaFreq, this.swaLr] = checkSchedule(options, (message) =>
      this.warn(message),
    );
    if (this.swaLr !== null) checkLearningRate(optimizer, 'swaLr');
    checkAvgFn(avgFn);
    this.optimizer = optimizer;
    this.avgFn = avgFn;
    this.groups = new GroupSet(optimizer, this.swaLr);
    if (paramGroups === undefined) return;
    if (!Array.isArray(paramGroups) || paramGroups.length === 0) {
      invalid('paramGroups', paramGroups, 'a list of at least one group');
    }
    this.groups.add(paramGroups);
  }

  /** Whether the wrapper averages by itself, at `swaStart` and `swaFreq`. */
  get autoMode(): boolean {
    return this.swaStart !== null;
  }

  /** The parameter groups, in order; none before the first step if none were given. */
  get paramGroups(): readonly ParamGroup[] {
    return this.groups.list;
  }

  /** Whether the variables now hold the averages. */
  get swapped(): boolean {
    const { pending, list } = this.groups;
    return (pending?.param_groups ?? list).some(({ swapped }) => swapped);
  }

  /** Steps that the wrapped optimizer has taken. */
  override get iterations(): number {
    return this.optimizer.iterations;
  }

  /** The first group's learning rate; writing it sets every group's. */
  get learningRate(): number {
    return this.groups.pending?.param_groups[0]?.lr ?? getLearningRate(this.optimizer);
  }

  /** Sets every group's learning rate. */
  set learningRate(learningRate: number) {
    this.setLearningRate(learningRate);
  }

  /** Sets the learning rate of every group. */
  setLearningRate(learningRate: number): void {
    this.checkUsable();
    setLearningRate(this.optimizer, learningRate);
    const { pending, list } = this.groups;
    for (const group of [...list, ...(pending?.param_groups ?? [])]) group.lr = learningRate;
  }

  /**
   * Takes one step: differentiates `f`, steps the base optimizers, and averages if it is time.
   *
   * @param f Computes the loss, a scalar.
   * @param returnCost Whether to return the loss; default false.
   * @param varList The variables to differentiate; default: all that are in groups, or every
   *   trainable variable if no groups were named.
   * @returns The loss, which the caller disposes, or `null`.
   * @throws Error while swapped, or if a variable is in no group.
   */
  override minimize(
    f: () => tf.Scalar,
    returnCost = false,
    varList?: tf.Variable[],
  ): tf.Scalar | null {
    // A loaded state first takes the variables that it waits for: it may have been swapped.
    if (this.groups.pending && varList) this.include(varList);
    this.checkNotSwapped('step');
    const list = this.groups.differentiated(varList);
    // A base optimizer with a way of its own (line search, several evaluations) keeps it.
    if (this.optimizer.minimize !== tf.Optimizer.prototype.minimize) {
      const variables = list ?? this.variablesOf(f);
      this.include(variables);
      const [group, ...others] = this.groups.list;
      if (group && others.length === 0) {
        const all = variables.length === group.params.length ? [...group.params] : variables;
        this.setSwaLr();
        const cost = this.optimizer.minimize(f, returnCost, all);
        this.countStep();
        return cost;
      }
    }
    const { value, grads } = this.optimizer.computeGradients(f, list);
    try {
      this.applyGradients(list?.map(({ name }) => ({ name, tensor: grads[name]! })) ?? grads);
    } catch (error) {
      value.dispose();
      throw error;
    } finally {
      tf.dispose(grads);
    }
    if (returnCost) return value;
    value.dispose();
    return null;
  }

  /**
   * Differentiates `f` without taking a step.
   *
   * @param varList As for {@link minimize}.
   * @returns The loss and the gradients by variable name, which the caller disposes.
   */
  override computeGradients(
    f: () => tf.Scalar,
    varList?: tf.Variable[],
  ): { value: tf.Scalar; grads: tf.NamedTensorMap } {
    this.checkUsable();
    return this.optimizer.computeGradients(f, this.groups.differentiated(varList));
  }

  /**
   * Takes one step with gradients that the caller has computed, and still owns afterwards.
   *
   * @param gradients By variable name, or a list; a variable without one keeps its place and slots.
   * @throws Error while swapped, for a variable of no group, or a gradient of another shape.
   */
  override applyGradients(gradients: tf.NamedTensorMap | NamedTensor[]): void {
    this.checkNotSwapped('step');
    const list = Array.isArray(gradients)
      ? gradients
      : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
    const ofGroups = this.groups.gradientsOf(list);
    // A loaded state that now has its variables may have been swapped.
    this.checkNotSwapped('step');
    this.groups.checkAlive();
    this.setSwaLr();
    this.groups.list.forEach(({ optimizer }, g) => optimizer.applyGradients(ofGroups[g]!));
    this.countStep();
  }

  /**
   * Takes the parameters of every group into their averages.
   *
   * @throws Error while swapped, or before any variable is known.
   */
  updateSwa(): void {
    this.checkNotSwapped('update the average');
    this.groups.find();
    if (this.groups.list.length === 0) throw new Error(UNKNOWN_VARIABLES);
    this.groups.checkAlive();
    for (const group of this.groups.list) group.average(this.avgFn);
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
    own.params.forEach(checkAlive);
    own.average(this.avgFn);
  }

  /**
   * Exchanges the parameters and their averages, by reference; its own inverse. A parameter that
   * has no average yet keeps its value, with a warning.
   *
   * @throws Error if averages were loaded whose variables are not known yet.
   */
  swapSwaSgd(): void {
    this.checkUsable();
    this.groups.find();
    if (this.groups.pending) throw new Error(UNKNOWN_VARIABLES);
    this.groups.checkAlive();
    const { swapped } = this;
    if (this.groups.list.length === 0) this.warn("SWA wasn't applied: no variable is known yet");
    for (const group of this.groups.list) {
      if (swapped ? group.swapped : group.n_avg > 0) group.swap();
      else if (!swapped) {
        for (const { name } of group.params) {
          this.warn(`SWA wasn't applied to param ${name}; skipping it`);
        }
      }
    }
  }

  /**
   * Runs `f` while the variables hold the averages, and swaps back whatever happens: at the end of
   * the last of several that overlap. After a swap it leaves the averages in place.
   *
   * @param f What to run; it may be asynchronous.
   * @returns What `f` returns.
   */
  async withSwa<T>(f: () => T | Promise<T>): Promise<T> {
    const before = this.swapped;
    if (!before) this.swapSwaSgd();
    // Not one after a swap of the caller's, nor one without an average.
    const scope = this.scopes > 0 || (!before && this.swapped) ? 1 : 0;
    this.scopes += scope;
    try {
      return await f();
    } finally {
      this.scopes -= scope;
      if (scope === 1 && this.scopes === 0 && this.swapped) this.swapSwaSgd();
    }
  }

  /**
   * Adds a group, whose counters start at 0, at any time but while swapped. After loading a state
   * into a wrapper that knows no variables, it names those of the state's next group.
   *
   * @param group Its variables, and what differs from the wrapped optimizer.
   * @returns The group.
   * @throws Error that names the variable or hyper-parameter at fault; nothing has changed then.
   */
  addParamGroup(group: ParamGroupOptions): ParamGroup {
    if (!this.groups.pending) this.checkNotSwapped('add a parameter group');
    this.checkUsable();
    return this.groups.add([group])[0]!;
  }

  /**
   * The state as plain data, of the moment of the call.
   *
   * @throws Error if a base optimizer that is not tfjs's has no `getWeights`.
   */
  async stateDict(): Promise<SWAStateDict> {
    this.checkUsable();
    const { pending, list } = this.groups;
    return pending ? structuredClone(pending) : saveState(list);
  }

  /**
   * Takes over a saved state: counters, averages, learning rates and what the base optimizers
   * remember, so that training goes on as if it had never stopped. The parameters themselves are
   * the model's to load. Parameters are matched by name where all names of a group match, else by
   * position. A wrapper that knows no variables yet keeps the state until {@link addParamGroup}
   * names them or the first step tells them.
   *
   * @throws Error that lists what is missing, unexpected and of the wrong shape; nothing has
   *   changed then.
   */
  async loadStateDict(state: SWAStateDict): Promise<void> {
    await this.load(state, false);
  }

  /**
   * The configuration, for `fromConfig`: the wrapped optimizer's and the averaging options. An
   * averaging function of the caller's own cannot be part of it, which a warning says.
   */
  override getConfig(): tf.serialization.ConfigDict {
    const ema = avgFnConfig(this.avgFn);
    if (ema === undefined) {
      this.warn('getConfig() leaves out avgFn, a function of your own');
    }
    return {
      optimizer: { className: this.optimizer.getClassName(), config: this.optimizer.getConfig() },
      swaStart: this.swaStart,
      swaFreq: this.swaFreq,
      swaLr: this.swaLr,
      ...(ema && { avgFn: { ...ema } }),
    };
  }

  /** Makes a wrapper, and the optimizer that it wraps, from a configuration. */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    const { optimizer, swaStart, swaFreq, swaLr, avgFn } = config;
    const base = optimizer as { className: string; config: tf.serialization.ConfigDict };
    const known = tf.serialization.SerializationMap.getMap().classNameMap[base.className];
    if (known === undefined) {
      throw new Error(`The optimizer ${base.className} is not registered with tf.serialization`);
    }
    const [baseClass, baseFromConfig] = known;
    const ema = avgFn as EmaConfig | null | undefined;
    // Checked before the optimizer is made, which would be left behind.
    const averaging = ema && { avgFn: emaAvgFn(ema.decay, { warmup: ema.warmup }) };
    return new cls(baseFromConfig(baseClass, base.config), {
      ...{ swaStart, swaFreq, swaLr },
      ...averaging,
    });
  }

  /**
   * The state as named tensors, as tfjs wants it for `model.save({includeOptimizer: true})`. All of
   * them stay the wrapper's: its variables, and a string that lasts until the next call.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    this.checkUsable();
    const { pending, list } = this.groups;
    const weights = await toWeights(pending ?? liveState(list));
    tf.dispose(this.lent);
    this.lent = weights.map(({ tensor }) => tensor).filter((tensor) => !isVariable(tensor));
    return weights;
  }

  /**
   * Takes over what {@link getWeights} gave, as {@link loadStateDict} does. A wrapper that knows no
   * variables yet takes them to be a model's that was loaded with it: {@link swapSwaSgd} and
   * {@link updateSwa} find them by their names, if no other variables have these.
   */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    await this.load(await fromWeights(weights), true);
  }

  /** Frees the averages and the base optimizers; the variables keep what they hold. */
  override dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.groups.dispose();
    tf.dispose(this.lent);
  }

  /** {@link updateBn} under torchcontrib's name. */
  static readonly bnUpdate = updateBn;

  /** tfjs's own `instanceof` takes any optimizer for any other (tfjs-core 4.22, optimizer.ts). */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return Object.prototype.isPrototypeOf.call(this.prototype, value as object);
  }

  /** Step, part 1: from `swaStart` on the rate is `swaLr`. */
  private setSwaLr(): void {
    const { swaLr, swaStart } = this;
    if (swaLr === null || swaStart === null) return;
    for (const group of this.groups.list) {
      if (group.step_counter >= swaStart && shownLearningRate(group.optimizer) !== swaLr) {
        group.lr = swaLr;
      }
    }
  }

  /** Step, part 3: counts, and averages the groups whose time it is. */
  private countStep(): void {
    const { swaStart, swaFreq } = this;
    for (const group of this.groups.list) {
      group.step_counter += 1;
      if (swaStart === null || swaFreq === null) continue;
      if (group.step_counter > swaStart && group.step_counter % swaFreq === 0)
        group.average(this.avgFn);
    }
  }

  /** The variables that `f` depends on, found by differentiating it once. */
  private variablesOf(f: () => tf.Scalar): tf.Variable[] {
    if (this.groups.list.length > 0) return this.groups.params;
    const { value, grads } = this.optimizer.computeGradients(f);
    tf.dispose([value, grads]);
    return Object.keys(grads).map((name) => tf.engine().registeredVariables[name]!);
  }

  /** Sees to it that these variables are in groups; a state loaded before may have been swapped. */
  private include(variables: readonly tf.Variable[]): void {
    this.groups.include(variables);
    this.checkNotSwapped('step');
  }

  private async load(state: unknown, ofModel: boolean): Promise<void> {
    this.checkUsable();
    checkStateDict(state);
    await this.groups.load(state, ofModel);
  }

  private checkUsable(): void {
    if (this.disposed) throw new Error('This SWA has been disposed');
  }

  private checkNotSwapped(action: string): void {
    this.checkUsable();
    if (this.swapped) {
      throw new Error(`Cannot ${action} while swapped: call swapSwaSgd() first`);
    }
  }

  private warn(message: string): void {
    if (this.warned.has(message)) return;
    this.warned.add(message);
    console.warn(message);
  }
}

// A bundler takes this along wherever the class is used; register.ts is for where it is not.
tf.serialization.registerClass(SWA);
