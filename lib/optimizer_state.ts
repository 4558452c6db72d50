/**
 * What a tfjs optimizer remembers between two steps, read and put back exactly. It knows nothing
 * of groups or averages.
 *
 * tfjs's own `getWeights` and `setWeights` do not serve: Adamax's throw, Adam's recompute the bias
 * correction as a power (not bit for bit what it was), and `setWeights` frees nothing of what it
 * replaces (tfjs-core 4.22, optimizers/*.ts). So the fields are read as they are; an optimizer that
 * is not tfjs's goes through its own `getWeights` and `setWeights`.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hostData, shapeText, toTensor, type NamedTensor, type TensorData } from './tensor_data.js';

/** One variable's entry in one of an optimizer's slot lists, as tfjs keeps it. */
interface Slot {
  originalName: string;
  variable: tf.Variable;
}

/** Where each optimizer keeps its state: scalar variables, and slot lists with their suffix. */
const FIELDS: Record<string, { scalars: string[]; slots: Record<string, string> }> = {
  SGD: { scalars: [], slots: {} },
  Momentum: { scalars: [], slots: { accumulations: 'momentum' } },
  Adagrad: { scalars: [], slots: { accumulatedGrads: 'accumulator' } },
  Adadelta: {
    scalars: [],
    slots: { accumulatedGrads: 'accum_grad', accumulatedUpdates: 'accum_var' },
  },
  Adam: {
    scalars: ['accBeta1', 'accBeta2'],
    slots: { accumulatedFirstMoment: 'm', accumulatedSecondMoment: 'v' },
  },
  Adamax: {
    scalars: ['iteration', 'accBeta1'],
    slots: { accumulatedFirstMoment: 'm', accumulatedWeightedInfNorm: 'v' },
  },
  RMSProp: {
    scalars: [],
    slots: {
      accumulatedMeanSquares: 'rms',
      accumulatedMoments: 'momentum',
      accumulatedMeanGrads: 'mg',
    },
  },
};

/** The fields of one optimizer, or `null` for one that is not tfjs's. */
function fieldsOf(optimizer: tf.Optimizer) {
  const className = optimizer.getClassName();
  const fields = Object.hasOwn(FIELDS, className) ? FIELDS[className]! : null;
  if (fields === null) return null;
  const own = optimizer as unknown as Record<string, unknown>;
  const scalars = fields.scalars.map((name) => [name, own[name] as tf.Variable] as const);
  const slots = Object.entries(fields.slots)
    .filter(([name]) => name !== 'accumulatedMeanGrads' || own['centered'] === true)
    .map(([name, suffix]) => ({
      name,
      suffix,
      get: () => own[name] as Slot[],
      set: (list: Slot[]) => void (own[name] = list),
    }));
  return { scalars, slots };
}

/** What does not fit between a state and the optimizers that are to take it, by kind. */
export interface Problems {
  missing: string[];
  unexpected: string[];
  wrongShape: string[];
  other: string[];
}

/** A named part of the state: still a tensor of the optimizer's, or plain data already. */
export type StateEntry = NamedTensor | TensorData;

/**
 * The state of an optimizer, by reference where it is tensors: `iterations`, the scalars by tfjs's
 * field names (`accBeta1`), the slots as `FIELD/POSITION` (`accumulations/0`). Another's own
 * `getWeights()`, as it is.
 *
 * @throws Error if the optimizer is not tfjs's and has no `getWeights`.
 */
export function getOptimizerState(optimizer: tf.Optimizer): StateEntry[] | Promise<NamedTensor[]> {
  const fields = fieldsOf(optimizer);
  if (fields === null) {
    if (optimizer.getWeights === tf.Optimizer.prototype.getWeights) {
      throw new Error(
        `Cannot save the state of the optimizer ${optimizer.getClassName()}: it does not ` +
          'implement getWeights() and setWeights()',
      );
    }
    return optimizer.getWeights();
  }
  const iterations = Int32Array.of(optimizer.iterations);
  return [
    { name: 'iterations', dtype: 'int32', shape: [], values: iterations },
    ...fields.scalars.map(([name, tensor]) => ({ name, tensor })),
    ...fields.slots.flatMap(({ name, get }) =>
      get().map(({ variable }, i) => ({ name: `${name}/${i}`, tensor: variable })),
    ),
  ];
}

/**
 * Compares a saved state with what the optimizer would need, and adds what does not fit to
 * `problems`. Another's own weights are left to its `setWeights`.
 *
 * @param order For each of `params`, its position in the saved lists.
 * @param stepped Whether a step has been taken: then every slot must be there.
 */
export function checkOptimizerState(
  optimizer: tf.Optimizer,
  params: readonly tf.Variable[],
  entries: readonly TensorData[],
  order: readonly number[],
  stepped: boolean,
  label: string,
  problems: Problems,
): void {
  const fields = fieldsOf(optimizer);
  if (fields === null) return;
  const expected = new Map<string, readonly number[]>([['iterations', []]]);
  for (const [name] of fields.scalars) expected.set(name, []);
  const required = new Set(expected.keys());
  for (const { name } of fields.slots) {
    params.forEach(({ shape }, i) => {
      const key = `${name}/${order[i]}`;
      expected.set(key, shape);
      if (stepped) required.add(key);
    });
  }
  for (const { name, shape, dtype } of entries) {
    const want = expected.get(name);
    const wantDtype = name === 'iterations' ? 'int32' : 'float32';
    if (want === undefined) problems.unexpected.push(`${label} ${name}`);
    else if (dtype !== wantDtype) {
      problems.wrongShape.push(`${label} ${name} (${dtype}, not ${wantDtype})`);
    } else if (!tf.util.arraysEqual([...want], shape)) {
      problems.wrongShape.push(`${label} ${name} (${shapeText(shape)}, not ${shapeText(want)})`);
    }
    required.delete(name);
  }
  for (const name of required) problems.missing.push(`${label} ${name}`);
}

/** Whether {@link setOptimizerState} hands the state to the optimizer's own `setWeights`. */
export function keepsOwnState(optimizer: tf.Optimizer): boolean {
  return fieldsOf(optimizer) === null;
}

/** Hands saved weights to an optimizer that is not tfjs's. */
export async function setOwnState(
  optimizer: tf.Optimizer,
  entries: readonly TensorData[],
): Promise<void> {
  const weights = entries.map((entry) => ({ name: entry.name, tensor: toTensor(entry) }));
  try {
    await optimizer.setWeights(weights);
  } finally {
    tf.dispose(weights.map(({ tensor }) => tensor));
  }
}

/** Puts a checked state into one of tfjs's optimizers, and frees what it replaces. */
export function setOptimizerState(
  optimizer: tf.Optimizer,
  params: readonly tf.Variable[],
  entries: readonly TensorData[],
  order: readonly number[],
): void {
  const { scalars, slots } = fieldsOf(optimizer)!;
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  (optimizer as unknown as { iterations_: number }).iterations_ =
    byName.get('iterations')!.values[0]!;
  for (const [name, variable] of scalars) {
    tf.tidy(() => variable.assign(toTensor(byName.get(name)!)));
  }
  for (const { name, suffix, get, set } of slots) {
    tf.dispose(get().map(({ variable }) => variable));
    set(
      sparse(params, ({ name: paramName }, i) => {
        const entry = byName.get(`${name}/${order[i]}`);
        if (entry === undefined) return undefined;
        const variable = tf.tidy(() => tf.variable(toTensor(entry), false));
        return { originalName: `${paramName}/${suffix}`, variable };
      }),
    );
  }
}

/** A slot list with holes, which tfjs fills at the next step, where there is no slot. */
function sparse(
  params: readonly tf.Variable[],
  slotOf: (param: tf.Variable, i: number) => Slot | undefined,
): Slot[] {
  const slots: Slot[] = [];
  params.forEach((param, i) => {
    const slot = slotOf(param, i);
    if (slot) slots[i] = slot;
  });
  return slots;
}

/**
 * Gives an optimizer that has been used before its slots in the order of `params`: tfjs keeps them
 * by position in the list of an earlier step, which may have had another order. Slots are known by
 * the name of their variable; where no name is known, the positions stand.
 */
export function alignSlots(optimizer: tf.Optimizer, params: readonly tf.Variable[]): void {
  for (const { suffix, get, set } of fieldsOf(optimizer)?.slots ?? []) {
    const slots = get().flat(); // without holes
    const byName = new Map(slots.map((slot) => [slot.originalName, slot]));
    const aligned = sparse(params, ({ name }) => byName.get(`${name}/${suffix}`));
    if (aligned.length === 0) continue;
    const strays = slots.filter((slot) => !aligned.includes(slot));
    tf.dispose(strays.map(({ variable }) => variable));
    set(aligned);
  }
}

/** Copies a part of the state to plain data; frees the scalar that `getWeights` makes anew. */
export async function downloadEntry(entry: StateEntry): Promise<TensorData> {
  if (!('tensor' in entry)) return entry;
  const data = await hostData(entry.name, entry.tensor);
  // tfjs-core 4.22, optimizer.ts, `saveIterations`.
  if (entry.name === 'iter' && !(entry.tensor instanceof tf.Variable)) entry.tensor.dispose();
  return data;
}
