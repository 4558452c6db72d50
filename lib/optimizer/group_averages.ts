/**
 * The running averages of parameter groups: updated, exchanged with the parameters, and assigned to
 * them. It knows nothing of steps or of when to average.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { startAverages, updateAverages } from '../average/average.js';
import type { AvgFn } from '../average/avg_fn.js';
import { exchange, setHolder } from '../average/exchange.js';
import { BUFFER } from '../state/state_dict.js';
import type { Group } from './groups/param_groups.js';

/**
 * Takes the parameters of each group into their averages; the first update copies them.
 *
 * @throws The first error of an averaging function; the groups without one are averaged then too.
 */
export function takeAverages(groups: readonly Group[], avgFn: AvgFn): void {
  const errors: unknown[] = [];
  for (const group of groups) {
    const { params, n_avg, averaged, buffers } = group;
    if (!averaged || params.length === 0) continue;
    try {
      if (n_avg === 0) {
        const started = startAverages(params, avgFn);
        if (!started) continue;
        buffers[BUFFER] = started;
      } else if (!updateAverages(buffers[BUFFER]!, params, n_avg, avgFn)) continue;
      group.n_avg += 1;
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * Exchanges the parameters of each group and their averages.
 *
 * @param owner Who swaps, for others to know.
 * @param back Whether the groups that are swapped are swapped back.
 * @returns The parameters that have no average to swap in.
 */
export function swapAverages(
  groups: readonly Group[],
  owner: object,
  back: boolean,
): tf.Variable[] {
  return groups.flatMap((group) => {
    const { params, buffers, averaged, n_avg, swapped } = group;
    if (back ? !swapped : n_avg === 0) return back || !averaged ? [] : params;
    params.forEach((param, i) => exchange(param, buffers[BUFFER]![i]!));
    group.swapped = !back;
    setHolder(params, back ? null : owner);
    return [];
  });
}

/**
 * Gives the parameters of each group the values of their averages.
 *
 * @returns The parameters that have no average.
 */
export function assignAverages(groups: readonly Group[]): tf.Variable[] {
  return groups.flatMap(({ params, buffers, averaged }) => {
    const averages = buffers[BUFFER];
    averages?.forEach((average, i) => params[i]!.assign(average));
    return averages || !averaged ? [] : params;
  });
}
