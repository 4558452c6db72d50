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
  isVariable,
  toTensor,
  toVariable,
  type NamedTensor,
  type TensorData,
} from '../state/tensor_data.js';

/** One variable's entry in one of an optimizer's slot lists, as tfjs keeps it. */
interface Slot {
  originalName: string;
  variable: tf.Variable;
}

/** tfjs's own optimizers. */
const TFJS = /^(SGD|Momentum|Adagrad|Adadelta|Adam|Adamax|RMSProp)$/;

/** What an optimizer keeps, by field: a scalar, or one slot a variable. */
type Fields = [name: string, kept: tf.Variable | Slot[]][];

/**
 * The fields of one of tfjs's optimizers, `null` for another. They are known by their names:
 * `accBeta1`, `accumulations` and the like, and Adamax's `iteration`.
 */
function fieldsOf(optimizer: tf.Optimizer): Fields | null {
  if (!TFJS.test(optimizer.getClassName())) return null;
  const { centered = true } = optimizer as { centered?: boolean };
  const fields = Object.entries(optimizer) as Fields;
  return fields.filter(
    ([name, kept]) =>
      /^acc|^iteration$/.test(name) &&
      (isVariable(kept) || Array.isArray(kept)) &&
      // RMSProp keeps the mean of the gradients only if it is centered.
      (centered || name !== 'accumulatedMeanGrads'),
  );
}

/** One thing that an optimizer keeps. */
interface Part {
  /** `iterations`, a scalar's field (`accBeta1`), or `FIELD/POSITION` of a slot. */
  readonly name: string;
  readonly dtype?: 'int32';
  readonly shape: number[];
  /** Where it is; there need be none before the first step. */
  readonly tensor?: tf.Variable | undefined;
  /** Takes over checked data, and frees what was there. */
  put(data: TensorData | undefined): void;
}

/**
 * All that one of tfjs's optimizers keeps after a step over these parameters; nothing for one that
 * is not tfjs's.
 *
 * @param order The position of each parameter in the names; default: its own.
 */
export function partsOf(
  optimizer: tf.Optimizer,
  params: readonly Pick<tf.Variable, 'name' | 'shape'>[],
  order?: readonly number[],
): Part[] {
  const iterations: Part = {
    name: 'iterations',
    dtype: 'int32',
    shape: [],
    put: (data) => Object.assign(optimizer, { iterations_: data!.values[0] }),
  };
  const fields = fieldsOf(optimizer);
  const parts = fields?.map(([field, kept]): Part | Part[] =>
    isVariable(kept)
      ? {
          name: field,
          shape: [],
          tensor: kept,
          put: (data) => tf.tidy(() => kept.assign(toTensor(data!))),
        }
      : params.map(({ name, shape }, i) => ({
          name: `${field}/${order?.[i] ?? i}`,
          shape,
          tensor: kept[i]?.variable,
          put(data) {
            kept[i]?.variable.dispose();
            const slot = data && { originalName: `${name}/${field}`, variable: toVariable(data) };
            if (slot) kept[i] = slot;
            else Reflect.deleteProperty(kept, i); // tfjs fills a hole at the next step
          },
        })),
  );
  return parts ? [iterations, ...parts.flat()] : [];
}

/** A named part of the state: still a tensor of the optimizer's, or plain data already. */
export type StateEntry = NamedTensor | TensorData;

/**
 * The state of an optimizer: `iterations`, and by reference what else it has of {@link partsOf}.
 * Another's own `getWeights()`, as it is.
 *
 * @throws Error if the optimizer is not tfjs's and has no `getWeights`.
 */
export function getOptimizerState(
  optimizer: tf.Optimizer,
  params: readonly tf.Variable[],
): StateEntry[] | Promise<NamedTensor[]> {
  if (keepsOwnState(optimizer)) {
    if (optimizer.getWeights === tf.Optimizer.prototype.getWeights) {
      throw new Error(
        `Cannot save the state of the optimizer ${optimizer.getClassName()}: it has no getWeights()`,
      );
    }
    return optimizer.getWeights();
  }
  const [{ name, shape }, ...parts] = partsOf(optimizer, params) as [Part, ...Part[]];
  return [
    { name, dtype: 'int32', shape, values: Int32Array.of(optimizer.iterations) },
    ...parts.flatMap(({ name, tensor }) => (tensor ? { name, tensor } : [])),
  ];
}

/** Whether an optimizer keeps its state in its own way, and hands it out by `getWeights`. */
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

/** Whose slot it is: tfjs calls it by the name of the variable and, say, `/momentum`. */
function ownerOf({ originalName }: Slot): string {
  return originalName.replace(/\/[^/]*$/, '');
}

/**
 * Gives an optimizer that has been used before its slots in the order of `params`: tfjs keeps them
 * by position in the list of an earlier step, which may have had another order. Slots are known by
 * the name of their variable; where no name is known, the positions stand.
 */
export function alignSlots(optimizer: tf.Optimizer, params: readonly tf.Variable[]): void {
  const names = params.map(({ name }) => name);
  for (const [, kept] of fieldsOf(optimizer) ?? []) {
    if (isVariable(kept) || !kept.some((slot) => names.includes(ownerOf(slot)))) continue;
    const before = kept.splice(0).flat(); // without holes
    names.forEach((name, i) => {
      const slot = before.find((candidate) => ownerOf(candidate) === name);
      if (slot) kept[i] = slot;
    });
    for (const slot of before) if (!kept.includes(slot)) slot.variable.dispose();
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
