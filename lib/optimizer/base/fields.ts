/**
 * The fields in which tfjs's optimizers, and subclasses of them, keep what they remember from step to
 * step. It knows nothing of groups or averages.
 *
 * tfjs's own `getWeights` and `setWeights` do not serve: Adamax's throw, Adam's recompute the bias
 * correction as a power (not bit for bit what it was), and `setWeights` frees nothing of what it
 * replaces (tfjs-core 4.22, optimizers/*.ts). So the fields are read as they are.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isVariable, toTensor, toVariable, type TensorData } from '../../state/tensor_data.js';

/** One variable's entry in one of an optimizer's slot lists, as tfjs keeps it. */
interface Slot {
  originalName: string;
  variable: tf.Variable;
}

type Kept = tf.Variable | Slot[];

/** A class of optimizers, as `typeof tf.SGDOptimizer` is one. */
export interface OptimizerClass {
  readonly prototype: tf.Optimizer;
}

/** tfjs's own classes, and the fields in which each keeps a scalar, or one slot a variable. */
const TFJS = /* @__PURE__ */ new Map<OptimizerClass, readonly string[]>([
  [tf.SGDOptimizer, []],
  [tf.MomentumOptimizer, ['accumulations']],
  [tf.AdagradOptimizer, ['accumulatedGrads']],
  [tf.AdadeltaOptimizer, ['accumulatedGrads', 'accumulatedUpdates']],
  [tf.AdamOptimizer, ['accumulatedFirstMoment', 'accumulatedSecondMoment', 'accBeta1', 'accBeta2']],
  [
    tf.AdamaxOptimizer,
    ['accumulatedFirstMoment', 'accumulatedWeightedInfNorm', 'iteration', 'accBeta1'],
  ],
  [tf.RMSPropOptimizer, ['accumulatedMeanSquares', 'accumulatedMoments', 'accumulatedMeanGrads']],
]);

/**
 * The class of tfjs's that an optimizer is or descends from, and keeps its state as; `null` for one
 * that has a `getWeights` of its own. By the constructor: a subclass without a name of its own has
 * its parent's.
 */
function tfjsClass(optimizer: tf.Optimizer): OptimizerClass | null {
  const cls = tfjsAncestor(optimizer);
  return cls?.prototype.getWeights === optimizer.getWeights ? cls : null;
}

/** The class of tfjs's that an optimizer is or descends from, or `null`. */
export function tfjsAncestor(optimizer: tf.Optimizer): OptimizerClass | null {
  let cls = optimizer.constructor as OptimizerClass | null;
  while (cls && !TFJS.has(cls)) cls = Object.getPrototypeOf(cls) as OptimizerClass | null;
  return cls;
}

/** Whether an optimizer keeps its state in its own way, and hands it out by `getWeights`. */
export function keepsOwnState(optimizer: tf.Optimizer): boolean {
  return tfjsClass(optimizer) === null;
}

/** The fields of one of tfjs's optimizers, or of a subclass; none of another. */
function fieldsOf(optimizer: tf.Optimizer): [name: string, kept: Kept][] {
  const { centered = true } = optimizer as { centered?: boolean };
  const names = TFJS.get(tfjsClass(optimizer)!) ?? [];
  return names.flatMap((name): [string, Kept][] => {
    const kept = (optimizer as unknown as Record<string, Kept | undefined>)[name];
    // RMSProp keeps the mean of the gradients only if it is centered.
    return kept && (centered || name !== 'accumulatedMeanGrads') ? [[name, kept]] : [];
  });
}

/**
 * What a subclass of a tfjs optimizer keeps beside what its parent keeps and its `getConfig()` tells:
 * plain data by field.
 *
 * @throws Error that names a field of another kind, which cannot be saved without its help.
 */
export function ownFields(optimizer: tf.Optimizer): Record<string, unknown> {
  const cls = tfjsClass(optimizer);
  if (cls === null || cls === optimizer.constructor) return {};
  const known = new Set([
    ...TFJS.get(cls)!,
    // Its parent's options, the tensors made of these, and the count of steps.
    ...Object.keys(cls.prototype.getConfig.call(optimizer)),
    ...['c', 'm', 'iterations_'],
    ...Object.keys(optimizer.getConfig()),
  ]);
  const own = Object.entries(optimizer).filter(
    ([name, value]) => !known.has(name) && typeof value !== 'function',
  );
  for (const [name, value] of own) {
    if (isPlain(value)) continue;
    throw new Error(
      `Cannot save or load the optimizer ${optimizer.constructor.name}: its ${name} takes a ` +
        'getWeights() and a setWeights() of its own',
    );
  }
  return Object.fromEntries(own);
}

function isPlain(value: unknown): boolean {
  if (Object(value) !== value) return typeof value !== 'symbol' && typeof value !== 'bigint';
  const record = Object.getPrototypeOf(value) === Object.prototype;
  return (record || Array.isArray(value)) && Object.values(value as object).every(isPlain);
}

/** One thing that an optimizer keeps. */
export interface Part {
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
 * keeps its state in its own way.
 *
 * @param order The position of each parameter in the names; default: its own.
 */
export function partsOf(
  optimizer: tf.Optimizer,
  params: readonly Pick<tf.Variable, 'name' | 'shape'>[],
  order?: readonly number[],
): Part[] {
  if (keepsOwnState(optimizer)) return [];
  const iterations: Part = {
    name: 'iterations',
    dtype: 'int32',
    shape: [],
    put: (data) => Object.assign(optimizer, { iterations_: data!.values[0] }),
  };
  const parts = fieldsOf(optimizer).map(([field, kept]): Part | Part[] =>
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
  return [iterations, ...parts.flat()];
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
  for (const [, kept] of fieldsOf(optimizer)) {
    if (isVariable(kept) || !kept.some((slot) => names.includes(ownerOf(slot)))) continue;
    const before = kept.splice(0).flat(); // without holes
    names.forEach((name, i) => {
      const slot = before.find((candidate) => ownerOf(candidate) === name);
      if (slot) kept[i] = slot;
    });
    for (const slot of before) if (!kept.includes(slot)) slot.variable.dispose();
  }
}

/** Frees the slots of the parameter at a position, which leaves the list. */
export function dropSlots(optimizer: tf.Optimizer, position: number): void {
  for (const [, kept] of fieldsOf(optimizer)) {
    if (!isVariable(kept)) for (const slot of kept.splice(position, 1)) slot?.variable.dispose();
  }
}
