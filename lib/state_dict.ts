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
  setOptimizerState,
  stateKinds,
  type StateEntry,
} from './optimizer_state.js';
import { invalid, isCount } from './options.js';
import type { Group, ParamGroupOptions } from './param_groups.js';
import { checkTensorData, kindOf, toVariable, type TensorData } from './tensor_data.js';

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
    state.opt_state[g] = getOptimizerState(optimizer);
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
  const optimizers = mapValues(opt_state, async (entries) =>
    Promise.all((Array.isArray(entries) ? entries : await entries).map(downloadEntry)),
  );
  const buffers = mapValues(swa_state, async ({ swa_buffer }) => ({
    swa_buffer: await downloadEntry(swa_buffer),
  }));
  return { opt_state: await optimizers, swa_state: await buffers, param_groups };
}

/** The record of what `f` makes of each value; all calls start at once. */
async function mapValues<T, U>(
  record: Record<string, T>,
  f: (value: T) => Promise<U>,
): Promise<Record<string, U>> {
  const made = Object.entries(record).map(async ([key, value]) => [key, await f(value)] as const);
  return Object.fromEntries(await Promise.all(made));
}

/**
 * Checks that a value is a state dict in itself, before any wrapper comes into it.
 *
 * @throws Error `Invalid state.PART: VALUE (expected ...)`.
 */
export function checkStateDict(state: unknown): asserts state is SWAStateDict {
  const { opt_state, swa_state, param_groups } = record('state', state);
  const optimizers = record('state.opt_state', opt_state);
  const averages = record('state.swa_state', swa_state);
  const groups = list('state.param_groups', param_groups);
  let count = 0;
  const expected = new Set<string>();
  groups.forEach((group, g) => {
    const label = `state.param_groups[${g}]`;
    const { params, param_names, lr, n_avg, step_counter, swapped } = record(label, group);
    const indices = list(`${label}.params`, params);
    const names = list(`${label}.param_names`, param_names);
    const rules: Record<string, [value: unknown, ok: boolean, expected: string]> = {
      params: [params, indices.every((i) => i === count++), 'numbers in order across all groups'],
      param_names: [
        param_names,
        names.length === indices.length && names.every((name) => typeof name === 'string'),
        'a name for each parameter',
      ],
      lr: [lr, typeof lr === 'number' && !(lr < 0) && lr !== Infinity, 'a finite number >= 0'],
      n_avg: [n_avg, isCount(n_avg), 'an integer >= 0'],
      step_counter: [step_counter, isCount(step_counter), 'an integer >= 0'],
      swapped: [
        swapped,
        swapped === false || (swapped === true && n_avg !== 0),
        'a boolean, false without averages',
      ],
    };
    for (const [key, [value, ok, rule]] of Object.entries(rules)) {
      if (!ok) invalid(`${label}.${key}`, value, rule);
    }
    list(`state.opt_state[${g}]`, optimizers[g]).forEach((entry, i) =>
      checkTensorData(`state.opt_state[${g}][${i}]`, entry),
    );
    if (n_avg !== 0) for (const index of indices) expected.add(String(index));
  });
  const stray = Object.keys(optimizers).find((key) => !Object.hasOwn(groups, key));
  if (stray) invalid(`state.opt_state[${stray}]`, optimizers[stray], 'no more than the groups');
  for (const index of new Set([...expected, ...Object.keys(averages)])) {
    const label = `state.swa_state[${index}]`;
    const { swa_buffer } = record(label, averages[index]);
    checkTensorData(`${label}.swa_buffer`, swa_buffer);
    if (!expected.has(index)) invalid(label, swa_buffer, 'nothing without an average');
  }
}

function record(label: string, value: unknown): Record<string, unknown> {
  const plain = Object(value) === value && !Array.isArray(value);
  return plain ? (value as Record<string, unknown>) : invalid(label, value, 'a record');
}

function list(label: string, value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : invalid(label, value, 'a list');
}

/** A parameter, as far as a state tells of it. */
interface Named {
  readonly name: string;
  readonly shape: number[];
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
  'Loading several parameter groups needs a wrapper built with the same paramGroups';

/** Where each parameter of each group stands in the saved group. */
type Orders = number[][];

/**
 * Compares a state with the groups that are to take it, without changing anything.
 *
 * @throws Error that lists what is missing, unexpected and of the wrong shape or value.
 */
export function matchGroups(
  groups: readonly { params: readonly Named[]; optimizer: tf.Optimizer }[],
  state: SWAStateDict,
): Orders {
  const wanted = new Map<string, string>();
  const found = new Map<string, string>();
  const compare = (part: string, is: unknown, not: unknown) => {
    found.set(part, String(is));
    wanted.set(part, String(not));
  };
  const { param_groups, opt_state, swa_state } = state;
  const orders = groups.map(({ params, optimizer }, g) => {
    const saved = param_groups[g];
    const names = saved?.param_names ?? [];
    if (params.length !== names.length) {
      for (const { name } of params) wanted.set(name, '');
      for (const name of names) found.set(name, '');
      return [];
    }
    const { step_counter, lr, params: indices } = saved!;
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
    if (!keepsOwnState(optimizer)) {
      for (const entry of opt_state[g]!) found.set(path(entry.name), kindOf(entry));
    }
    const inOrder = order.map((_, i) => params[order.indexOf(i)]!.shape);
    for (const [name, kind] of stateKinds(optimizer, inOrder)) {
      // Before the first step there need not be slots.
      if (step_counter > 0 || !name.includes('/') || found.has(path(name))) {
        wanted.set(path(name), kind);
      }
    }
    params.forEach((param, i) => {
      const index = indices[order[i]!]!;
      const buffer = swa_state[index]?.swa_buffer;
      if (buffer) compare(`swa_state[${index}] of ${param.name}`, kindOf(buffer), kindOf(param));
    });
    return order;
  });
  for (const { param_names } of param_groups.slice(groups.length)) {
    for (const name of param_names) found.set(name, '');
  }
  checkFit('The state does not fit this SWA', wanted, found);
  return orders;
}

/** Puts a state that was found to fit into the groups, but for what their own optimizers keep. */
export function applyState(groups: readonly Group[], state: SWAStateDict, orders: Orders): void {
  groups.forEach((group, g) => {
    const { optimizer, params } = group;
    const { lr, n_avg, step_counter, swapped, params: indices } = state.param_groups[g]!;
    const order = orders[g]!;
    if (!keepsOwnState(optimizer)) setOptimizerState(optimizer, params, state.opt_state[g]!, order);
    if (!Number.isNaN(lr)) group.lr = lr;
    tf.dispose(group.buffers);
    const buffers = order.flatMap((place) => state.swa_state[indices[place]!] ?? []);
    Object.assign(group, { n_avg, step_counter, swapped });
    group.buffers = buffers.map(({ swa_buffer }) => toVariable(swa_buffer));
  });
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
  const named = single ? [...variables] : (byName(state, variables) ?? byStem(state, variables));
  if (!named) throw new Error(NEEDS_GROUPS);
  return param_groups.map((group) => {
    const own = Object.entries(group).filter(
      ([key]) => key in hyperparameters && key !== 'learningRate',
    );
    const params = single ? named : group.params.map((index) => named[index]!);
    return { ...Object.fromEntries(own), params };
  });
}

/** The variables that a state names, in its order; `undefined` if one is missing. */
function byName(
  { param_groups }: SWAStateDict,
  variables: readonly tf.Variable[],
): tf.Variable[] | undefined {
  const known = new Map(variables.map((variable) => [variable.name, variable]));
  const found = param_groups.flatMap(({ param_names }) =>
    param_names.map((name) => known.get(name)),
  );
  return found.every((variable) => variable !== undefined) ? found : undefined;
}

/**
 * The variables that a state names, in its order, whatever number tfjs-layers has put after a name
 * that was taken (tfjs-layers 4.22, common.ts, `getUniqueTensorName`): a model that is loaded beside
 * the one that was saved has `dense/kernel_1`. `undefined` if one is missing, or if there are two for
 * a name, or two names for one.
 */
export function byStem(
  { param_groups }: SWAStateDict,
  variables: readonly tf.Variable[],
): tf.Variable[] | undefined {
  const stem = (name: string): string => name.replace(/_\d+$/, '');
  const stems = param_groups.flatMap(({ param_names }) => param_names.map(stem));
  const found = stems.map((wanted) => variables.filter(({ name }) => stem(name) === wanted));
  const clear = new Set(stems).size === stems.length && found.every(({ length }) => length === 1);
  return clear ? found.flat() : undefined;
}
