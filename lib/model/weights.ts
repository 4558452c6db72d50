/**
 * The one place that lists a model's weights by layer, in the order of its structure. It knows
 * nothing of averages, statistics or states.
 *
 * Never by `model.weights`: freezing a layer reorders that, and the `trainable` of a model in a model
 * is not in its config, so that a copy has another order (tfjs-layers 4.22, container.ts,
 * `trainableWeights`).
 */
import type * as tf from '@tensorflow/tfjs-core';
import { uniqueNames } from '../state/match_tensors.js';
import { layersOf, within, type FoundLayer, type LayerLike, type LayerWeight } from './layers.js';

/** A weight of a model. */
export interface ModelWeight {
  /** The path of its layer and its own name: `encoder/dense_Dense1/kernel`; unique in the model. */
  name: string;
  variable: tf.Variable;
  /** Made to be trained by no optimizer, a moving statistic say; freezing makes no buffer. */
  buffer: boolean;
}

/** A weight within its layer. */
export interface OwnWeight {
  /** Unique in the layer: what the layer called it, without the scope. */
  local: string;
  variable: tf.Variable;
  buffer: boolean;
}

/** What tfjs-layers' Layer keeps of its weights, whatever is frozen (4.22, topology.ts). */
interface Weighted {
  _trainableWeights?: LayerWeight[];
  _nonTrainableWeights?: LayerWeight[];
  weights?: LayerWeight[];
}

/**
 * All weights of a model by layer, each once, in the order of its structure; within a layer those
 * that are trained first, as it added them. What a layer keeps in its own way and only lists under
 * `weights` comes after those, in the order in which it was made.
 *
 * @param among The layers of the model, where they are known.
 */
export function weightsOfModel(model: object, among = layersOf(model)): ModelWeight[] {
  const own = ownWeights(among);
  const found = new Map<tf.Variable, ModelWeight>();
  for (const { layer, path } of among) {
    for (const { local, variable, buffer } of own.get(layer)!) {
      if (found.has(variable)) continue;
      found.set(variable, { name: within(path, local), variable, buffer });
    }
  }
  const weights = [...found.values()];
  // Layers with a slash in their names can make two places look like one.
  const names = uniqueNames(weights.map(({ name }) => name));
  return weights.map((weight, i) => ({ ...weight, name: names[i]! }));
}

/** Of every layer its own weights, not those of the layers within it. */
export function ownWeights(among: readonly FoundLayer[]): Map<object, OwnWeight[]> {
  const layers = among.map(({ layer }) => layer as LayerLike & Weighted);
  const lists = new Map<object, LayerWeight[]>();
  const buffers = new Set<LayerWeight>();
  const listed = new Set<LayerWeight>();
  for (const layer of layers) {
    const { _trainableWeights: trained = [], _nonTrainableWeights: others = [] } = layer;
    for (const weight of others) buffers.add(weight);
    for (const weight of [...trained, ...others]) listed.add(weight);
    lists.set(layer, [...trained, ...others]);
  }
  // The innermost layer that lists a weight has it.
  for (const layer of layers.reverse()) {
    const kept = (layer.weights ?? []).filter((weight) => !listed.has(weight));
    for (const weight of kept) {
      listed.add(weight);
      if (weight.trainable === false) buffers.add(weight);
    }
    lists.get(layer)!.push(...kept.sort((a, b) => (a.id ?? 0) - (b.id ?? 0)));
  }
  return new Map(
    [...lists].map(([layer, weights]) => {
      const names = uniqueNames(
        weights.map(({ originalName }) => originalName.replace(/^.*\//, '')),
      );
      const described = weights.map((weight, i) => ({
        local: names[i]!,
        variable: weight.read(),
        buffer: buffers.has(weight),
      }));
      return [layer, described];
    }),
  );
}
