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
import {
  hostData,
  kindOf,
  toTensor,
  toVariable,
  type NamedTensor,
  type TensorData,
} from './tensor_data.js';

/** One variable's entry in one of an optimizer's slot lists, as tfjs keeps it. */
interface Slot {
  originalName: string;
  variable: tf.Variable;
}

/** What each optimizer keeps: scalar variables, and slot lists with the suffix of their names. */
const FIELDS: Record<string, string[]> = {
  SGD: [],
  Momentum: ['accumulations/momentum'],
  Adagrad: ['accumulatedGrads/accumulator'],
  Adadelta: ['accumulatedGrads/accum_grad', 'accumulatedUpdates/accum_var'],
  Adam: ['accBeta1', 'accBeta2', 'accumulatedFirstMoment/m', 'accumulatedSecondMoment/v'],
  Adamax: ['iteration', 'accBeta1', 'accumulatedFirstMoment/m', 'accumulatedWeightedInfNorm/v'],
  RMSProp: ['accumulatedMeanSquares/rms', 'accumulatedMoments/momentum', 'accumulatedMeanGrads/mg'],
};

/** An optimizer seen by its fields: the scalars' names, the slot lists with their suffixes. */
interface Fields {
  readonly scalars: string[];
  readonly slots: [name: string, suffix: string][];
  readonly values: Record<string, tf.Variable> & Record<string, Slot[]>;
}

/** The fields of one optimizer, or `null` for one that is not tfjs's. */
function fieldsOf(optimizer: tf.Optimizer): Fields | null {
  const className = optimizer.getClassName();
  if (!Object.hasOwn(FIELDS, className)) return null;
  const values = optimizer as unknown as Fields['values'] & { centered?: boolean };
  const names = FIELDS[className]!.map((field) => field.split('/') as [string, string]);
  return {
    scalars: names.flatMap(([name, suffix]) => (suffix ? [] : [name])),
    // RMSProp keeps the mean of the gradients only if it is centered.
    slots: names.filter(([, suffix]) => suffix && (suffix !== 'mg' || values.centered)),
    values,
  };
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
  const { scalars, slots, values } = fields;
  const iterations = Int32Array.of(optimizer.iterations);
  return [
    { name: 'iterations', dtype: 'int32', shape: [], values: iterations },
    ...scalars.map((name) => ({ name, tensor: values[name]! })),
    ...slots.flatMap(([name]) =>
      values[name]!.map(({ variable }, i) => ({ name: `${name}/${i}`, tensor: variable })),
    ),
  ];
}

/**
 * The names and kinds of the state that an optimizer has after a step over parameters of these
 * shapes; none for one that is not tfjs's, whose `setWeights` knows.
 */
export function stateKinds(
  optimizer: tf.Optimizer,
  shapes: readonly number[][],
): [name: string, kind: string][] {
  const fields = fieldsOf(optimizer);
  if (fields === null) return [];
  return [
    ['iterations', 'int32 []'],
    ...fields.scalars.map((name): [string, string] => [name, 'float32 []']),
    ...fields.slots.flatMap(([name]) =>
      shapes.map((shape, i): [string, string] => [`${name}/${i}`, kindOf({ shape })]),
    ),
  ];
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
  const { scalars, values } = fieldsOf(optimizer)!;
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  values['iterations_'] = byName.get('iterations')!.values[0] as never;
  for (const name of scalars) tf.tidy(() => values[name]!.assign(toTensor(byName.get(name)!)));
  fillSlots(optimizer, params, (_, field, i) => {
    const entry = byName.get(`${field}/${order[i]}`);
    return entry && toVariable(entry);
  });
}

/**
 * Gives an optimizer that has been used before its slots in the order of `params`: tfjs keeps them
 * by position in the list of an earlier step, which may have had another order. Slots are known by
 * the name of their variable; where no name is known, the positions stand.
 */
export function alignSlots(optimizer: tf.Optimizer, params: readonly tf.Variable[]): void {
  const { slots = [], values } = fieldsOf(optimizer) ?? {};
  const known = slots.some(([field, suffix]) =>
    values![field]!.some((slot) =>
      params.some(({ name }) => slot.originalName === `${name}/${suffix}`),
    ),
  );
  if (known) fillSlots(optimizer, params, (before) => before);
}

/**
 * Makes the slot lists anew, with holes, which tfjs fills at the next step, where there is no slot;
 * frees the variables that are in none any more.
 *
 * @param variableOf Chooses a slot's variable; it is handed the one that was known by this name.
 */
function fillSlots(
  optimizer: tf.Optimizer,
  params: readonly tf.Variable[],
  variableOf: (
    before: tf.Variable | undefined,
    field: string,
    i: number,
  ) => tf.Variable | undefined,
): void {
  const { slots = [], values } = fieldsOf(optimizer) ?? {};
  for (const [field, suffix] of slots) {
    const before = values![field]!.flat(); // without holes
    const after: Slot[] = [];
    params.forEach(({ name }, i) => {
      const originalName = `${name}/${suffix}`;
      const own = before.find((slot) => slot.originalName === originalName);
      const variable = variableOf(own?.variable, field, i);
      if (variable) after[i] = { originalName, variable };
    });
    values![field] = after as never;
    for (const { variable } of before) {
      if (!after.some((slot) => slot.variable === variable)) variable.dispose();
    }
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
