/**
 * The parameter groups of a wrapper: which variable is in which, what becomes of variables that are
 * in none or are no more, and of a loaded state. It knows nothing of when to step or average.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { setHolder } from '../../average/exchange.js';
import { hasLearningRate, rateOf, type Rate } from '../../schedule/learning_rate.js';
import { nothingLeft, type LoadReport } from '../../state/match_tensors.js';
import type { SWAStateDict } from '../../state/state_dict.js';
import { checkAlive, isAlive } from '../../state/tensor_data.js';
import { keepsOwnState } from '../base/fields.js';
import { disposeOptimizer } from '../base/make.js';
import { setOwnStates } from '../base/state.js';
import { loadPart } from './load_part.js';
import { checkBase, matchAll, planLoad, type LoadOptions } from './load_state.js';
import {
  planGroup,
  type Group,
  type GroupPlan,
  type OptimizerTemplate,
  type ParamGroupOptions,
} from './param_groups.js';
import type { Keeps } from './save_state.js';
import { NEEDS_GROUPS, WaitingState } from './waiting_state.js';

/** What a set of groups asks of the wrapper whose groups they are. */
export interface Owner {
  readonly keeps: Keeps;
  warn(message: string): void;
}

export class GroupSet {
  /** The groups, in order. */
  readonly list: Group[] = [];
  /** A loaded state whose variables are not known yet, in place of groups. */
  waiting: WaitingState | null = null;

  private readonly template: OptimizerTemplate;
  /** The variables in the groups. */
  private readonly members = new Set<tf.Variable>();
  /** The caller named the groups, so that other variables are a mistake. */
  private named = false;

  /**
   * @param optimizer The wrapped optimizer, which is the first group's.
   * @param setsRate What rate the wrapper sets, which every group's optimizer has to take, or `null`.
   */
  constructor(
    private readonly optimizer: tf.Optimizer,
    setsRate: string | null,
    private readonly owner: Owner,
  ) {
    this.template = { optimizer, config: { ...optimizer.getConfig() }, setsRate };
  }

  /** All parameters, in order. */
  get params(): tf.Variable[] {
    // Each step may ask; flatMap takes 17 us for 161 parameters, this 0.2.
    return new Array<tf.Variable>().concat(...this.list.map(({ params }) => params));
  }

  /**
   * Adds groups that the caller names. They take over a state that was loaded before, as soon as
   * there are as many as in it.
   *
   * @throws Error that names what is at fault in one of them; nothing has changed then.
   */
  add(options: readonly ParamGroupOptions[], named = true): Group[] {
    const { list, waiting, optimizer } = this;
    const plans: GroupPlan[] = [];
    for (const group of options) plans.push(planGroup(group, this.template, [...list, ...plans]));
    const made: Group[] = [];
    const complete = waiting && list.length + plans.length >= waiting.groupCount;
    let load: (() => void) | null = null;
    try {
      for (const plan of plans) made.push(plan.make());
      for (const { counters } of made)
        for (const name of this.owner.keeps.counters) counters[name] = 0;
      if (complete) {
        const { state, options: how } = waiting;
        load = planLoad(matchAll([...list, ...made], state), state, this.owner, how);
      }
    } catch (error) {
      made.forEach((group, i) => {
        if (group.optimizer !== optimizer && !plans[i]!.optimizer) group.dispose();
      });
      throw error;
    }
    plans.forEach((plan, i) => plan.start(made[i]!));
    load?.();
    if (complete) this.waiting = null;
    if (list.length === 0) this.named = named;
    list.push(...made);
    for (const variable of made.flatMap(({ params }) => params)) this.members.add(variable);
    return made;
  }

  /** Drops parameters that the user has disposed, each with a warning. */
  dropDisposed(): void {
    for (const param of this.members) {
      if (isAlive(param)) continue;
      this.members.delete(param);
      this.list.find(({ params }) => params.includes(param))!.drop(param);
      this.owner.warn(`Variable ${param.name} was disposed: it is in its parameter group no more`);
    }
  }

  /**
   * The variables that a step differentiates, each once; `undefined` leaves the choice to tfjs.
   *
   * @throws Error if one is disposed, or if groups were named and it is in none.
   */
  differentiated(varList: readonly tf.Variable[] | undefined): tf.Variable[] | undefined {
    varList?.forEach(checkAlive);
    if (varList === undefined) return this.named ? this.params : undefined;
    const variables = [...new Set(varList)];
    if (this.named) this.include(variables);
    return variables;
  }

  /**
   * Makes a group of the variables that are in none: those of a loaded state first, if one waits.
   * Later ones begin at the rate and the count of steps of the first group, so that an unfrozen layer
   * trains and averages in step with the rest.
   *
   * @throws Error if groups were named, or the variables do not fit the state.
   */
  include(variables: readonly tf.Variable[]): void {
    let strays = variables.filter((variable) => !this.members.has(variable));
    if (this.waiting && this.list.length > 0) throw new Error(NEEDS_GROUPS);
    const [stray] = strays;
    if (stray === undefined) return;
    if (this.named) {
      throw new Error(
        `Variable ${stray.name} is in no parameter group; add it with addParamGroup()`,
      );
    }
    if (this.waiting) {
      const { groups, strays: others } = this.waiting.take(strays);
      this.addWaiting(groups);
      strays = others;
    }
    const [first] = this.list;
    if (strays.length === 0) return;
    const lr = first && hasLearningRate(first.optimizer) ? { lr: first.lr } : {};
    const [group] = this.add([{ params: strays, ...lr }], false);
    if (first) group!.step_counter = first.step_counter;
  }

  /** Finds the variables of a state that waits before a step tells them, if they are beyond doubt. */
  find(): void {
    const found = this.list.length === 0 && this.waiting?.find();
    if (found) this.addWaiting(found);
  }

  /** @throws Error if a state waits whose variables cannot be found. */
  checkFound(): void {
    this.find();
    if (!this.waiting) return;
    throw new Error('The loaded state waits for its variables: name them with addParamGroup()');
  }

  /** @throws Error if no variable is known. */
  checkKnown(): void {
    this.checkFound();
    if (this.list.length > 0) return;
    throw new Error(
      'No variable is known yet: take a step first, or name them with paramGroups or addParamGroup()',
    );
  }

  private addWaiting(groups: tf.Variable[][]): void {
    const { config } = this.template;
    const options = groups.map((params, g) => ({
      ...this.waiting!.hyperparametersOf(g, config),
      params,
    }));
    try {
      this.add(options, false);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`${message}. ${NEEDS_GROUPS}, or all its variables in one step`, {
        cause: error,
      });
    }
  }

  /**
   * Takes over a checked state: at once, or when its variables are known.
   *
   * @throws Error that says what does not fit; nothing has changed then.
   */
  async load(state: SWAStateDict, options: LoadOptions): Promise<LoadReport> {
    const { list, optimizer } = this;
    const known = list.length > 0 && !this.waiting;
    if (options.strict === false) {
      if (known) return loadPart(list, state, this.owner, options);
      throw new Error(
        'Cannot load with strict: false before the variables are known: name them with paramGroups ' +
          'or addParamGroup(), or take a step',
      );
    }
    if (known) {
      const commit = planLoad(matchAll(list, state), state, this.owner, options);
      // What is kept holds the weights then.
      if (list.some(({ swapped }, g) => swapped && !state.param_groups[g]!.swapped)) {
        throw new Error(
          `Cannot load a state that was not swapped while swapped: call ${this.owner.keeps.swapMethod} first`,
        );
      }
      await setOwnStates(list.map((group, g) => [group.optimizer, state.opt_state[g]!]));
      commit();
      return nothingLeft();
    }
    // A state without groups is that of a wrapper before its first step, as this one is.
    const [first, ...others] = Object.values(state.opt_state);
    if (first) checkBase(optimizer, state, this.owner, options);
    if (first && keepsOwnState(optimizer)) {
      if (others.length > 0) throw new Error(NEEDS_GROUPS);
      await setOwnStates([[optimizer, first]]);
    }
    this.waiting = first ? new WaitingState(structuredClone(state), options) : null;
    return nothingLeft();
  }

  /** The rates of the groups, also of those of a state that waits; else the wrapped optimizer's. */
  get rates(): Rate[] {
    const { waiting, list, optimizer } = this;
    if (waiting) return waiting.state.param_groups;
    return list.length > 0 ? [...list] : [rateOf(optimizer)];
  }

  /** Frees what is kept and the base optimizers; the parameters stay the user's. */
  dispose(): void {
    for (const group of this.list) {
      if (group.swapped) setHolder(group.params, null);
      group.dispose();
    }
    if (this.list.length === 0) disposeOptimizer(this.optimizer);
    this.list.length = 0;
  }
}
