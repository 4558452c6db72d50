/**
 * The averages in the state of an SWA, group by group, as they lie there. It knows nothing of what is
 * made of them.
 */
import { BUFFER, checkStateDict, KEPT_AVERAGES, type SWAStateDict } from '../state/state_dict.js';
import type { TensorData } from '../state/tensor_data.js';
import type { WeightAverage } from '../state/weight_average.js';

/** The states whose `swa_buffer` is an average: `avgFnKind` of average/avg_fn.ts. */
const AVERAGES = /^(swa|own|ema\(.*\))$/;

/**
 * The average of each parameter group, under the names of its parameters; none, with a count of 0, of
 * a group that has none yet, or is not averaged.
 *
 * @throws Error that says why these are no averages: the state is broken, was saved while swapped, or
 *   is that of another kind of wrapper.
 */
export function averagesOfGroups(state: SWAStateDict): WeightAverage[] {
  const { param_groups: saved } = Object(state) as { param_groups?: unknown };
  const kinds = Array.isArray(saved) ? (saved as unknown[]) : [];
  for (const { avg_fn } of kinds.map((group) => Object(group) as { avg_fn?: unknown })) {
    if (typeof avg_fn !== 'string' || AVERAGES.test(avg_fn)) continue;
    throw new Error(
      `The state is one of ${avg_fn}, which keeps no average in it: load it into its wrapper, and ` +
        'read the weights there',
    );
  }
  checkStateDict(state, KEPT_AVERAGES);
  const { param_groups, swa_state } = state;
  if (param_groups.some(({ swapped }) => swapped)) {
    throw new Error(
      'The state was saved while swapped: it holds the weights, and the model the averages; swap ' +
        'back before you save',
    );
  }
  return param_groups.map(({ n_avg, params, param_names }) => ({
    count: n_avg,
    weights: (n_avg > 0 ? params : []).map((index, i): TensorData => {
      return { ...swa_state[index]![BUFFER], name: param_names[i]! };
    }),
  }));
}
