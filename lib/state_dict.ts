/**
 * The state of a wrapper as plain data, in torch's `opt_state` / `swa_state` / `param_groups`
 * shape, and back. It knows nothing of files or modes.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkFit } from './fit.js';
import { hasLearningRate, shownLearningRate } from './learning_rate.js';
import {
  downloadEntry,
  getOptimizerState,
  keepsOwnState,
  partsOf,
  type StateEntry,
} from './optimizer_state.js';
import { invalid, isCount } from './options.js';
import type { Group, ParamGroupOptions } from './param_groups.js';
import { kindOf, soundKind, toVariable, type TensorData } from './tensor_data.js';

/** One parameter group in a {@link SWAStateDict}. */
export interface ParamGroupState {
  /** The numbers of the group's parameters, counted across all groups in order. */
  params: number[];
  /** Their names, in the same order. */
  param_names: string[];
  /** The learning rate; NaN where the base optimizer shows none. */
  lr: number;
  /** How many values the averages hold. */
  n_avg: number;
  /** How many steps the group has taken. */
  step_counter: number;
  /** Whether the variables held the averages, and `swa_state` therefore holds the weights. */
  swapped: boolean;
  /** What else the base optimizer's `getConfig()` tells: `momentum`, `beta1`, ... */
  [hyperparameter: string]: unknown;
}

/**
 * All that a wrapper knows beyond the parameters themselves, as plain data: no tensors, nothing to
 * dispose. The parameters are the model's and are saved with it.
 */
export interface SWAStateDict {
  /** By number of the group, as a string: the state of its base optimizer. */
  opt_state: Record<string, TensorData[]>;
  /** By number of the parameter, as a string: its average; only parameters that have one. */
  swa_state: Record<string, { swa_buffer: TensorData }>;
  /** The groups, in order. */
  param_groups: ParamGroupState[];
}

/** A state whose tensors may still be the wrapper's own. */
export interface LiveState {
  opt_state: Record<string, StateEntry[] | Promise<StateEntry[]>>;
  swa_state: Record<string, { swa_buffer: StateEntry }>;
  param_groups: ParamGroupState[];
}

/** The state of the groups, by reference. */
export function liveState(groups: readonly Group[]): LiveState {
  const state: LiveState = { opt_state: {}, swa_state: {}, param_groups: [] };
  let count = 0;
  groups.forEach(({ params, optimizer, buffers, n_avg, step_counter, swapped }, g) => {
    const indices = params.map((_, i) => count + i);
    count += params.length;
    const { learningRate: _, ...hyperparameters } = optimizer.getConfig();
    state.param_groups.push({
      ...hyperparameters,
      params: indices,
      param_names: params.map(({ name }) => name),
      lr: shownLearningRate(optimizer),
      n_avg,
      step_counter,
      swapped,
    });
    state.opt_state[g] = getOptimizerState(optimizer, params);
    buffers.forEach((tensor, i) => {
      state.swa_state[indices[i]!] = { swa_buffer: { name: 'swa_buffer', tensor } };
    });
  });
  return state;
}

/**
 * The state of the groups as plain data. All of it is of the moment of the call: every download
 * starts before this function first waits.
 */
export async function saveState(groups: readonly Group[]): Promise<SWAStateDict> {
  const { opt_state, swa_state, param_groups } = liveState(groups);
  await Promise.all([
    ...Object.entries(opt_state).map(async ([g, entries]) => {
      const list = Array.isArray(entries) ? entries : await entries;
      opt_state[g] = await Promise.all(list.map(downloadEntry));
    }),
    ...Object.values(swa_state).map(async (average) => {
      average.swa_buffer = await downloadEntry(average.swa_buffer);
    }),
  ]);
  return { opt_state, swa_state, param_groups } as SWAStateDict;
}

/**
 * Checks that a value is a state dict in itself, before any wrapper comes into it.
 *
 * @throws Error `Invalid state.PART: VALUE (expected what stateDict() gives)`.
 */
export function checkStateDict(state: unknown): asserts state is SWAStateDict {
  const check = (part: string, value: unknown, sound: boolean): void => {
    if (!sound) invalid(`state${part}`, value, 'what stateDict() gives');
  };
  const keysOf = (part: string, value: unknown): string[] => {
    check(part, value, Object(value) === value);
    return Object.keys(value as object);
  };
  keysOf('', state);
  const { opt_state, swa_state, param_groups } = state as SWAStateDict;
  check('.param_groups', param_groups, Array.isArray(param_groups));
  const groups = Object.keys(param_groups);
  const numbers = keysOf('.opt_state', opt_state);
  check('.opt_state', opt_state, String(numbers) === String(groups));
  let count = 0;
  for (const g of groups) {
    const group = Object(param_groups[+g]) as ParamGroupState;
    const { params, param_names, lr, n_avg, step_counter, swapped } = group;
    const sound = {
      params: Array.isArray(params) && params.every((index) => index === count++),
      param_names:
        Array.isArray(param_names) &&
        param_names.length === params.length &&
        param_names.every((name) => typeof name === 'string'),
      lr: typeof lr === 'number' && !(lr < 0) && lr !== Infinity,
      n_avg: isCount(n_avg),
      step_counter: isCount(step_counter),
      swapped: typeof swapped === 'boolean' && (!swapped || n_avg > 0),
    };
    for (const [key, ok] of Object.entries(sound)) {
      check(`.param_groups[${g}].${key}`, group[key], ok);
    }
    check(`.opt_state[${g}]`, opt_state[g], Array.isArray(opt_state[g]));
  }
  const indices = keysOf('.swa_state', swa_state);
  const known = indices.every((index) => +index < count);
  check('.swa_state', swa_state, known);
}

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
    const slot = state.opt_state[0]!.find((entry) => entry?.name?.endsWith?.(`/${i}`));
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
    const entries = new Map(
      opt_state[g]!.map((entry) => [(Object(entry) as TensorData).name, entry]),
    );
    for (const [name, entry] of entries) {
      found.set(path(name), soundKind(entry));
      if (keepsOwnState(optimizer)) wanted.set(path(name), kindOf(entry));
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
      const { swa_buffer } = Object(swa_state[index]) as { swa_buffer: TensorData };
      if (index in swa_state) found.set(part, soundKind(swa_buffer));
      if (n_avg > 0) wanted.set(part, kindOf(param));
      return swa_buffer;
    });
    return () => {
      for (const part of parts) part.put(entries.get(part.name));
      if (!Number.isNaN(lr)) group.lr = lr;
      tf.dispose(group.buffers);
      Object.assign(group, { n_avg, step_counter, swapped });
      group.buffers = n_avg > 0 ? buffers.map(toVariable) : [];
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
