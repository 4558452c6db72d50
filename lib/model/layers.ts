/**
 * The one walk over the layers of a tfjs-layers model, which meets them by their shape alone, so
 * that nothing here imports tfjs-layers. It knows nothing of weights, averages or statistics.
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
  /** The name that the layer gave, in the scope where it was built; a copy of the model shares it. */
  originalName: string;
  /** Whether it is trained at the moment. */
  trainable?: boolean;
  /** The later it was made, the higher. */
  id?: number;
  read(): tf.Variable;
}

/** A layer of a model. */
export interface FoundLayer {
  layer: LayerLike;
  /** Where it is: `encoder/lstm/cell`, the first place where it was met. */
  path: string;
  /** Whether it, or a model or wrapper around it at any of its places, has `trainable` false. */
  frozen: boolean;
}

/** Whether a value is a layer, a model included. */
export function isLayer(value: unknown): value is LayerLike {
  const layer = value as Partial<LayerLike> | null | undefined;
  return typeof layer?.call === 'function' && typeof layer.getClassName === 'function';
}

/** Whether a layer is a model, Sequential or functional. */
export function isModel(layer: object): layer is { layers: LayerLike[] } {
  const { layers } = layer as { layers?: unknown };
  return isLayer(layer) && Array.isArray(layers) && layers.every(isLayer);
}

/**
 * What else of a model leads to its layers: those that it had before `pop()` among them, until it
 * is built anew (tfjs-layers 4.22, models.ts, `Sequential.build`; container.ts, `constructor`).
 */
const NOT_PARTS = ['layers', 'model', 'inputLayers', 'outputLayers', 'internalContainerRefs'];

/**
 * The layers directly within one, by what tells them apart there: the layers of a model by their
 * names, in its order, others by the property or place in a list that holds them (`forwardLayer`,
 * `cells[1]`). Freezing changes neither names nor order.
 */
export function partsOf(layer: object): Map<string, LayerLike> {
  const parts = new Map<string, LayerLike>();
  const held = new Set<unknown>();
  const put = (value: unknown, key: string): void => {
    if (Array.isArray(value)) value.forEach((part, i) => put(part, `${key}[${i}]`));
    else if (isLayer(value) && !held.has(value)) {
      held.add(value);
      // An unbuilt Sequential may hold two layers of one name.
      let name = key;
      for (let count = 2; parts.has(name); count++) name = `${key} (${count})`;
      parts.set(name, value);
    }
  };
  const model = isModel(layer);
  if (model) for (const part of layer.layers) put(part, part.name);
  // Bidirectional keeps, unbuilt, the layer that it copies for each direction (tfjs-layers 4.22,
  // wrappers.ts, `this.layer`).
  const skipped = model ? NOT_PARTS : 'forwardLayer' in layer ? ['layer'] : [];
  for (const [key, value] of Object.entries(layer)) if (!skipped.includes(key)) put(value, key);
  return parts;
}

/** The place of a part, or of a weight, within the layer at `path`. */
export function within(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}

/** All layers of a model, the model itself included, each once, in the order of its structure. */
export function layersOf(model: object): FoundLayer[] {
  const found = new Map<object, FoundLayer>();
  const visit = (value: object, path: string, frozenAbove: boolean): void => {
    const layer = value as LayerLike;
    const frozen = frozenAbove || trainableOf(layer) === false;
    const known = found.get(layer);
    if (known && (known.frozen || !frozen)) return;
    found.set(layer, { layer, path: known?.path ?? path, frozen });
    for (const [name, part] of partsOf(layer)) visit(part, within(path, name), frozen);
  };
  visit(model, '', false);
  return [...found.values()].filter(({ layer }) => isLayer(layer));
}

/** By copied layer: the layer that it is a copy of, and its own `trainable` as it was made. */
const originals = new WeakMap<object, { original: LayerLike; born: boolean | undefined }>();

/**
 * Has a copied layer count as frozen when the original one is, from now on and whenever that
 * changes, until somebody sets the copy's own `trainable`. (That of a model in a model is not in
 * its config, so that a copy does not even begin with it: tfjs-layers 4.22, topology.ts,
 * `getConfig`, and container.ts.)
 */
export function followTrainable(copy: LayerLike, original: LayerLike): void {
  originals.set(copy, { original, born: copy.trainable });
}

function trainableOf(layer: LayerLike): boolean | undefined {
  const copied = originals.get(layer);
  return copied && layer.trainable === copied.born ? trainableOf(copied.original) : layer.trainable;
}
