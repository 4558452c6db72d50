/**
 * Fits a state to the groups that are to take it, by the names of their parameters or by position:
 * first a plan, which changes nothing, then the commit, which cannot fail. It knows nothing of how a
 * state is saved, of files or modes.
 */
import * as tf from '@tensorflow/tfjs-core';
import { setHolder } from '../../average/exchange.js';
import { checkKeys, invalid } from '../../check.js';
import { hasLearningRate } from '../../schedule/learning_rate.js';
import { checkFit } from '../../state/check_parts.js';
import { matchGroups } from '../../state/match_names.js';
import type { SWAStateDict } from '../../state/state_dict.js';
import { kindOf, toVariable, type TensorData } from '../../state/tensor_data.js';
import { keepsOwnState, ownFields, partsOf } from '../base/fields.js';
import { hyperparameterText } from '../base/make.js';
import type { Group } from './param_groups.js';
import type { Keeps } from './save_state.js';

/** Options of `loadStateDict` of a wrapper. */
export interface LoadOptions {
  /** 'keep': the wrapper's own averaging function goes on from averages that another one made. */
  avgFn?: 'keep';
  /** false: take what fits by name alone, and report the rest; default true. */
  strict?: boolean;
}

/** Refuses options of `loadStateDict` that make no sense. */
export function checkLoadOptions(options: LoadOptions): LoadOptions {
  checkKeys(options, ['avgFn', 'strict']);
  const { avgFn, strict = true } = options;
  if (typeof strict !== 'boolean') invalid('strict', strict, 'a boolean');
  if (avgFn !== undefined && avgFn !== 'keep') invalid('avgFn', avgFn, "'keep'");
  return options;
}

/** What of a state is for a group. */
export interface Target {
  readonly group: Group;
  /** Those of its parameters that take something. */
  readonly params: readonly tf.Variable[];
  /** The number of the saved group. */
  readonly source: number;
  /** Where each of `params` stands there. */
  readonly order: readonly number[];
}

/** What of a state is for each group, `null` for nothing, and what `checkFit` is to compare. */
export interface Match {
  readonly targets: readonly (Target | null)[];
  readonly wanted: Map<string, string>;
  readonly found: Map<string, string>;
}

/** Matches all of a state with all groups. */
export function matchAll(groups: readonly Group[], { param_groups }: SWAStateDict): Match {
  const { orders, ...parts } = matchGroups(
    groups.map(({ params }) => params.map(({ name }) => name)),
    param_groups.map(({ param_names }) => param_names),
  );
  const targets = groups.map((group, source) => {
    const order = orders[source];
    return order ? { group, params: group.params, source, order } : null;
  });
  return { targets, ...parts };
}

/**
 * Compares a state with the groups that are to take it.
 *
 * @param holder Whose groups they are: it holds the variables if the state was swapped.
 * @returns Puts the state in place, but for what optimizers keep in their own way.
 * @throws Error that lists what is missing, unexpected and of the wrong shape or value.
 */
export function planLoad(
  { targets, wanted, found }: Match,
  state: SWAStateDict,
  holder: { readonly keeps: Keeps },
  { avgFn }: LoadOptions,
): () => void {
  const { keeps } = holder;
  const { param_groups, opt_state, swa_state } = state;
  const compare = (part: string, is: unknown, not: unknown): void => {
    found.set(part, String(is));
    wanted.set(part, String(not));
  };
  const puts = targets.map((target, g) => {
    if (!target) return () => {};
    const { group, params, source, order } = target;
    const { optimizer, averaged } = group;
    const saved = param_groups[source]!;
    const { n_avg, step_counter, swapped, lr, avg_fn, params: indices } = saved;
    const { learningRate: _, ...config } = optimizer.getConfig();
    for (const [key, value] of Object.entries(config)) {
      if (!(key in saved)) continue;
      compare(`${key} of group ${g}`, hyperparameterText(saved[key]), hyperparameterText(value));
    }
    if (keeps.fixed || avgFn !== 'keep') compare(`avg_fn of group ${g}`, avg_fn, keeps.avgFn);
    if (!Number.isNaN(lr) && !hasLearningRate(optimizer)) found.set(`lr of group ${g}`, '');
    // Else a swap would not leave it.
    if (!averaged) compare(`n_avg of group ${g}`, n_avg, 0);

    const path = (name: string): string => `opt_state[${source}] ${name}`;
    const entries = new Map(opt_state[source]!.map((entry) => [entry.name, entry]));
    if (!keepsOwnState(optimizer)) {
      for (const [name, entry] of entries) {
        const place = placeOf(name);
        // A slot of a parameter that is left out is nobody's.
        if (order.includes(place) || !(place < indices.length))
          found.set(path(name), kindOf(entry));
      }
    }
    const parts = partsOf(optimizer, params, order);
    for (const part of parts) {
      const { name } = part;
      // Before the first step there need not be slots.
      if (step_counter > 0 || !name.includes('/') || entries.has(name)) {
        wanted.set(path(name), kindOf(part));
      }
    }
    const own = (saved['own_fields'] ?? {}) as Record<string, unknown>;
    for (const name of Object.keys(ownFields(optimizer))) wanted.set(path(name), '');
    for (const name of Object.keys(own)) found.set(path(name), '');

    const buffers: Record<string, TensorData[]> = {};
    for (const name of keeps.buffers(saved)) buffers[name] = [];
    params.forEach((param, i) => {
      const index = indices[order[i]!]!;
      const part = (name: string): string => `swa_state[${index}] of ${param.name}${name}`;
      for (const [name, list] of Object.entries(buffers)) {
        const label = part(name === 'swa_buffer' ? '' : `, ${name}`);
        const buffer = swa_state[index]![name as 'swa_buffer'];
        compare(label, kindOf(buffer), kindOf(param));
        list.push(buffer);
      }
    });
    return (): void => {
      for (const part of parts) part.put(entries.get(part.name));
      Object.assign(optimizer, structuredClone(own));
      if (!Number.isNaN(lr)) group.lr = lr;
      tf.dispose(group.buffers);
      if (swapped !== group.swapped) setHolder(params, swapped ? holder : null);
      Object.assign(group, { n_avg, step_counter, swapped });
      for (const name of keeps.counters) group.counters[name] = saved[name] as number;
      group.buffers = Object.fromEntries(
        Object.entries(buffers).map(([name, list]) => [name, list.map(toVariable)]),
      );
    };
  });
  checkFit(`The state does not fit this ${keeps.kind}`, wanted, found);
  return () => {
    for (const put of puts) put();
  };
}

/**
 * Checks a state against the wrapped optimizer, its first group's, before any variable is known.
 * The shapes are taken from the state itself.
 *
 * @throws Error that lists what is missing, unexpected and different.
 */
export function checkBase(
  optimizer: tf.Optimizer,
  state: SWAStateDict,
  holder: { readonly keeps: Keeps },
  options: LoadOptions,
): void {
  const saved = savedParams(state, 0);
  const target = {
    params: saved.map(({ name, shape = [] }) => ({ name, shape })),
    group: { optimizer, averaged: true },
    source: 0,
    order: [...saved.keys()],
  } as unknown as Target;
  planLoad({ targets: [target], wanted: new Map(), found: new Map() }, state, holder, options);
}

/** The parameters of a saved group, and of what shape they were, where anything was kept for one. */
export function savedParams(
  { param_groups, opt_state, swa_state }: SWAStateDict,
  group: number,
): { name: string; shape: readonly number[] | undefined }[] {
  const { params, param_names } = param_groups[group]!;
  return param_names.map((name, i) => {
    const [buffer] = Object.values(swa_state[params[i]!] ?? {});
    const slot = opt_state[group]!.find((entry) => placeOf(entry.name) === i);
    return { name, shape: (buffer ?? slot)?.shape };
  });
}

/** Of the name of a slot, `FIELD/POSITION`, the position; else NaN. */
function placeOf(name: string): number {
  return Number(/\/(\d+)$/.exec(name)?.[1]);
}
