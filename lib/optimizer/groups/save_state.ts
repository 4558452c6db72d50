/**
 * The state of parameter groups: by reference, and downloaded as plain data. It knows nothing of how
 * a state is loaded, of files or modes.
 */
import { shownLearningRate } from '../../schedule/learning_rate.js';
import { mapState, type Kept, type LiveState, type SWAStateDict } from '../../state/state_dict.js';
import { ownFields } from '../base/fields.js';
import { downloadEntry, getOptimizerState } from '../base/state.js';
import type { Group } from './param_groups.js';

/** What a kind of wrapper keeps for a group beside what every wrapper does, and its words for it. */
export interface Keeps extends Kept {
  /** The name of the kind: `SWA`. */
  readonly kind: string;
  /** What swaps its averages, where it does: by hand, `swapSwaSgd()`, and in a scope, `withSwa()`. */
  readonly swapMethod?: string;
  readonly scopeMethod?: string;
  /** How it averages, as it stands in the state. */
  readonly avgFn: string;
  /** What it keeps belongs to `avgFn`, so that no other can go on from it. */
  readonly fixed?: boolean;
}

/** The state of the groups, by reference; those whose variables are all gone have none. */
export function liveState(groups: readonly Group[], keeps: Keeps): LiveState {
  const state: LiveState = { opt_state: {}, swa_state: {}, param_groups: [] };
  let count = 0;
  const some = groups.filter(({ params }) => params.length > 0);
  some.forEach(({ params, optimizer, buffers, counters, n_avg, step_counter, swapped }, g) => {
    const indices = params.map((_, i) => count + i);
    count += params.length;
    const { learningRate: _, ...hyperparameters } = optimizer.getConfig();
    const own = ownFields(optimizer);
    state.param_groups.push({
      ...hyperparameters,
      params: indices,
      param_names: params.map(({ name }) => name),
      lr: shownLearningRate(optimizer),
      n_avg,
      step_counter,
      swapped,
      avg_fn: keeps.avgFn,
      ...counters,
      ...(Object.keys(own).length > 0 && { own_fields: structuredClone(own) }),
    });
    state.opt_state[g] = getOptimizerState(optimizer, params);
    for (const [name, list] of Object.entries(buffers)) {
      list.forEach((tensor, i) => {
        const entry = (state.swa_state[indices[i]!] ??= {});
        entry[name] = { name, tensor };
      });
    }
  });
  return state;
}

/**
 * The state of the groups as plain data. All of it is of the moment of the call: every download
 * starts before this function first waits.
 */
export function saveState(groups: readonly Group[], keeps: Keeps): Promise<SWAStateDict> {
  return mapState(liveState(groups, keeps), downloadEntry) as Promise<SWAStateDict>;
}
