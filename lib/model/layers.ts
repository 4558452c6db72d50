/**
 * Finds the layers and weights of a tfjs-layers model by their shape alone, so that nothing here
 * imports tfjs-layers. It knows nothing of averages or statistics.
 */
import type * as tf from '@tensorflow/tfjs-core';

/** What every tfjs layer has. */
export interface LayerLike {
  name: string;
  call: unknown;
  getClassName(): string;
  trainable?: boolean;
}

/** A weight of a layer: tfjs-layers' LayerVariable. */
export interface LayerWeight {
  /** The name that the layer gave, which a copy of the model shares. */
  originalName: string;
  read(): tf.Variable;
}

/** Whether a value is a layer, a model included. */
export function isLayer(value: unknown): value is LayerLike {
  const layer = value as Partial<LayerLike> | null | undefined;
  return typeof layer?.call === 'function' && typeof layer.getClassName === 'function';
}

/**
 * All layers of a model, the model itself included: in any property or list of any of its layers,
 * each once. `frozen` says whether the layer, or a model or wrapper around it, has `trainable`
 * false.
 */
export function layersOf(model: object): { layer: LayerLike; frozen: boolean }[] {
  const found = new Map<object, boolean>();
  const visit = (value: unknown, frozenAbove: boolean): void => {
    if (Array.isArray(value)) for (const part of value) visit(part, frozenAbove);
    else if ((value === model || isLayer(value)) && !found.has(value)) {
      const frozen = frozenAbove || (value as Partial<LayerLike>).trainable === false;
      found.set(value, frozen);
      const parts: Record<string, unknown> = { ...value };
      // Bidirectional keeps, unbuilt, the layer that it copies for each direction (tfjs-layers 4.22,
      // wrappers.ts, `this.layer`).
      if ('forwardLayer' in parts) delete parts['layer'];
      visit(Object.values(parts), frozen);
    }
  };
  visit(model, false);
  return [...found].flatMap(([layer, frozen]) => (isLayer(layer) ? [{ layer, frozen }] : []));
}

/** The weights that no optimizer trains, moving statistics say, whatever is frozen at the moment. */
export function nonTrainableWeightsOf(model: object): Set<LayerWeight> {
  // A frozen layer lists its other weights under `nonTrainableWeights` too, so the field behind it
  // is read (tfjs-layers 4.22, topology.ts, `nonTrainableWeights`).
  return new Set(
    layersOf(model).flatMap(
      ({ layer }) => (layer as { _nonTrainableWeights?: LayerWeight[] })._nonTrainableWeights ?? [],
    ),
  );
}
