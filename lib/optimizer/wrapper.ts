/**
 * What every optimizer around another has: the one that it wraps, groups, rates and a state. It does
 * not know how a step is taken, or what is averaged.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkNotHeld } from '../average/exchange.js';
import { invalid } from '../check.js';
import { RATES, setLearningRate, type Rate } from '../schedule/learning_rate.js';
import type { LoadReport } from '../state/match_tensors.js';
import { checkStateDict, type SWAStateDict } from '../state/state_dict.js';
import type { NamedTensor } from '../state/tensor_data.js';
import { fromWeights, toWeights, type Lent } from '../state/tfjs_weights.js';
import { isOptimizer } from './base/make.js';
import { GroupSet, type Owner } from './groups/group_set.js';
import { checkLoadOptions, type LoadOptions } from './groups/load_state.js';
import type { ParamGroup, ParamGroupOptions } from './groups/param_groups.js';
import { liveState, saveState, type Keeps } from './groups/save_state.js';

export abstract class Wrapper extends tf.Optimizer {
  /** The wrapped optimizer; it is also the first group's. */
  readonly optimizer: tf.Optimizer;

  /** What is in which group. */
  protected readonly groups: GroupSet;
  /** Stands for this wrapper where others ask who swapped a variable. */
  protected readonly owner: Owner;
  /** Tensors made for {@link getWeights} that nobody has read yet. */
  private readonly lent: Lent = new Set();
  private readonly warned = new Set<string>();
  protected isDisposed = false;

  protected constructor(optimizer: tf.Optimizer, keeps: Keeps, setsRate: string | null) {
    super();
    if (!isOptimizer(optimizer)) invalid('optimizer', optimizer, 'a tf.train optimizer');
    this.optimizer = optimizer;
    this.owner = { keeps, warn: (message) => this.warn(message) };
    this.groups = new GroupSet(optimizer, setsRate, this.owner);
  }

  /** The parameter groups, in order; none before the first step if none were given. */
  get paramGroups(): readonly ParamGroup[] {
    return this.groups.list;
  }

  /** Whether the variables now hold the averages. */
  get swapped(): boolean {
    const { waiting, list } = this.groups;
    return waiting?.swapped ?? list.some(({ swapped }) => swapped);
  }

  /**
   * Steps that the wrapped optimizer has taken. Left out of the declarations, where tfjs 3 has a
   * property, which no accessor may override (tfjs-core 3.21, optimizer.d.ts).
   *
   * @internal
   */
  override get iterations(): number {
    return this.groups.waiting?.iterations ?? this.optimizer.iterations;
  }

  /** The first group's learning rate; writing it sets every group's. */
  get learningRate(): number {
    return this.groups.rates[0]!.lr;
  }

  /** Sets every group's learning rate. */
  set learningRate(learningRate: number) {
    this.setLearningRate(learningRate);
  }

  /** Sets the learning rate of every group. */
  setLearningRate(learningRate: number): void {
    this.checkUsable();
    setLearningRate(this.optimizer, learningRate);
    for (const rate of this[RATES]) rate.lr = learningRate;
  }

  /** The rates of the groups, for schedulers. @internal */
  get [RATES](): Rate[] {
    return this.groups.rates;
  }

  /**
   * The state as plain data, of the moment of the call.
   *
   * @throws Error if a base optimizer keeps what cannot be saved.
   */
  async stateDict(): Promise<SWAStateDict> {
    this.checkUsable();
    const { waiting, list } = this.groups;
    return waiting ? structuredClone(waiting.state) : saveState(list, this.owner.keeps);
  }

  /**
   * Takes over a saved state: counters, averages, learning rates and what the base optimizers
   * remember, so that training goes on as if it had never stopped. The parameters themselves are
   * the model's to load. Parameters are matched by name where all names of a group match and are more
   * than tfjs's own numbers, else by position. A wrapper that knows no variables yet keeps the state
   * until {@link addParamGroup} names them or the first step tells them.
   *
   * With `strict: false` it takes what fits by name alone, a group what the state has for its
   * parameters. Those without an entry then form a group of their own, which begins as that of variables
   * that are first seen later: without an average, in step with the rest. The variables have to be known.
   *
   * @param options What may differ from the state: {@link LoadOptions}.
   * @returns The names of what is missing, unexpected and of another shape; without `strict: false` none.
   * @throws Error that lists what is missing, unexpected and of the wrong shape or value, and while
   *   swapped; nothing has changed then.
   */
  async loadStateDict(state: SWAStateDict, options: LoadOptions = {}): Promise<LoadReport> {
    checkLoadOptions(options);
    this.checkUsableForLoad();
    checkStateDict(state, this.owner.keeps);
    return this.groups.load(state, options);
  }

  /**
   * The state as named tensors, as tfjs wants it for `model.save({includeOptimizer: true})`: of the
   * moment of the call, each until it has been read once (`data()`), or you dispose it.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    this.checkUsable();
    const { waiting, list } = this.groups;
    return toWeights(waiting?.state ?? liveState(list, this.owner.keeps), this.lent);
  }

  /** Takes over what {@link getWeights} gave, as a state dict is. */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    await this.loadStateDict(await fromWeights(weights));
  }

  /** Frees what is kept and the base optimizers; the variables keep what they hold. */
  override dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.free();
  }

  /** Frees all of it. */
  protected free(): void {
    this.groups.dispose();
    tf.dispose([...this.lent]);
  }

  protected checkUsableForLoad(): void {
    this.checkUsable();
  }

  /** The groups that the user named, if any. */
  protected nameGroups(paramGroups: readonly ParamGroupOptions[] | undefined): void {
    if (paramGroups === undefined) return;
    if (!Array.isArray(paramGroups) || paramGroups.length === 0) {
      invalid('paramGroups', paramGroups, 'a list of at least one group');
    }
    this.groups.add(paramGroups);
  }

  protected checkUsable(): void {
    if (this.isDisposed) throw new Error(`This ${this.getClassName()} has been disposed`);
    this.groups.dropDisposed();
  }

  protected checkNotSwapped(action: string): void {
    this.checkUsable();
    if (this.swapped) {
      // So that the way out is open.
      this.groups.find();
      const first = this.groups.waiting ? 'name its variables with addParamGroup(), then ' : '';
      const { swapMethod } = this.owner.keeps;
      throw new Error(`Cannot ${action} while swapped: ${first}call ${swapMethod} first`);
    }
    checkNotHeld(this.groups.params, action, this.owner);
  }

  /** tfjs's own `instanceof` takes any optimizer for any other (tfjs-core 4.22, optimizer.ts). */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return Object.prototype.isPrototypeOf.call(this.prototype, value as object);
  }

  /** Tells the user, once each. */
  protected warn(message: string): void {
    if (this.isDisposed || this.warned.has(message)) return;
    this.warned.add(message);
    console.warn(message);
  }
}
