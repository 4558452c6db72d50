/**
 * The weights of an AveragedModel: which they are, of what they are the averages, and the copied
 * model that they make up. It knows nothing of how they are averaged.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { startAverage } from './average.js';
import { followTrainable, layersOf, type LayerLike } from '../model/layers.js';
import { matchModels } from '../model/match.js';
import { weightsOfModel } from '../model/weights.js';
import { variablesOf } from '../model/model_or_list.js';
import type { Described } from '../state/match_tensors.js';

/** What {@link AveragedModel} needs of a tfjs-layers model: Sequential or functional. */
export interface LayersModelLike {
  /** All weights, trainable or not. */
  readonly weights: readonly { readonly originalName: string; read(): tf.Tensor }[];
  /** The structure, of which a copy is made. */
  getConfig(): unknown;
  /** Runs the model on inputs. */
  apply(inputs: tf.Tensor | tf.Tensor[], kwargs?: Record<string, unknown>): unknown;
  /** Runs the model on inputs, batch by batch. */
  predict(inputs: tf.Tensor | tf.Tensor[], args?: object): tf.Tensor | tf.Tensor[];
  /** Frees the weights. */
  dispose(): unknown;
}

/** A weight of the averaged model. */
export interface AveragedWeight extends Described {
  /** Holds the average; trained by no optimizer unasked. */
  readonly variable: tf.Variable;
  /** Whose average it is. */
  readonly source: tf.Variable;
  /** Made to be trained by no optimizer, a moving statistic say. */
  readonly buffer: boolean;
  /** After how many updates its average begins. */
  start: number;
}

/** Averages of a list of variables; none of them counts as a buffer. */
export function averagedList(variables: readonly tf.Variable[]): AveragedWeight[] {
  return variablesOf(variables).map(({ name, variable: source }) =>
    weightOf(name, { variable: startAverage(source), source, buffer: false }),
  );
}

/**
 * A copy of a model with the model's values, by layer. Its variables are trained by no optimizer
 * unasked, its layers are frozen when the model's are.
 */
export function averagedCopy<M extends LayersModelLike>(
  model: M,
): { copy: M; weights: AveragedWeight[] } {
  variablesOf(model);
  const originals = weightsOfModel(model);
  const buffers = new Set(originals.flatMap(({ variable, buffer }) => (buffer ? variable : [])));
  const copy = copyOf(model);
  try {
    const match = matchModels(copy, model);
    const weights = weightsOfModel(copy).flatMap(({ name, variable }) => {
      const source = match.weights.get(variable)!;
      // What both have is none of the model's own: a layer refers to it.
      if (source === variable) return [];
      return [weightOf(name, { variable, source, buffer: buffers.has(source) })];
    });
    for (const { variable, source } of weights) {
      variable.assign(source);
      variable.trainable = false;
    }
    for (const [copied, original] of match.layers) {
      if (original !== copied) followTrainable(copied, original);
    }
    return { copy, weights };
  } catch (error) {
    disposeCopy(
      copy,
      weightsOfModel(copy).map(({ variable }) => variable),
    );
    throw error;
  }
}

/** Frees a copied model and its variables. */
export function disposeCopy(copy: LayersModelLike, variables: readonly tf.Variable[]): void {
  copy.dispose();
  // A layer that is shared is not freed by its model (tfjs-layers 4.22, topology.ts, `_refCount`).
  for (const variable of variables) if (!variable.isDisposed) variable.dispose();
}

/** The layers of a model and its weights as they are, to see whether they are still the same. */
export class Layout {
  private readonly parts: Map<object, string>;

  constructor(model: object) {
    this.parts = partsAndPaths(model);
  }

  /** @throws Error that names the layers and weights that are gone or new. */
  check(model: object): void {
    const now = partsAndPaths(model);
    const gone = [...this.parts].flatMap(([part, path]) => (now.has(part) ? [] : path));
    const added = [...now].flatMap(([part, path]) => (this.parts.has(part) ? [] : path));
    if (gone.length + added.length === 0) return;
    const lists = Object.entries({ gone, new: added })
      .filter(([, paths]) => paths.length > 0)
      .map(([what, paths]) => `; ${what}: ${paths.join(', ')}`);
    throw new Error(
      `The model has other layers than when its AveragedModel was made${lists.join('')}`,
    );
  }
}

function partsAndPaths(model: object): Map<object, string> {
  const layers = layersOf(model);
  return new Map<object, string>([
    ...layers.map(({ layer, path }): [LayerLike, string] => [layer, `layer ${path}`]),
    ...weightsOfModel(model, layers).map(({ variable, name }): [tf.Variable, string] => [
      variable,
      name,
    ]),
  ]);
}

function weightOf(
  name: string,
  parts: Pick<AveragedWeight, 'variable' | 'source' | 'buffer'>,
): AveragedWeight {
  const { shape, dtype } = parts.variable;
  return { name, shape, dtype, ...parts, start: 0 };
}

/**
 * A model of the same structure with weights of its own, through the `fromConfig` of its class
 * (tfjs-layers 4.22, models.ts and container.ts), which leaves them 0 with its last argument.
 */
function copyOf<M extends LayersModelLike>(model: M): M {
  const cls = model.constructor as unknown as {
    fromConfig(cls: unknown, config: unknown, customObjects: object, fastWeightInit: boolean): M;
  };
  return cls.fromConfig(cls, model.getConfig(), {}, true);
}
