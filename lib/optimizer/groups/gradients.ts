/**
 * Sorts the gradients of a step by parameter group. It knows nothing of how they came about, or of
 * what a step makes of them.
 */
import * as tf from '@tensorflow/tfjs-core';
import { shapeText, type NamedTensor } from '../../state/tensor_data.js';
import type { GroupSet } from './group_set.js';

/**
 * What each group's base optimizer is handed for a step: every parameter at every step, in one
 * order, because tfjs keeps its slots by position in that list (tfjs-core 4.22,
 * momentum_optimizer.ts, `this.accumulations[i]`); one without a gradient keeps its place.
 * Variables that are in no group are included.
 *
 * @throws Error for a name without a variable, two gradients for one, one of another shape, and as
 *   {@link GroupSet.include}.
 */
export function gradientsOf(groups: GroupSet, gradients: NamedTensor[]): NamedTensor[][] {
  const { list, waiting } = groups;
  // As most steps hand them over; the rest costs some per cent of a step of many small tensors.
  const only = !waiting && list.length === 1 ? list[0]!.params : null;
  const inOrder = only?.length === gradients.length && gradients.every((g, i) => fits(g, only[i]!));
  if (inOrder) return [gradients];
  const byName = new Map<string, tf.Tensor>();
  const variables = gradients.map((gradient) => {
    const { name, tensor } = gradient;
    const variable = tf.engine().registeredVariables[name];
    if (variable === undefined) throw new Error(`There is no variable ${name}`);
    // A weight that a model lists twice has one gradient.
    if (byName.has(name) && byName.get(name) !== tensor) {
      throw new Error(`There is more than one gradient for variable ${name}`);
    }
    byName.set(name, tensor);
    if (fits(gradient, variable)) return variable;
    throw new Error(
      `The gradient for variable ${name} has shape ${shapeText(tensor.shape)}, ` +
        `not ${shapeText(variable.shape)}`,
    );
  });
  groups.include([...new Set(variables)]);
  return list.map(({ params }) => params.map(({ name }) => ({ name, tensor: byName.get(name)! })));
}

function fits({ name, tensor }: NamedTensor, variable: tf.Variable): boolean {
  // A missing gradient is tfjs's way of saying that the loss does not depend on the variable.
  const { shape } = tensor ?? variable;
  return name === variable.name && tf.util.arraysEqual(shape, variable.shape);
}
