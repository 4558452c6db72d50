/**
 * Remembers the moving statistics that updateBn is about to write, for who wants them back. It knows
 * nothing of why they are wanted, or of how they are estimated.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isLayer } from '../model/layers.js';
import { weightsOfModel } from '../model/weights.js';
import { movingOf, type BnLayer } from './layers.js';
import { alias, isVariable } from '../state/tensor_data.js';

/** Who is told of statistics that are written. */
interface Recorder {
  readonly belongs: (variables: ReadonlySet<tf.Variable>) => boolean;
  /** By statistic its first value; shares its data. */
  readonly first: Map<tf.Variable, tf.Tensor>;
}

const recorders = new Set<Recorder>();

/**
 * Records from now on the moving statistics of the models for which `belongs` is true, as they are
 * before {@link updateBn} writes them for the first time.
 *
 * @param belongs Is handed the variables of a model that is re-estimated: the weights of its layers;
 *   of a caller's own object those in its properties and in those of its normalizations. It is not
 *   asked, and the model belongs, where only the statistics themselves can be found.
 * @returns Ends the recording and puts the statistics back, but for variables that are gone; a second
 *   call does nothing.
 */
export function recordStatistics(
  belongs: (variables: ReadonlySet<tf.Variable>) => boolean,
): () => void {
  const recorder: Recorder = { belongs, first: new Map() };
  recorders.add(recorder);
  return () => {
    recorders.delete(recorder);
    for (const [variable, value] of recorder.first) {
      if (isThere(variable)) variable.assign(value);
      value.dispose();
    }
    recorder.first.clear();
  };
}

/** Tells the recorders that the statistics of these layers of a model are about to be written. */
export function announceStatistics(model: object, layers: readonly BnLayer[]): void {
  if (recorders.size === 0) return;
  const moving = layers.flatMap(movingOf);
  const variables = variablesOf(model, layers);
  const known = moving.filter((variable) => variables.has(variable)).length < variables.size;
  for (const { belongs, first } of recorders) {
    if (known && !belongs(variables)) continue;
    for (const variable of moving) {
      if (!first.has(variable)) first.set(variable, alias(variable));
    }
  }
}

/** `tf.disposeVariables()` leaves `isDisposed` false (tfjs-core 4.22, engine.ts). */
function isThere(variable: tf.Variable): boolean {
  return !variable.isDisposed && tf.engine().registeredVariables[variable.name] === variable;
}

/** How deep the properties of a caller's own objects are looked through. */
const DEPTH = 4;

/** The weights of a model's layers; of a caller's own object all variables that can be found. */
function variablesOf(model: object, layers: readonly object[]): Set<tf.Variable> {
  const found = new Set(weightsOfModel(model).map(({ variable }) => variable));
  if (isLayer(model)) return found;
  const seen = new Set<unknown>();
  const visit = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    if (isVariable(value)) found.add(value);
    else if (isLayer(value)) for (const { variable } of weightsOfModel(value)) found.add(variable);
    else if (isLayerVariable(value)) visit(value.val, depth);
    else if (depth > 0 && !ArrayBuffer.isView(value)) {
      const many = value instanceof Map || value instanceof Set;
      for (const part of many ? value.values() : Object.values(value)) visit(part, depth - 1);
    }
  };
  for (const object of [model, ...layers]) visit(object, DEPTH);
  return found;
}

/** One of tfjs-layers; its `read()` refuses where it is disposed (4.22, variables.ts). */
function isLayerVariable(value: object): value is { val: unknown } {
  return 'val' in value && 'read' in value;
}
