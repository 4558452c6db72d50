/**
 * Loads what of a state fits by name alone, and has the rest begin anew. It knows nothing of how what
 * fits is compared and put in place.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasLearningRate } from '../../schedule/learning_rate.js';
import { matchByName, type LoadReport } from '../../state/match_tensors.js';
import type { SWAStateDict } from '../../state/state_dict.js';
import { keepsOwnState } from '../base/fields.js';
import { makeOptimizer } from '../base/make.js';
import { setOwnStates } from '../base/state.js';
import { planLoad, savedParams, type LoadOptions, type Target } from './load_state.js';
import { Group } from './param_groups.js';
import type { Keeps } from './save_state.js';

/**
 * Takes over what fits of a checked state. Parameters without an entry begin anew, in groups of their
 * own that are added to the list, at the rate of the group that they were in.
 *
 * @returns What fits nothing. If that is all of it, nothing has changed.
 * @throws Error that says what does not fit although the names do; nothing has changed then.
 */
export async function loadPart(
  list: Group[],
  state: SWAStateDict,
  holder: { readonly keeps: Keeps },
  options: LoadOptions,
): Promise<LoadReport> {
  const { kind, swapMethod, counters } = holder.keeps;
  if (list.some(({ swapped }) => swapped)) {
    throw new Error(`Cannot load with strict: false while swapped: call ${swapMethod} first`);
  }
  const { targets, report } = matchPart(list, state, kind);
  const taken = targets.filter((target) => target !== null);
  const [first] = taken;
  if (!first) return report;
  const parts = { targets, wanted: new Map(), found: new Map() };
  const commit = planLoad(parts, state, holder, options);
  const made = new Map<Group, Group>();
  try {
    for (const { group, params } of taken) {
      const strays = group.params.filter((param) => !params.includes(param));
      if (strays.length === 0) continue;
      const { optimizer, averaged } = group;
      const own = makeOptimizer(optimizer, optimizer.getConfig(), 'what has no entry');
      made.set(group, new Group(strays, own, averaged));
    }
    await setOwnStates(
      taken.map(({ group, source }) => [group.optimizer, state.opt_state[source]!]),
    );
  } catch (error) {
    for (const group of made.values()) group.dispose();
    throw error;
  }
  for (const [group, { params }] of made) for (const param of params) group.drop(param);
  commit();
  const others = list.filter((_, g) => !targets[g]);
  for (const group of [...others, ...made.values()]) {
    tf.dispose(group.buffers);
    const { step_counter } = first.group;
    Object.assign(group, { n_avg: 0, step_counter, buffers: {} });
    for (const name of counters) group.counters[name] = 0;
  }
  for (const [from, group] of made) if (hasLearningRate(group.optimizer)) group.lr = from.lr;
  list.push(...made.values());
  return report;
}

/** What a state has for each of the groups by name alone. */
function matchPart(
  list: readonly Group[],
  state: SWAStateDict,
  kind: string,
): { targets: (Target | null)[]; report: LoadReport } {
  const all = list.flatMap(({ params }) => params);
  // Of one of which nothing was kept no shape is known.
  const shapes = new Map(all.map(({ name, shape }) => [name, shape]));
  const entries = state.param_groups.flatMap((_, source) =>
    savedParams(state, source).map(({ name, shape = shapes.get(name) ?? [] }, place) => {
      return { name, shape, dtype: 'float32', source, place };
    }),
  );
  const { matched, report } = matchByName(all, entries);
  const entryOf = new Map(all.map((param, i) => [param, matched[i]]));
  const targets = list.map((group, g): Target | null => {
    const { optimizer } = group;
    const params = group.params.filter((param) => entryOf.get(param));
    const found = params.map((param) => entryOf.get(param)!);
    const [source, ...others] = new Set(found.map((entry) => entry.source));
    if (source === undefined) return null;
    if (others.length > 0) {
      throw new Error(
        `The state does not fit this ${kind}: parameters of group ${g} stand in its groups ` +
          [source, ...others].join(', '),
      );
    }
    const saved = state.param_groups[source]!.params.length;
    if (keepsOwnState(optimizer) && (found.length < saved || saved < group.params.length)) {
      const name = optimizer.getClassName();
      throw new Error(`Cannot load a part of what ${name} of group ${g} keeps in its own way`);
    }
    return { group, params, source, order: found.map(({ place }) => place) };
  });
  return { targets, report };
}
