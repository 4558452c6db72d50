/**
 * A copy of a model whose weights are the average of the model's. It knows nothing of optimizers or
 * steps; the caller says when to update.
 */
import * as tf from '@tensorflow/tfjs-core';
import { mayStart, updateAverages } from './average.js';
import { checkAvgFn, swaAvgFn, type AvgFn } from './avg_fn.js';
import { checkNotHeld } from './exchange.js';
import {
  fitState,
  type AveragedModelLoadOptions,
  type AveragedModelStateDict,
} from './averaged_state.js';
import { avgFnKind } from './avg_fn.js';
import {
  averagedCopy,
  averagedList,
  disposeCopy,
  Layout,
  type AveragedWeight,
  type LayersModelLike,
} from './averaged_weights.js';
import { matchModels } from '../model/match.js';
import { checkList, checkModel, isList } from '../model/model_or_list.js';
import { checkKeys, invalid } from '../check.js';
import { matchByRule, type LoadReport } from '../state/match_tensors.js';
import { alias, checkAlive, hostData, toTensor } from '../state/tensor_data.js';

/** Options of {@link AveragedModel}. */
export interface AveragedModelOptions {
  /** How to average; default {@link swaAvgFn}, the equal average. */
  avgFn?: AvgFn;
  /** Average a model's non-trainable state too (moving statistics, say); default false. */
  useBuffers?: boolean;
}

/**
 * Keeps a second model beside the one that is trained, whose weights are the running average of the
 * trained one's (torch's `torch.optim.swa_utils.AveragedModel`; Izmailov et al. 2018, arXiv
 * 1803.05407). The trained model is never changed.
 *
 * Each {@link updateParameters} takes the weights into the average, the first one copies them, by
 * layer, whatever is frozen. State of a model that was made non-trainable (the moving statistics of
 * batch normalization) is copied from the model at each update, or averaged with `useBuffers`; of a
 * list of variables everything is averaged. Integer state is always copied. With the default,
 * re-estimate the statistics with {@link updateBn} before the averaged model is used; a layer that is
 * frozen in the model keeps its statistics there.
 *
 * The averaged variables have `trainable` false, their layers not: no `minimize` trains them unasked.
 * To go on training from the average, put it into the model, `softUpdate(model, averaged.module, 1)`,
 * or set `trainable` of the averaged model's weights to true.
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
 * for (const weight of averaged.module.trainableWeights) weight.trainable = true; // to train it
 */
export class AveragedModel<M extends LayersModelLike | readonly tf.Variable[]> {
  /** The averaged copy: a model like the one that was given, or a list of variables. */
  readonly module: M;

  /** The model of the constructor, and what it was made of there; `null` for a list. */
  private readonly model: M;
  private readonly layout: Layout | null;
  private readonly weights: readonly AveragedWeight[];
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
    this.avgFn = avgFn;
    this.useBuffers = useBuffers;
    this.model = model;
    if (isList(model)) {
      this.weights = averagedList(model);
      this.module = this.weights.map(({ variable }) => variable) as readonly tf.Variable[] as M;
      this.layout = null;
    } else {
      const { copy, weights } = averagedCopy<M & LayersModelLike>(model as M & LayersModelLike);
      this.module = copy;
      this.weights = weights;
      this.layout = new Layout(model);
    }
  }

  /** How many values the averages hold. */
  get nAveraged(): number {
    return this.count;
  }

  /**
   * Takes the weights of the model into the averages; with `finiteOnly`, nothing where that skips.
   *
   * @param model Default: the model that the constructor was given.
   * @throws Error if it has other weights, or layers that it had not before; nothing has changed then.
   */
  updateParameters(model?: M): void {
    this.checkUsable();
    const sources = this.sourcesOf(model ?? this.model);
    for (const variable of sources) checkAlive(variable);
    checkNotHeld(sources, 'update the average');
    const floats = sources.filter(({ dtype }) => dtype === 'float32');
    if (this.count === 0 && !mayStart(floats, this.avgFn)) return;
    const averaged = new Map<number, [buffers: tf.Variable[], values: tf.Variable[]]>();
    const copied: [tf.Variable, tf.Variable][] = [];
    this.weights.forEach(({ variable, dtype, buffer, start }, i) => {
      const n = this.count - start;
      if (n === 0 || dtype !== 'float32' || (buffer && !this.useBuffers)) {
        copied.push([variable, sources[i]!]);
      } else {
        const [buffers, values] = averaged.get(n) ?? averaged.set(n, [[], []]).get(n)!;
        buffers.push(variable);
        values.push(sources[i]!);
      }
    });
    if (!updateAll([...averaged], this.avgFn)) return;
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

  /** The averages and their count as plain data, copies, of the moment of the call. */
  async stateDict(): Promise<AveragedModelStateDict> {
    this.checkUsable();
    const starts = this.weights.map(({ start }) => start);
    const state = { n_averaged: this.count, avg_fn: avgFnKind(this.avgFn) };
    const module = await Promise.all(
      this.weights.map(({ name, variable }) => hostData(name, variable)),
    );
    return { ...state, module, ...(starts.some((start) => start > 0) ? { starts } : {}) };
  }

  /**
   * Takes over a saved state: by name where all names match and are more than tfjs's own numbers,
   * else by position where the number, shapes and dtypes of the weights agree.
   *
   * @param options `strict` false takes by name alone what fits and reports the rest; weights without
   *   an entry keep their values, and their average begins with the next update. `avgFn` 'keep' takes
   *   the averages of another averaging function.
   * @returns The names of what is missing, unexpected and of another shape or dtype; without `strict`
   *   false none.
   * @throws Error that says what is wrong or lists what does not fit; nothing has changed then.
   */
  async loadStateDict(
    state: AveragedModelStateDict,
    options: AveragedModelLoadOptions = {},
  ): Promise<LoadReport> {
    this.checkUsable();
    const { loaded, report } = fitState(this.weights, avgFnKind(this.avgFn), state, options);
    this.weights.forEach((weight, i) => {
      const { data, start } = loaded[i]!;
      if (data) tf.tidy(() => weight.variable.assign(toTensor(data)));
      weight.start = start;
    });
    this.count = state.n_averaged;
    return report;
  }

  /** Frees the averaged model; the trained one stays the caller's. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    const variables = this.weights.map(({ variable }) => variable);
    if (isList(this.module)) tf.dispose(variables);
    else disposeCopy(this.module, variables);
  }

  /** For each weight that of a model. */
  private sourcesOf(model: M): tf.Variable[] {
    if (model === this.model) {
      this.layout?.check(model);
      return this.weights.map(({ source }) => source);
    }
    if (isList(this.module)) return matchByRule(this.weights, checkList(model));
    const { weights } = matchModels(this.module, checkModel(model));
    return this.weights.map(({ variable }) => weights.get(variable)!);
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

/** Takes values into averages by how many these hold: all of them, or none where one is refused. */
function updateAll(
  groups: readonly [numAveraged: number, lists: [buffers: tf.Variable[], values: tf.Variable[]]][],
  avgFn: AvgFn,
): boolean {
  const update = ([n, [buffers, values]]: (typeof groups)[number]): boolean =>
    updateAverages(buffers, values, n, avgFn);
  if (groups.length === 1) return update(groups[0]!);
  const buffers = groups.flatMap(([, [list]]) => list);
  const before = buffers.map(alias);
  let taken = false;
  try {
    taken = groups.every(update);
  } finally {
    if (!taken) buffers.forEach((buffer, i) => buffer.assign(before[i]!));
    tf.dispose(before);
  }
  return taken;
}
