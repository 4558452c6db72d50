/**
 * The state of a wrapper as plain data, in torch's `opt_state` / `swa_state` / `param_groups` shape,
 * and what makes it sound in itself. It knows nothing of files, modes or the groups to take it.
 */
import { checkNumber, invalid, isCount } from '../check.js';
import { checkTensorData, type NamedTensor, type TensorData } from './tensor_data.js';

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
  /** The averaging function: `swa`, `ema(decay 0.99)`, `ema(decay 0.99, warmup)`, or `own`. */
  avg_fn: string;
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
  /**
   * By number of the parameter, as a string: what is kept beside it; only parameters that have some.
   * `swa_buffer` is the average of an SWA and what a Lookahead calls the slow weights; a ScheduleFree
   * keeps `z` instead, and `y` while swapped.
   */
  swa_state: Record<string, { swa_buffer: TensorData }>;
  /** The groups, in order. */
  param_groups: ParamGroupState[];
}

/** A named part of a state: still a tensor of the optimizer's, or plain data already. */
export type StateEntry = NamedTensor | TensorData;

/** A state with something else in place of each tensor's data. */
export interface StateOf<T> {
  opt_state: Record<string, T[] | Promise<T[]>>;
  swa_state: Record<string, Record<string, T>>;
  param_groups: ParamGroupState[];
}

/** A state whose tensors may still be the wrapper's own. */
export type LiveState = StateOf<StateEntry>;

/** Puts something else in place of each tensor; what need not be waited for is asked for at once. */
export async function mapState<T, U>(
  { opt_state, swa_state, param_groups }: StateOf<T>,
  map: (tensor: T) => U | Promise<U>,
): Promise<StateOf<U>> {
  const [optimizers, averages] = await Promise.all([
    mapRecord(opt_state, async (entries) => {
      const list = Array.isArray(entries) ? entries : await entries;
      return Promise.all(list.map(map));
    }),
    mapRecord(swa_state, (buffers) => mapRecord(buffers, map)),
  ]);
  return { opt_state: optimizers, swa_state: averages, param_groups };
}

async function mapRecord<T, U>(
  record: Record<string, T>,
  map: (value: T) => U | Promise<U>,
): Promise<Record<string, U>> {
  const entries = Object.entries(record).map(async ([key, value]) => [key, await map(value)]);
  return Object.fromEntries(await Promise.all(entries)) as Record<string, U>;
}

/** What a group keeps beside what every group does. */
export interface Kept {
  /** The names of its tensors for each parameter, as it stands; none if it cannot stand so. */
  buffers: (
    group: Pick<ParamGroupState, 'n_avg' | 'step_counter' | 'swapped'>,
  ) => readonly string[];
  /** The names of its numbers, finite and >= 0, which begin at 0. */
  readonly counters: readonly string[];
}

/** The name of a parameter's average. */
export const BUFFER = 'swa_buffer';

/** What a group of an SWA keeps. */
export const KEPT_AVERAGES: Kept = {
  buffers: ({ n_avg }) => (n_avg > 0 ? [BUFFER] : []),
  counters: [],
};

/**
 * Checks that a value is a state dict in itself, before any wrapper comes into it.
 *
 * @param kept What there has to be, by the kind of wrapper.
 * @throws Error `Invalid state.PART: VALUE (expected ...)`.
 */
export function checkStateDict(state: unknown, kept: Kept): asserts state is SWAStateDict {
  const { opt_state, swa_state, param_groups } = record('state', state);
  const optimizers = record('state.opt_state', opt_state);
  const averages = record('state.swa_state', swa_state);
  const groups = list('state.param_groups', param_groups);
  let count = 0;
  const expected = new Map<string, readonly string[]>();
  groups.forEach((group, g) => {
    const label = `state.param_groups[${g}]`;
    const saved = record(label, group);
    const { params, param_names, lr, n_avg, step_counter, swapped, avg_fn } = saved;
    const indices = list(`${label}.params`, params);
    const names = list(`${label}.param_names`, param_names);
    const buffers = kept.buffers(saved as ParamGroupState);
    const check = (key: string, ok: boolean, rule: string): void => {
      if (!ok) invalid(`${label}.${key}`, saved[key], rule);
    };
    const inOrder = indices.every((index) => index === count++);
    check('params', inOrder, 'numbers in order across all groups');
    const named =
      names.length === indices.length && names.every((name) => typeof name === 'string');
    check('param_names', named, 'a name for each parameter');
    const isRate = typeof lr === 'number' && !(lr < 0) && lr !== Infinity;
    check('lr', isRate, 'a finite number >= 0');
    check('n_avg', isCount(n_avg), 'an integer >= 0');
    check('step_counter', isCount(step_counter), 'an integer >= 0');
    const canBeSwapped = swapped === false || (swapped === true && buffers.length > 0);
    check('swapped', canBeSwapped, 'a boolean, false without averages');
    check('avg_fn', typeof avg_fn === 'string', 'a string');
    for (const key of kept.counters) {
      checkNumber(`${label}.${key}`, saved[key], 0);
    }
    list(`state.opt_state[${g}]`, optimizers[g]).forEach((entry, i) =>
      checkTensorData(`state.opt_state[${g}][${i}]`, entry),
    );
    if (buffers.length > 0) for (const index of indices) expected.set(String(index), buffers);
  });
  const stray = Object.keys(optimizers).find((key) => !Object.hasOwn(groups, key));
  if (stray) invalid(`state.opt_state[${stray}]`, optimizers[stray], 'no more than the groups');
  for (const index of new Set([...expected.keys(), ...Object.keys(averages)])) {
    const label = `state.swa_state[${index}]`;
    const buffers = record(label, averages[index]);
    const names = expected.get(index) ?? Object.keys(buffers);
    for (const name of names) checkTensorData(`${label}.${name}`, buffers[name]);
    if (!expected.has(index)) invalid(label, buffers, 'nothing without an average');
  }
}

function record(label: string, value: unknown): Record<string, unknown> {
  const plain = Object(value) === value && !Array.isArray(value);
  return plain ? (value as Record<string, unknown>) : invalid(label, value, 'a record');
}

function list(label: string, value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : invalid(label, value, 'a list');
}
