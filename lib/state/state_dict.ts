/**
 * The state of a wrapper as plain data, in torch's `opt_state` / `swa_state` / `param_groups`
 * shape: made, and checked in itself. It knows nothing of files, modes or the groups to take it.
 */
import { shownLearningRate } from '../schedule/learning_rate.js';
import { downloadEntry, getOptimizerState, type StateEntry } from '../optimizer/base_optimizer.js';
import { invalid, isCount } from '../check.js';
import type { Group } from '../optimizer/param_groups.js';
import { checkTensorData, type TensorData } from './tensor_data.js';

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
