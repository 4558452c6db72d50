/**
 * The parameter groups of a wrapper: which variable is in which, what becomes of variables that are
 * in none, and a loaded state that waits for them. It knows nothing of when to step or average.
 */
import * as tf from '@tensorflow/tfjs-core';
import { keepsOwnState, setOwnState } from './optimizer_state.js';
import {
  disposeOptimizer,
  makeGroup,
  planGroup,
  templateOf,
  type Group,
  type GroupPlan,
  type OptimizerTemplate,
  type ParamGroupOptions,
} from './param_groups.js';
import {
  applyState,
  byStem,
  checkBase,
  groupByName,
  matchGroups,
  NEEDS_GROUPS,
  type SWAStateDict,
} from './state_dict.js';
import { checkAlive, shapeText, type NamedTensor } from './tensor_data.js';

export class GroupSet {
  /** The groups, in order. */
  readonly list: Group[] = [];
  /** A loaded state that waits for its variables to be named, or told by the first step. */
  pending: SWAStateDict | null = null;
  /** That state came with a model, whose variables are there then. */
  pendingOfModel = false;

  private readonly template: OptimizerTemplate;
  /** The names of the variables in the groups. */
  private readonly names = new Set<string>();
  /** The caller named the groups, so that other variables are a mistake. */
  private named = false;

  /**
   * @param optimizer The wrapped optimizer, which is the first group's.
   * @param swaLr The rate that every group's optimizer has to take, or `null`.
   */
  constructor(
    private readonly optimizer: tf.Optimizer,
    swaLr: number | null,
  ) {
    this.template = templateOf(optimizer, swaLr);
  }

  /** All parameters, in order. */
  get params(): tf.Variable[] {
    return this.list.flatMap(({ params }) => params);
  }

  /**
   * Adds groups that the caller names. They take over a state that was loaded before, as soon as
   * there are as many as in it.
   *
   * @throws Error that names what is at fault in one of them; none is added then.
   */
  add(options: readonly ParamGroupOptions[]): Group[] {
    const groups = this.make(options);
    const count = this.list.length + groups.length;
    if (this.pending && count >= this.pending.param_groups.length)
      this.resume(this.pending, groups);
    if (this.list.length === 0) this.named = true;
    this.enter(groups);
    return groups;
  }

  /**
   * The variables that a step differentiates; `undefined` leaves the choice to tfjs.
   *
   * @throws Error if groups were named and one of `varList` is in none.
   */
  differentiated(varList: tf.Variable[] | undefined): tf.Variable[] | undefined {
    varList?.forEach(checkAlive);
    if (!this.named) return varList;
    if (varList === undefined) return this.params;
    this.include(varList);
    return varList;
  }

  /**
   * Makes a group of the variables that are in none, the first one from the loaded state if there
   * is one.
   *
   * @throws Error if groups were named, or the variables do not fit the state.
   */
  include(variables: readonly tf.Variable[]): void {
    const strays = variables.filter(({ name }) => !this.names.has(name));
    const [stray] = strays;
    if (stray && this.named) {
      throw new Error(
        `Variable ${stray.name} is in no parameter group; add it with addParamGroup()`,
      );
    }
    if (this.pending && this.list.length > 0) {
      throw new Error(
        `The loaded state has ${this.pending.param_groups.length} parameter groups, of which ` +
          `${this.list.length} are named; add the others with addParamGroup()`,
      );
    }
    if (stray === undefined) return;
    const groups = this.make(
      this.pending ? groupByName(this.pending, strays, this.template.config) : [{ params: strays }],
    );
    if (this.pending) this.resume(this.pending, groups);
    this.enter(groups);
  }

  /**
   * Gives a state that came with a model its variables before a step tells them, if they are beyond
   * doubt: of all variables a single one fits each name. The model's own do, so that a second
   * one, of the model that was saved say, leaves it open.
   */
  find(): void {
    if (!this.pending || !this.pendingOfModel || this.list.length > 0) return;
    const found = byStem(this.pending, Object.values(tf.engine().registeredVariables));
    if (found) this.include(found);
  }

  /** @throws Error that names the first parameter that was disposed. */
  checkAlive(): void {
    for (const group of this.list) group.checkAlive();
  }

  /**
   * Takes over a checked state: at once, or at the first step if no variable is known yet.
   *
   * @param ofModel Whether it came with a model.
   * @throws Error that says what does not fit; nothing has changed then.
   */
  async load(state: SWAStateDict, ofModel: boolean): Promise<void> {
    if (this.list.length > 0) {
      const orders = matchGroups(this.list, state);
      for (const [g, { optimizer }] of this.list.entries()) {
        if (keepsOwnState(optimizer)) await setOwnState(optimizer, state.opt_state[g]!);
      }
      applyState(this.list, state, orders);
      return;
    }
    // A state without groups is that of a wrapper before its first step, as this one is.
    const [first, ...others] = Object.values(state.opt_state);
    if (first) checkBase(this.optimizer, state);
    if (first && keepsOwnState(this.optimizer)) {
      if (others.length > 0) {
        throw new Error(NEEDS_GROUPS);
      }
      await setOwnState(this.optimizer, first);
    }
    this.pending = first ? structuredClone(state) : null;
    this.pendingOfModel = ofModel;
  }

  /** Frees the averages and the base optimizers. */
  dispose(): void {
    for (const group of this.list) group.dispose();
    if (this.list.length === 0) disposeOptimizer(this.optimizer);
    this.list.length = 0;
  }

  /** Puts a loaded state into the groups, of which the last ones were made just now. */
  private resume(state: SWAStateDict, made: readonly Group[]): void {
    const all = [...this.list, ...made];
    try {
      applyState(all, state, matchGroups(all, state));
    } catch (error) {
      for (const { optimizer } of made)
        if (optimizer !== this.optimizer) disposeOptimizer(optimizer);
      throw error;
    }
    this.pending = null;
  }

  /** Makes groups, after the options of all of them were checked. */
  private make(options: readonly ParamGroupOptions[]): Group[] {
    const plans: GroupPlan[] = [];
    for (const group of options) {
      plans.push(planGroup(group, this.template, [...this.list, ...plans]));
    }
    return plans.map((plan) => makeGroup(plan, this.template));
  }

  private enter(groups: readonly Group[]): void {
    for (const group of groups) {
      this.list.push(group);
      for (const { name } of group.params) this.names.add(name);
    }
  }
}

/**
 * Checks gradients against the registered variables.
 *
 * @returns The variables, in order.
 * @throws Error for a name without a variable, a second gradient, or one of another shape.
 */
export function checkGradients(gradients: readonly NamedTensor[]): tf.Variable[] {
  const variables = gradients.map(({ name, tensor }) => {
    const variable = tf.engine().registeredVariables[name];
    if (variable === undefined) throw new Error(`There is no variable ${name}`);
    // A missing gradient is tfjs's way of saying that the loss does not depend on the variable.
    const { shape } = tensor ?? variable;
    if (!tf.util.arraysEqual(shape, variable.shape)) {
      throw new Error(
        `The gradient for variable ${name} has shape ${shapeText(shape)}, ` +
          `not ${shapeText(variable.shape)}`,
      );
    }
    return variable;
  });
  if (new Set(variables).size < variables.length) {
    const twice = variables.find((variable, i) => variables.indexOf(variable) < i)!;
    throw new Error(`There is more than one gradient for variable ${twice.name}`);
  }
  return variables;
}
