/**
 * The parameter groups of a wrapper: which variable is in which, what becomes of variables that are
 * in none, and a loaded state that waits for them. It knows nothing of when to step or average.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  checkBase,
  findByName,
  groupByName,
  matchGroups,
  NEEDS_GROUPS,
  stem,
} from './load_state.js';
import { keepsOwnState, setOwnState } from './base_optimizer.js';
import {
  disposeOptimizer,
  planGroup,
  type Group,
  type GroupPlan,
  type OptimizerTemplate,
  type ParamGroupOptions,
} from './param_groups.js';
import type { SWAStateDict } from '../state/state_dict.js';
import { checkAlive, shapeText, type NamedTensor } from '../state/tensor_data.js';

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
    this.template = { optimizer, config: { ...optimizer.getConfig() }, swaLr };
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
   * @throws Error that names what is at fault in one of them; none is added then.
   */
  add(options: readonly ParamGroupOptions[], named = true): Group[] {
    const { list, pending, optimizer } = this;
    const plans: GroupPlan[] = [];
    for (const group of options) plans.push(planGroup(group, this.template, [...list, ...plans]));
    const made = plans.map((plan) => plan.make());
    const all = [...list, ...made];
    if (pending && all.length >= pending.param_groups.length) {
      try {
        matchGroups(all, pending)();
      } catch (error) {
        for (const group of made) if (group.optimizer !== optimizer) group.dispose();
        throw error;
      }
      this.pending = null;
    }
    if (list.length === 0) this.named = named;
    list.push(...made);
    for (const { name } of made.flatMap(({ params }) => params)) this.names.add(name);
    return made;
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
    if (this.pending && this.list.length > 0) throw new Error(NEEDS_GROUPS);
    if (stray === undefined) return;
    this.add(
      this.pending ? groupByName(this.pending, strays, this.template.config) : [{ params: strays }],
      false,
    );
  }

  /**
   * What each group's base optimizer is handed for a step: every parameter at every step, in one
   * order, because tfjs keeps its slots by position in that list (tfjs-core 4.22,
   * momentum_optimizer.ts, `this.accumulations[i]`); one without a gradient keeps its place.
   * Variables that are in no group are included.
   *
   * @throws Error for a name without a variable, a second gradient, or one of another shape, and as
   *   {@link include}.
   */
  gradientsOf(gradients: NamedTensor[]): NamedTensor[][] {
    const { list, pending } = this;
    const fits = ({ name, tensor }: NamedTensor, variable: tf.Variable): boolean =>
      name === variable.name &&
      // A missing gradient is tfjs's way of saying that the loss does not depend on the variable.
      tf.util.arraysEqual((tensor ?? variable).shape, variable.shape);
    // As most steps hand them over; the rest costs some per cent of a step of many small tensors.
    const only = !pending && list.length === 1 ? list[0]!.params : null;
    const inOrder =
      only?.length === gradients.length && gradients.every((g, i) => fits(g, only[i]!));
    if (inOrder) return [gradients];
    const byName = new Map<string, tf.Tensor>();
    const variables = gradients.map((gradient) => {
      const { name, tensor } = gradient;
      const variable = tf.engine().registeredVariables[name];
      if (variable === undefined) throw new Error(`There is no variable ${name}`);
      if (byName.has(name)) throw new Error(`There is more than one gradient for variable ${name}`);
      byName.set(name, tensor);
      if (fits(gradient, variable)) return variable;
      throw new Error(
        `The gradient for variable ${name} has shape ${shapeText(tensor.shape)}, ` +
          `not ${shapeText(variable.shape)}`,
      );
    });
    this.include(variables);
    return list.map((group) =>
      group.params.map(({ name }) => ({ name, tensor: byName.get(name)! })),
    );
  }

  /**
   * Gives a state that came with a model its variables before a step tells them, if they are beyond
   * doubt: of all variables a single one fits each name. The model's own do, so that a second
   * one, of the model that was saved say, leaves it open.
   */
  find(): void {
    if (!this.pending || !this.pendingOfModel || this.list.length > 0) return;
    const found = findByName(this.pending, Object.values(tf.engine().registeredVariables), stem);
    if (found) this.include(found);
  }

  /** @throws Error that names the first parameter that was disposed. */
  checkAlive(): void {
    for (const { params } of this.list) params.forEach(checkAlive);
  }

  /**
   * Takes over a checked state: at once, or at the first step if no variable is known yet.
   *
   * @param ofModel Whether it came with a model.
   * @throws Error that says what does not fit; nothing has changed then.
   */
  async load(state: SWAStateDict, ofModel: boolean): Promise<void> {
    if (this.list.length > 0) {
      const put = matchGroups(this.list, state);
      for (const [g, { optimizer }] of this.list.entries()) {
        if (keepsOwnState(optimizer)) await setOwnState(optimizer, state.opt_state[g]!);
      }
      put();
      return;
    }
    // A state without groups is that of a wrapper before its first step, as this one is.
    const [first, ...others] = Object.values(state.opt_state);
    if (first) checkBase(this.optimizer, state);
    if (first && keepsOwnState(this.optimizer)) {
      if (others.length > 0) throw new Error(NEEDS_GROUPS);
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
}
