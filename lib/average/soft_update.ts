/**
 * The soft update of a target network. It knows nothing of steps or learning: the caller says when.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { moveTowards } from './average.js';
import { checkNumber, invalid } from '../check.js';
import { matchVariables, type WeightedModel } from '../model/model_or_list.js';

/**
 * Moves the weights of a target network a little towards those of the network that learns:
 * `target += tau (source - target)` (Lillicrap et al. 2015, arXiv 1509.02971, Algorithm 1). All
 * float32 weights, those that are frozen and the moving statistics of batch normalization included;
 * integer ones are copied. The source is neither changed nor disposed, and no tensor is left.
 *
 * Two models are matched layer by layer, a copy as well as a second build with names of its own,
 * whatever is frozen; lists of variables by name where all names match and are more than tfjs's own
 * numbers, else by position where the number, shapes and dtypes agree. A variable that both have
 * stays as it is.
 *
 * @param target A tfjs-layers model, or a list of variables: what is changed.
 * @param source The same of the network that learns.
 * @param tau How far to go, in [0, 1]: 0 leaves the target, 1 makes it an exact copy; usual is 0.005.
 * @throws Error `Invalid tau: ...`, or one that lists which weights do not fit; nothing has changed
 *   then.
 *
 * @example
 * const online = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [4] })] });
 * const target = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [4] })] });
 * softUpdate(target, online, 1); // begin as a copy
 * softUpdate(target, online, 0.005); // after each step of the online network
 */
export function softUpdate(
  target: WeightedModel | readonly tf.Variable[],
  source: WeightedModel | readonly tf.Variable[],
  tau: number,
): void {
  const rule = 'a number in [0, 1]';
  if (checkNumber('tau', tau, 0, rule) > 1) invalid('tau', tau, rule);
  const pairs = [...matchVariables(target, source)].filter(([to, from]) => to !== from);
  const floats = pairs.filter(([to]) => to.dtype === 'float32');
  moveTowards(
    floats.map(([to]) => to),
    floats.map(([, from]) => from),
    tau,
  );
  for (const [to, from] of pairs) if (to.dtype !== 'float32') to.assign(from);
}
