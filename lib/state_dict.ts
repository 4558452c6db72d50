/**
 * The state of a wrapper as plain data, in torch's `opt_state` / `swa_state` / `param_groups`
 * shape, and back. It knows nothing of files or modes.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  checkOptimizerState,
  downloadEntry,
  getOptimizerState,
  keepsOwnState,
  setOptimizerState,
  setOwnState,
  type Problems,
  type StateEntry,
} from './optimizer_state.js';
import { hasLearningRate, noLearningRate, shownLearningRate } from './learning_rate.js';
import { shown } from './options.js';
import type { Group, ParamGroupOptions } from './param_groups.js';
import { hostData, shapeText, tensorDataFault, toTensor, type TensorData } from './tensor_data.js';

export type { TensorData } from './tensor_data.js';

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
  param_groups: ParamGroupState[];
}

/** The description of each group: everything but tensors. */
export function describeGroups(groups: readonly Group[]): ParamGroupState[] {
  let count = 0;
  return groups.map(({ params, optimizer, n_avg, step_counter, swapped }) => {
    const first = count;
    count += params.length;
    const { learningRate: _, ...hyperparameters } = optimizer.getConfig();
    return {
      ...hyperparameters,
      params: params.map((_, i) => first + i),
      param_names: params.map(({ name }) => name),
      lr: shownLearningRate(optimizer),
      n_avg,
      step_counter,
      swapped,
    };
  });
}

/** The averages by the number of their parameter, as the wrapper's own variables. */
export function bufferEntries(groups: readonly Group[]): [number, tf.Variable][] {
  let count = 0;
  return groups.flatMap(({ params, buffers }) => {
    const first = count;
    count += params.length;
    return buffers.map((buffer, i): [number, tf.Variable] => [first + i, buffer]);
  });
}

/**
 * The state of the groups as plain data. All of it is of the moment of the call: every download
 * starts before this function first waits.
 */
export async function saveState(groups: readonly Group[]): Promise<SWAStateDict> {
  const download = (entries: StateEntry[]) => Promise.all(entries.map(downloadEntry));
  const param_groups = describeGroups(groups);
  const optimizers = groups.map(({ optimizer }) => {
    const entries = getOptimizerState(optimizer);
    return Array.isArray(entries) ? download(entries) : entries.then(download);
  });
  const buffers = bufferEntries(groups).map(async ([index, buffer]) => {
    const swa_buffer = await hostData('swa_buffer', buffer);
    return [index, { swa_buffer }] as const;
  });
  return {
    opt_state: Object.fromEntries((await Promise.all(optimizers)).entries()),
    swa_state: Object.fromEntries(await Promise.all(buffers)),
    param_groups,
  };
}

/**
 * Checks that a value is a state dict in itself, before any wrapper comes into it.
 *
 * @throws Error that says which part is not as it should be.
 */
export function checkStateDict(state: unknown): asserts state is SWAStateDict {
  const fail = (what: string): never => {
    throw new Error(`Not a state dict of SWA: ${what}`);
  };
  const isRecord = (value: unknown): value is Record<string, unknown> =>
    value !== null && typeof value === 'object' && !Array.isArray(value);
  const isCount = (value: unknown): value is number =>
    Number.isSafeInteger(value) && (value as number) >= 0;
  const tensor = (value: unknown, label: string): void => {
    const fault = tensorDataFault(value);
    if (fault) fail(`${label}: ${fault}`);
  };

  if (!isRecord(state)) return fail(`it is ${String(state)}`);
  const { opt_state, swa_state, param_groups } = state;
  if (!isRecord(opt_state)) return fail('opt_state is missing');
  if (!isRecord(swa_state)) return fail('swa_state is missing');
  if (!Array.isArray(param_groups)) return fail('param_groups is missing');

  let count = 0;
  const averaged = new Set<string>();
  param_groups.forEach((group: unknown, g) => {
    const label = `param_groups[${g}]`;
    if (!isRecord(group)) return fail(`${label} is ${String(group)}`);
    const { params, param_names, lr, n_avg, step_counter, swapped } = group;
    if (!Array.isArray(params) || !params.every((index) => index === count++)) {
      return fail(`${label}.params do not count the parameters in order`);
    }
    const named = Array.isArray(param_names) && param_names.length === params.length;
    if (!named || !param_names.every((name) => typeof name === 'string')) {
      return fail(`${label}.param_names are not one name a parameter`);
    }
    if (typeof lr !== 'number' || lr < 0 || lr === Infinity) fail(`${label}.lr is ${String(lr)}`);
    if (!isCount(n_avg)) fail(`${label}.n_avg is ${String(n_avg)}`);
    if (!isCount(step_counter)) fail(`${label}.step_counter is ${String(step_counter)}`);
    if (typeof swapped !== 'boolean') fail(`${label}.swapped is ${String(swapped)}`);
    if (swapped && n_avg === 0) fail(`${label} is swapped but has no average`);
    if (n_avg !== 0) for (const index of params) averaged.add(String(index));
    const entries = opt_state[g];
    if (!Array.isArray(entries)) return fail(`opt_state has no group ${g}`);
    entries.forEach((entry, i) => tensor(entry, `opt_state[${g}][${i}]`));
  });
  const stray = Object.keys(opt_state).find((key) => !Object.hasOwn(param_groups, key));
  if (stray !== undefined) fail(`opt_state has a group ${stray} that param_groups lacks`);
  for (const [index, entry] of Object.entries(swa_state)) {
    if (!averaged.delete(index)) fail(`swa_state[${index}] is no averaged parameter`);
    tensor(isRecord(entry) ? entry['swa_buffer'] : entry, `swa_state[${index}].swa_buffer`);
  }
  for (const index of averaged) fail(`swa_state[${index}] is missing`);
}

/** Where each parameter of each group stands in the saved group: by name, else by position. */
type Order = number[][];

/**
 * Compares a state with the groups that are to take it, without changing anything.
 *
 * @throws Error that lists what is missing, unexpected and of the wrong shape.
 */
function matchGroups(groups: readonly Group[], state: SWAStateDict): Order {
  const problems: Problems = { missing: [], unexpected: [], wrongShape: [], other: [] };
  const count = (n: number) => `${n} parameter group${n === 1 ? '' : 's'}`;
  if (state.param_groups.length !== groups.length) {
    problems.other.push(
      `the state has ${count(state.param_groups.length)}, the wrapper ${count(groups.length)}`,
    );
  }
  const order = groups.map((group, g) => {
    const saved = state.param_groups[g];
    if (saved !== undefined) return matchGroup(group, g, saved, state, problems);
    problems.missing.push(...group.params.map(({ name }) => name));
    return [];
  });
  for (const { param_names } of state.param_groups.slice(groups.length)) {
    problems.unexpected.push(...param_names);
  }
  const lists = [
    ['missing', problems.missing],
    ['unexpected', problems.unexpected],
    ['of the wrong shape', problems.wrongShape],
  ] as const;
  const found = [
    ...problems.other,
    ...lists.flatMap(([label, list]) => (list.length ? [`${label}: ${list.join(', ')}`] : [])),
  ];
  if (found.length) throw new Error(`The state does not fit this SWA; ${found.join('; ')}`);
  return order;
}

function matchGroup(
  group: Group,
  g: number,
  saved: ParamGroupState,
  state: SWAStateDict,
  problems: Problems,
): number[] {
  const names = group.params.map(({ name }) => name);
  const label = `opt_state[${g}]`;
  const byName = names.map((name) => saved.param_names.indexOf(name));
  const allNamed = names.length === saved.param_names.length && !byName.includes(-1);
  if (names.length !== saved.param_names.length) {
    const absent = (list: string[], other: string[]) => list.filter((x) => !other.includes(x));
    problems.missing.push(...absent(names, saved.param_names));
    problems.unexpected.push(...absent(saved.param_names, names));
    problems.other.push(
      `group ${g} has ${saved.param_names.length} parameters in the state, ${names.length} here`,
    );
    return [];
  }
  const order = allNamed ? byName : names.map((_, i) => i);
  const config = group.optimizer.getConfig();
  for (const [key, value] of Object.entries(config)) {
    if (key === 'learningRate' || sameValue(saved[key], value)) continue;
    const told = key in saved ? shown(saved[key]) : 'missing';
    problems.other.push(`${key} of group ${g} is ${told} in the state, ${shown(value)} here`);
  }
  if (!Number.isNaN(saved.lr) && !hasLearningRate(group.optimizer)) {
    problems.other.push(noLearningRate(group.optimizer, `lr of group ${g}`).message);
  }
  const entries = state.opt_state[g]!;
  const stepped = saved.step_counter > 0;
  checkOptimizerState(group.optimizer, group.params, entries, order, stepped, label, problems);
  group.params.forEach(({ name, shape }, i) => {
    const index = saved.params[order[i]!]!;
    const buffer = state.swa_state[index]?.swa_buffer;
    if (buffer && !(tf.util.arraysEqual(buffer.shape, shape) && buffer.dtype === 'float32')) {
      problems.wrongShape.push(
        `swa_state[${index}] of ${name} (${shapeText(buffer.shape)}, not ${shapeText(shape)})`,
      );
    }
  });
  return order;
}

/** Whether two hyper-parameters are the same, lists and records of them included. */
function sameValue(a: unknown, b: unknown): boolean {
  return Object.is(a, b) || JSON.stringify(a) === JSON.stringify(b);
}

/** A state that was found to fit: what is left to do cannot fail. */
export interface FittingState {
  /** Hands weights to base optimizers that are not tfjs's; the one part that has to wait. */
  applyOwn(): Promise<void>;
  /** Puts everything else in place. */
  apply(): void;
}

/**
 * Compares a state with the groups that are to take it; changes nothing yet.
 *
 * @throws Error that lists what is missing, unexpected and of the wrong shape.
 */
export function fitState(groups: readonly Group[], state: SWAStateDict): FittingState {
  const orders = matchGroups(groups, state);
  return {
    async applyOwn() {
      for (const [g, { optimizer }] of groups.entries()) {
        if (keepsOwnState(optimizer)) await setOwnState(optimizer, state.opt_state[g]!);
      }
    },
    apply() {
      groups.forEach((group, g) => applyGroup(group, g, orders[g]!, state));
    },
  };
}

function applyGroup(group: Group, g: number, order: readonly number[], state: SWAStateDict): void {
  const { optimizer, params } = group;
  const saved = state.param_groups[g]!;
  if (!keepsOwnState(optimizer)) setOptimizerState(optimizer, params, state.opt_state[g]!, order);
  if (!Number.isNaN(saved.lr)) group.lr = saved.lr;
  group.n_avg = saved.n_avg;
  group.step_counter = saved.step_counter;
  group.swapped = saved.swapped;
  tf.dispose(group.buffers);
  group.buffers = params.flatMap((_, i) => {
    const entry = state.swa_state[saved.params[order[i]!]!];
    return entry ? [tf.tidy(() => tf.variable(toTensor(entry.swa_buffer), false))] : [];
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
): ParamGroupOptions[] {
  const byName = new Map(variables.map((variable) => [variable.name, variable]));
  const single = state.param_groups.length === 1;
  return state.param_groups.map(
    ({ params: _p, param_names, lr: _l, n_avg: _n, step_counter: _c, swapped: _s, ...rest }) => {
      const named = param_names.flatMap((name) => byName.get(name) ?? []);
      if (!single && named.length !== param_names.length) {
        throw new Error(
          'The loaded state has several parameter groups whose names are not those of the ' +
            'variables: build the wrapper with the same paramGroups',
        );
      }
      return { ...rest, params: single ? [...variables] : named };
    },
  );
}
