/**
 * Finds the batch-normalization layers of a model, tfjs-layers' or the caller's own, by one rule for
 * all that need them. It knows nothing of how their statistics are estimated.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { isLayer, layersOf } from '../model/layers.js';
import { invalid } from '../check.js';

/** A moving statistic: a variable, or tfjs-layers' LayerVariable around one. */
export type Statistic = tf.Variable | { read(): tf.Variable };

/** A batch-normalization layer, tfjs-layers' or the caller's own. */
export interface BnLayer {
  movingMean: Statistic;
  movingVariance: Statistic;
  /** The fraction of the old statistic that a training pass keeps (tfjs's sense). */
  momentum: number;
  name?: string;
  trainable?: boolean;
  /** Of tfjs-layers' own: where the channels are, and what runs it. */
  axis?: number;
  call?: (inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean }) => unknown;
}

/** A layer of a model, and whether its statistics are to stay as they are. */
export interface FoundBnLayer {
  layer: BnLayer;
  frozen: boolean;
}

/**
 * The batch-normalization layers of a model: those that its `batchNormLayers()` lists, else those of
 * tfjs-layers, however deeply they are nested. Frozen is one that has `trainable` false, or a model
 * or wrapper around it; in the copy of an AveragedModel, one that is so in the model.
 *
 * @throws Error for what is no object, or a layer without statistics yet.
 */
export function bnLayersOf(model: unknown): FoundBnLayer[] {
  if (Object(model) !== model) invalid('model', model, 'a model with batch-normalization layers');
  const { batchNormLayers } = model as { batchNormLayers?: () => Iterable<BnLayer> };
  const found = batchNormLayers
    ? [...new Set(batchNormLayers.call(model))].map((layer) => ({
        layer,
        frozen: layer?.trainable === false,
      }))
    : layersOf(model as object).filter(({ layer }) => isLayersBn(layer));
  for (const { layer } of found) {
    const { movingMean, movingVariance, name } = Object(layer) as Partial<BnLayer>;
    if (movingMean && movingVariance) continue;
    throw new Error(`updateBn: the layer ${name} has no statistics; build the model first`);
  }
  if (!batchNormLayers) warnOfUnseen(model as object, found as FoundBnLayer[]);
  return found as FoundBnLayer[];
}

/** Whether a layer is tfjs-layers' BatchNormalization. */
export function isLayersBn(value: unknown): boolean {
  return isLayer(value) && value.getClassName() === 'BatchNormalization';
}

/** The variables of a layer's statistics, mean and variance. */
export function movingOf({ movingMean, movingVariance }: BnLayer): tf.Variable[] {
  return [movingMean, movingVariance].map((s) => ('read' in s ? s.read() : s));
}

/** The models that were warned of. */
const warned = new WeakSet();

/** Warns, once a model, of moving statistics among its weights whose layers no walk finds. */
function warnOfUnseen(model: object, found: readonly FoundBnLayer[]): void {
  const { weights } = model as { weights?: unknown };
  if (!Array.isArray(weights) || warned.has(model)) return;
  const seen = new Set(found.flatMap(({ layer }) => movingOf(layer)));
  const unseen = (weights as (Statistic & { name?: string; trainable?: boolean })[])
    .filter((weight) => /moving_?(mean|variance)/i.test(weight?.name ?? ''))
    .filter((weight) => !seen.has('read' in weight ? weight.read() : weight) && !weight.trainable);
  if (unseen.length === 0) return;
  warned.add(model);
  console.warn(
    `updateBn: found no layer of ${unseen.map(({ name }) => name).join(', ')}, which stay as ` +
      'they are; list the layers in a method batchNormLayers() of the model',
  );
}
