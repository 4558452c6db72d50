/**
 * What is given as a model or as a list of variables: checked, listed, and matched with another. It
 * knows nothing of averages.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../check.js';
import { matchByRule, type Described } from '../state/match_tensors.js';
import { checkAlive, isVariable } from '../state/tensor_data.js';
import { isLayer } from './layers.js';
import { matchModels } from './match.js';
import { weightsOfModel } from './weights.js';

/** A tfjs-layers model, as far as its weights are concerned: Sequential or functional. */
export interface WeightedModel {
  /** All weights, trainable or not. */
  readonly weights: readonly { readonly originalName: string; read(): tf.Tensor }[];
}

/** A variable and what it is matched by. */
export interface NamedVariable extends Described {
  readonly variable: tf.Variable;
}

/** A list of variables, and no model. */
export function isList(model: unknown): model is readonly tf.Variable[] {
  return Array.isArray(model);
}

/** Refuses what is no list of living variables. */
export function checkList(list: unknown, name = 'model'): readonly tf.Variable[] {
  if (!isList(list)) return invalid(name, list, 'a list of variables');
  list.forEach((variable, i) => {
    if (!isVariable(variable)) invalid(`${name}[${i}]`, variable, 'a tf.Variable');
    checkAlive(variable);
  });
  return list;
}

/** Refuses what is no tfjs-layers model. */
export function checkModel<M>(model: M, name = 'model'): M & object {
  const { weights } = Object(model) as Partial<WeightedModel>;
  if (!isLayer(model) || !Array.isArray(weights)) {
    invalid(name, model, 'a tfjs-layers model or a list of variables');
  }
  return model;
}

/**
 * The variables: of a model by layer (`encoder/dense/kernel`), each once; of a list in its order.
 *
 * @throws Error for anything else, and for what has no weights.
 */
export function variablesOf(model: unknown, name = 'model'): NamedVariable[] {
  const described = isList(model)
    ? checkList(model, name).map((variable) => ({ name: variable.name, variable }))
    : weightsOfModel(checkModel(model, name));
  if (described.length === 0) throw new Error(`The ${name} has no weights yet: build it first`);
  return described.map(({ name: called, variable }) => {
    checkAlive(variable);
    return { name: called, shape: variable.shape, dtype: variable.dtype, variable };
  });
}

/**
 * By variable of `target` that of `source`: of two models by layer, else by name where all names
 * match and tell, else by position.
 *
 * @throws Error that lists what does not fit.
 */
export function matchVariables(target: unknown, source: unknown): Map<tf.Variable, tf.Variable> {
  const [wanted, given] = [variablesOf(target, 'target'), variablesOf(source, 'source')];
  if (!isList(target) && !isList(source)) {
    return matchModels(target as object, source as object).weights;
  }
  const found = matchByRule(wanted, given);
  const matched = new Map<tf.Variable, tf.Variable>();
  wanted.forEach(({ name, variable }, i) => {
    const from = found[i]!.variable;
    if ((matched.get(variable) ?? from) !== from) {
      throw new Error(`The weights do not fit; ${name} stands for two of them`);
    }
    matched.set(variable, from);
  });
  return matched;
}
