/**
 * The weights of a model or of a list of variables as plain data, there and back. It knows nothing
 * of averages.
 */
import * as tf from '@tensorflow/tfjs-core';
import { variablesOf, type WeightedModel } from '../model/model_or_list.js';
import { matchByRule } from '../state/match_tensors.js';
import { checkTensorList, hostData, toTensor, type TensorData } from '../state/tensor_data.js';

/**
 * Copies all weights to the host, as they are at the moment of the call: frozen ones, moving
 * statistics and integers included.
 *
 * @param model A tfjs-layers model, whose weights are listed by layer in the order of its structure,
 *   whatever is frozen, and called by layer (`encoder/dense_Dense1/kernel`); or a list of variables.
 *
 * @example
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * const weights = await readWeights(model); // plain data: post it, store it, merge it
 * assignWeights(model, weights);
 */
export function readWeights(model: WeightedModel | readonly tf.Variable[]): Promise<TensorData[]> {
  return Promise.all(variablesOf(model).map(({ name, variable }) => hostData(name, variable)));
}

/**
 * Gives a model or variables the values of {@link readWeights}, copies: by name where all names
 * match and are more than tfjs's own numbers, else by position where the number, shapes and dtypes
 * agree, as of a second build of the same structure.
 *
 * @throws Error that lists what is missing, unexpected and of the wrong shape; nothing has changed
 *   then.
 *
 * @example
 * const [from, to] = [tf.variable(tf.tensor1d([1, 2])), tf.variable(tf.zeros([2]))];
 * assignWeights([to], await readWeights([from]));
 * to.print(); // 1, 2
 */
export function assignWeights(
  model: WeightedModel | readonly tf.Variable[],
  weights: readonly TensorData[],
): void {
  const variables = variablesOf(model);
  checkTensorList('weights', weights);
  const values = matchByRule(variables, weights);
  variables.forEach(({ variable }, i) => {
    tf.tidy(() => variable.assign(toTensor(values[i]!)));
  });
}
