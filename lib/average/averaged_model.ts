/**
 * A copy of a model whose weights are the average of the model's. It knows nothing of optimizers or
 * steps; the caller says when to update.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkAvgFn, startAverage, swaAvgFn, updateAverages, type AvgFn } from './average.js';
import { checkFit } from '../state/check_parts.js';
import { nonTrainableWeightsOf, type LayerWeight } from '../model/layers.js';
import { checkKeys, invalid, isCount } from '../check.js';
import {
  checkAlive,
  checkTensorData,
  hostData,
  isVariable,
  kindOf,
  toTensor,
  type TensorData,
} from '../state/tensor_data.js';

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

/** Options of {@link AveragedModel}. */
export interface AveragedModelOptions {
  /** How to average; default {@link swaAvgFn}, the equal average. */
  avgFn?: AvgFn;
  /** Average non-trainable state too (moving statistics of batch normalization); default false. */
  useBuffers?: boolean;
}

/** The state of an {@link AveragedModel} as plain data. */
export interface AveragedModelStateDict {
  /** How many values the averages hold. */
  n_averaged: number;
  /** Every weight of the averaged model. */
  module: TensorData[];
}

/** What weights are matched by. */
type Described = Pick<TensorData, 'name' | 'shape'> & { dtype: string };

/** A weight of a model. */
interface Weight extends Described {
  variable: tf.Variable;
  /** Not trained by an optimizer. */
  buffer: boolean;
}

/**
 * Keeps a second model beside the one that is trained, whose weights are the running average of the
 * trained one's (torch's `torch.optim.swa_utils.AveragedModel`; Izmailov et al. 2018, arXiv
 * 1803.05407). The trained model is never changed.
 *
 * Each {@link updateParameters} takes the weights into the average, the first one copies them.
 * Non-trainable state (the moving statistics of batch normalization) is copied from the model at
 * each update, or averaged with `useBuffers`; integer state is always copied. With the default,
 * re-estimate the statistics with {@link updateBn} before the averaged model is used.
 *
 * @example
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * const averaged = new AveragedModel(model, { avgFn: emaAvgFn(0.99) });
 * model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
 * await model.fit(tf.ones([8, 2]), tf.ones([8, 1]), {
 *   verbose: 0,
 *   callbacks: { onBatchEnd: async () => averaged.updateParameters() },
 * });
 * averaged.predict(tf.ones([1, 2]));
 */
export class AveragedModel<M extends LayersModelLike | readonly tf.Variable[]> {
  /** The averaged copy: a model like the one that was given, or a list of variables. */
  readonly module: M;

  /** The model of the constructor, and its weights in the order of the averages. */
  private readonly model: M;
  private readonly sources: readonly Weight[];
  private readonly weights: readonly Weight[];
  private readonly avgFn: AvgFn;
  private readonly useBuffers: boolean;
  private count = 0;
  private disposed = false;

  /**
   * @param model A built tfjs-layers model, or a list of variables.
   * @param options How to average, and what.
   * @throws Error if it is neither or has no weights yet, or an option makes no sense.
   */
  constructor(model: M, options: AveragedModelOptions = {}) {
    checkKeys(options, ['avgFn', 'useBuffers']);
    const { avgFn = swaAvgFn(), useBuffers = false } = options;
    checkAvgFn(avgFn);
    if (typeof useBuffers !== 'boolean') invalid('useBuffers', useBuffers, 'a boolean');
    const weights = weightsOf(model);
    this.avgFn = avgFn;
    this.useBuffers = useBuffers;
    this.model = model;
    this.sources = weights;
    if (isList(model)) {
      this.weights = weights.map((from) => ({ ...from, variable: startAverage(from.variable) }));
      this.module = this.weights.map(({ variable }) => variable) as readonly tf.Variable[] as M;
    } else {
      this.module = copyOf<M>(model as M & LayersModelLike);
      const copies = weightsOf(this.module);
      this.weights = matchWeights(weights, copies).map((copy, i) => {
        copy.variable.assign(weights[i]!.variable);
        return { ...weights[i]!, variable: copy.variable };
      });
    }
  }

  /** How many values the averages hold. */
  get nAveraged(): number {
    return this.count;
  }

  /**
   * Takes the weights of the model into the averages.
   *
   * @param model Default: the model that the constructor was given.
   * @throws Error if it has other weights; nothing has changed then.
   */
  updateParameters(model?: M): void {
    this.checkUsable();
    // Its own model's weights are known by reference; freezing a layer reorders `model.weights`.
    const own = model === undefined || model === this.model;
    const sources = own ? this.sources : matchWeights(this.weights, weightsOf(model));
    for (const { variable } of sources) checkAlive(variable);
    const averaged: [tf.Variable[], tf.Variable[]] = [[], []];
    const copied: [tf.Variable, tf.Variable][] = [];
    this.weights.forEach(({ variable, dtype, buffer }, i) => {
      const from = sources[i]!.variable;
      if (this.count === 0 || dtype !== 'float32' || (buffer && !this.useBuffers)) {
        copied.push([variable, from]);
      } else {
        averaged[0].push(variable);
        averaged[1].push(from);
      }
    });
    updateAverages(...averaged, this.count, this.avgFn);
    for (const [variable, from] of copied) variable.assign(from);
    this.count += 1;
  }

  /** Applies the averaged model, `{training: true}` say; for layers models only. */
  apply(inputs: tf.Tensor | tf.Tensor[], kwargs?: Record<string, unknown>): unknown {
    return this.layersModel('apply').apply(inputs, kwargs);
  }

  /** Predicts with the averaged model; for layers models only. */
  predict(inputs: tf.Tensor | tf.Tensor[], args?: object): tf.Tensor | tf.Tensor[] {
    return this.layersModel('predict').predict(inputs, args);
  }

  /** The averages and their count as plain data, of the moment of the call. */
  async stateDict(): Promise<AveragedModelStateDict> {
    this.checkUsable();
    const n_averaged = this.count;
    const module = this.weights.map(({ name, variable }) => hostData(name, variable));
    return { n_averaged, module: await Promise.all(module) };
  }

  /**
   * Takes over a saved state: by name where all names match, else by position.
   *
   * @throws Error that lists what does not fit; nothing has changed then.
   */
  async loadStateDict(state: AveragedModelStateDict): Promise<void> {
    this.checkUsable();
    checkState(state);
    const entries = matchWeights(this.weights, state.module);
    this.weights.forEach(({ variable }, i) => {
      tf.tidy(() => variable.assign(toTensor(entries[i]!)));
    });
    this.count = state.n_averaged;
  }

  /** Frees the averaged model; the trained one stays the caller's. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    if (!isList(this.module)) this.module.dispose();
    // A layer that is shared is not freed by its model (tfjs-layers 4.22, topology.ts, `_refCount`).
    for (const { variable } of this.weights) if (!variable.isDisposed) variable.dispose();
  }

  private checkUsable(): void {
    if (this.disposed) throw new Error('This AveragedModel has been disposed');
  }

  private layersModel(method: string): LayersModelLike {
    this.checkUsable();
    if (isList(this.module)) throw new Error(`A list of variables has no ${method}()`);
    return this.module;
  }
}

function isList(model: unknown): model is readonly tf.Variable[] {
  return Array.isArray(model);
}

function weightsOf(model: unknown): Weight[] {
  const weights = isList(model) ? listed(model) : layered(model as LayersModelLike);
  for (const { variable } of weights) checkAlive(variable);
  if (weights.length === 0) throw new Error('The model has no weights yet: build it first');
  return weights;
}

function listed(variables: readonly tf.Variable[]): Weight[] {
  return variables.map((variable, i) => {
    if (!isVariable(variable)) invalid(`model[${i}]`, variable, 'a tf.Variable');
    const { name, shape, dtype, trainable } = variable;
    return { name, shape, dtype, variable, buffer: !trainable };
  });
}

function layered(model: LayersModelLike): Weight[] {
  if (!Array.isArray(model?.weights) || typeof model.getConfig !== 'function') {
    invalid('model', model, 'a tfjs-layers model or a list of variables');
  }
  const buffers: ReadonlySet<unknown> = nonTrainableWeightsOf(model);
  return (model.weights as readonly LayerWeight[]).map((weight) => {
    const variable = weight.read();
    const { shape, dtype } = variable;
    return { name: weight.originalName, shape, dtype, variable, buffer: buffers.has(weight) };
  });
}

/**
 * A model of the same structure with weights of its own, through the `fromConfig` of its class
 * (tfjs-layers 4.22, models.ts and container.ts), which leaves them 0 with its last argument.
 */
function copyOf<M>(model: M & LayersModelLike): M {
  const cls = model.constructor as unknown as {
    fromConfig(cls: unknown, config: unknown, customObjects: object, fastWeightInit: boolean): M;
  };
  return cls.fromConfig(cls, model.getConfig(), {}, true);
}

/**
 * Finds for each weight its counterpart: by name where all names match (the k-th of a name for the
 * k-th), else by position.
 *
 * @throws Error that lists what is missing, unexpected and of the wrong shape.
 */
function matchWeights<T extends Described>(
  weights: readonly Described[],
  others: readonly T[],
): T[] {
  const [wanted, given] = [keys(weights), keys(others)];
  const byName = wanted.every((key) => given.includes(key));
  const byPosition = !byName && weights.length === others.length;
  const kinds = (names: string[], described: readonly Described[]) =>
    new Map(described.map((weight, i) => [names[i]!, kindOf(weight)]));
  checkFit(
    'The weights do not fit',
    kinds(wanted, weights),
    kinds(byPosition ? wanted : given, others),
  );
  return byPosition ? [...others] : wanted.map((key) => others[given.indexOf(key)]!);
}

/** Names made unique: nested models may repeat one. */
function keys(weights: readonly Described[]): string[] {
  const seen = new Map<string, number>();
  return weights.map(({ name }) => {
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return count === 0 ? name : `${name} (${count + 1})`;
  });
}

function checkState(state: unknown): asserts state is AveragedModelStateDict {
  const { n_averaged, module } = (state ?? {}) as Partial<AveragedModelStateDict>;
  if (!isCount(n_averaged)) invalid('state.n_averaged', n_averaged, 'an integer >= 0');
  if (!Array.isArray(module)) return invalid('state.module', module, 'a list of tensor data');
  module.forEach((entry, i) => checkTensorData(`state.module[${i}]`, entry));
}
