/**
 * An optimizer around another that steps parameter groups: how SWA and its siblings meet tfjs and the
 * user. It does not know what is averaged, or when.
 */
import * as tf from '@tensorflow/tfjs-core';
import { settleLearningRate } from '../schedule/learning_rate.js';
import type { NamedTensor } from '../state/tensor_data.js';
import { gradientsOf } from './groups/gradients.js';
import type { Group, ParamGroup, ParamGroupOptions } from './groups/param_groups.js';
import { Wrapper } from './wrapper.js';

export abstract class GroupedOptimizer extends Wrapper {
  /**
   * Takes one step: differentiates `f`, steps the base optimizers, and averages if it is time.
   *
   * @param f Computes the loss, a scalar.
   * @param returnCost Whether to return the loss; default false.
   * @param varList The variables to differentiate, of which one that is listed twice counts once;
   *   default: all that are in groups, or every trainable variable if no groups were named.
   * @returns The loss, which the caller disposes, or `null`.
   * @throws Error while swapped, or if a variable is in no group.
   */
  override minimize(
    f: () => tf.Scalar,
    returnCost = false,
    varList?: tf.Variable[],
  ): tf.Scalar | null {
    // A loaded state first takes the variables that it waits for: it may have been swapped.
    if (this.groups.waiting && varList) this.groups.include([...new Set(varList)]);
    this.checkCanStep();
    const list = this.groups.differentiated(varList);
    // A base optimizer with a way of its own (line search, several evaluations) keeps it.
    if (this.callsMinimize()) {
      const variables = list ?? this.variablesOf(f);
      this.groups.include(variables);
      this.checkCanStep();
      const [group, ...others] = this.groups.list;
      if (group && others.length === 0) {
        const all = variables.length === group.params.length ? [...group.params] : variables;
        return this.step(() => this.optimizer.minimize(f, returnCost, all));
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
    this.checkCanStep();
    const list = Array.isArray(gradients)
      ? gradients
      : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
    const ofGroups = gradientsOf(this.groups, list);
    // A loaded state that now has its variables may have been swapped.
    if (this.swapped) this.checkCanStep();
    this.step(() => {
      this.groups.list.forEach((group, g) => {
        if (group.params.length > 0) this.stepGroup(group, ofGroups[g]!);
      });
    });
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
    if (!this.groups.waiting) this.checkNotSwapped('add a parameter group');
    this.checkUsable();
    return this.groups.add([group])[0]!;
  }

  /** Before the base optimizers step. */
  protected beforeStep(): void {
    // Not every kind has something to do.
  }

  /** After they have stepped: counts that. */
  protected afterStep(): void {
    for (const group of this.groups.list) group.step_counter += 1;
  }

  /** Whether the base optimizer has a `minimize` of its own, which is then called. */
  protected callsMinimize(): boolean {
    return this.optimizer.minimize !== tf.Optimizer.prototype.minimize;
  }

  /** The step of one group. */
  protected stepGroup(group: Group, gradients: NamedTensor[]): void {
    group.optimizer.applyGradients(gradients);
  }

  private checkCanStep(): void {
    this.checkNotSwapped('step');
  }

  private step<T>(apply: () => T): T {
    this.beforeStep();
    for (const { optimizer } of this.groups.list) settleLearningRate(optimizer);
    const result = apply();
    this.afterStep();
    return result;
  }

  /** The variables that `f` depends on, found by differentiating it once. */
  private variablesOf(f: () => tf.Scalar): tf.Variable[] {
    if (this.groups.list.length > 0) return this.groups.params;
    const { value, grads } = this.optimizer.computeGradients(f);
    tf.dispose([value, grads]);
    return Object.keys(grads).map((name) => tf.engine().registeredVariables[name]!);
  }
}
