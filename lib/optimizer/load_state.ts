/**
 * Fits a state to the groups that are to take it, by the names of their parameters or by position,
 * and puts it in place. It knows nothing of how a state is saved, of files or modes.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkFit } from '../state/check_parts.js';
import { hasLearningRate } from '../schedule/learning_rate.js';
import { keepsOwnState, partsOf } from './base_optimizer.js';
import type { Group, ParamGroupOptions } from './param_groups.js';
import type { SWAStateDict } from '../state/state_dict.js';
import { kindOf, toVariable } from '../state/tensor_data.js';

/** A group, as far as loading a state needs it. */
interface Target extends Partial<Pick<Group, 'lr' | 'buffers'>> {
  readonly params: readonly Pick<tf.Variable, 'name' | 'shape'>[];
  readonly optimizer: tf.Optimizer;
}

/**
 * Checks a state against the wrapped optimizer, its first group's, before any variable is known.
 * The shapes are taken from the state itself.
 *
 * @throws Error that lists what is missing, unexpected and different.
 */
export function checkBase(optimizer: tf.Optimizer, state: SWAStateDict): void {
  const group = state.param_groups[0]!;
  const params = group.param_names.map((name, i) => {
    const slot = state.opt_state[0]!.find((entry) => entry.name.endsWith(`/${i}`));
    return { name, shape: (slot ?? state.swa_state[group.params[i]!]?.swa_buffer)?.shape ?? [] };
  });
  matchGroups([{ params, optimizer }], { ...state, param_groups: [group] });
}

/** What to do where the parameters of several groups cannot be told apart. */
export const NEEDS_GROUPS =
  'Name the parameter groups of the state first, with paramGroups or addParamGroup()';

/**
 * Compares a state with the groups that are to take it, without changing anything.
 *
 * @returns Puts the state into the groups, but for what their optimizers keep in their own way.
 * @throws Error that lists what is missing, unexpected and of the wrong shape or value.
 */
export function matchGroups(groups: readonly Target[], state: SWAStateDict): () => void {
  const wanted = new Map<string, string>();
  const found = new Map<string, string>();
  const compare = (part: string, is: unknown, not: unknown) => {
    found.set(part, String(is));
    wanted.set(part, String(not));
  };
  const { param_groups, opt_state, swa_state } = state;
  const puts = groups.map((group, g) => {
    const { params, optimizer } = group;
    const saved = param_groups[g];
    const names = saved?.param_names ?? [];
    if (params.length !== names.length) {
      for (const { name } of params) wanted.set(name, '');
      for (const name of names) found.set(name, '');
      return [];
    }
    const { n_avg, step_counter, swapped, lr, params: indices } = saved!;
    // Where each parameter stands in the saved group.
    let order = params.map(({ name }) => names.indexOf(name));
    if (order.includes(-1)) order = [...names.keys()];
    for (const { name } of params) {
      // Positions would mix up what the names tell apart.
      const at = param_groups.findIndex(({ param_names }) => param_names.includes(name));
      if (at >= 0) compare(`group of ${name}`, at, g);
    }
    const { learningRate: _, ...config } = optimizer.getConfig();
    for (const [key, value] of Object.entries(config)) {
      if (!(key in saved!)) continue;
      compare(`${key} of group ${g}`, JSON.stringify(saved![key]), JSON.stringify(value));
    }
    if (!Number.isNaN(lr) && !hasLearningRate(optimizer)) found.set(`lr of group ${g}`, '');

    const path = (name: string) => `opt_state[${g}] ${name}`;
    const entries = new Map(opt_state[g]!.map((entry) => [entry.name, entry]));
    if (!keepsOwnState(optimizer)) {
      for (const [name, entry] of entries) found.set(path(name), kindOf(entry));
    }
    const parts = partsOf(optimizer, params, order);
    for (const part of parts) {
      const { name } = part;
      // Before the first step there need not be slots.
      if (step_counter > 0 || !name.includes('/') || entries.has(name)) {
        wanted.set(path(name), kindOf(part));
      }
    }
    const buffers = params.map((param, i) => {
      const index = indices[order[i]!]!;
      const part = `swa_state[${index}] of ${param.name}`;
      const buffer = swa_state[index]?.swa_buffer;
      if (buffer) found.set(part, kindOf(buffer));
      if (n_avg > 0) wanted.set(part, kindOf(param));
      return buffer ?? [];
    });
    return () => {
      for (const part of parts) part.put(entries.get(part.name));
      if (!Number.isNaN(lr)) group.lr = lr;
      tf.dispose(group.buffers);
      Object.assign(group, { n_avg, step_counter, swapped });
      group.buffers = buffers.flat().map(toVariable);
    };
  });
  for (const { param_names } of param_groups.slice(groups.length)) {
    for (const name of param_names) found.set(name, '');
  }
  checkFit('The state does not fit this SWA', wanted, found);
  return () => puts.flat().forEach((put) => put());
}

/**
 * The groups of a state, made of variables that no group holds yet: all of them if the state has
 * one group, else each where the state names it.
 *
 * @throws Error if the state has several groups and does not name these variables.
 */
export function groupByName(
  state: SWAStateDict,
  variables: readonly tf.Variable[],
  hyperparameters: object,
): ParamGroupOptions[] {
  const { param_groups } = state;
  const single = param_groups.length === 1;
  const named = single
    ? [...variables]
    : (findByName(state, variables) ?? findByName(state, variables, stem));
  if (!named) throw new Error(NEEDS_GROUPS);
  return param_groups.map((group) => {
    const own = Object.entries(group).filter(
      ([key]) => key in hyperparameters && key !== 'learningRate',
    );
    const params = single ? named : group.params.map((index) => named[index]!);
    return { ...Object.fromEntries(own), params };
  });
}

/**
 * A name without the number that tfjs-layers puts after one that was taken (tfjs-layers 4.22,
 * common.ts, `getUniqueTensorName`): a model that is loaded beside the one that was saved has
 * `dense/kernel_1`.
 */
export function stem(name: string): string {
  return name.replace(/_\d+$/, '');
}

/**
 * The variables that a state names, in its order; `undefined` if one is missing, or if there are two
 * for a name, or two names for one.
 *
 * @param keyOf What of the names has to be equal; default: all.
 */
export function findByName(
  { param_groups }: SWAStateDict,
  variables: readonly tf.Variable[],
  keyOf = (name: string): string => name,
): tf.Variable[] | undefined {
  const keys = param_groups.flatMap(({ param_names }) => param_names.map(keyOf));
  const found = keys.flatMap((key) => variables.filter(({ name }) => keyOf(name) === key));
  const distinct = new Set(found.map(({ name }) => keyOf(name)));
  return distinct.size === keys.length && found.length === keys.length ? found : undefined;
}
