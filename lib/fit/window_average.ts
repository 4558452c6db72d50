/**
 * The weights of a model in averaged segments, of which a window can take their place for a while or
 * for good. It knows nothing of epochs or data, and is told what a window is worth.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkNotHeld, exchange, setHolder } from '../average/exchange.js';
import type { BnLoader } from '../batchnorm/batches.js';
import { chooseWindow } from '../history/choose.js';
import { Segments } from '../history/segments.js';
import { Window } from '../history/window.js';
import { checkModel } from '../model/model_or_list.js';
import type { WindowScore } from '../state/weight_history_state.js';
import { TrainedWeights, type TrainedModel } from '../swap/trained_weights.js';
import { innerOf, type FittedModel } from './fitted_model.js';
import { Held, type RunAverage } from './model_average.js';

/** Closed segments at most, as in a WeightHistory. */
const MAX_SEGMENTS = 16;

/** The average is that of the last half of the segments, rounded up, until a window is chosen. */
export class WindowAverage implements RunAverage {
  private readonly weights: TrainedWeights;
  private readonly segments = new Segments(MAX_SEGMENTS);
  /** While swapped: what is in the model, whose own weights it holds. */
  private window: Window | null = null;

  /** @throws Error if it is no built model, or `fit` trains what would not be averaged. */
  constructor(model: FittedModel) {
    this.weights = new TrainedWeights(
      checkModel(model) as FittedModel & TrainedModel,
      'swaCallback',
    );
    this.checkCompiled(model);
  }

  /** How many values the segments hold. */
  get count(): number {
    return this.segments.list.reduce((sum, { count }) => sum + count, 0);
  }

  /** Takes the weights into the open segment. */
  updateBatch(): void {
    this.checkWeights('update the average');
    this.segments.update(this.weights.variables);
  }

  /** Closes the segment. */
  update(): void {
    this.weights.checkTrained();
    this.segments.close();
  }

  /** Exchanges the weights and the average, by reference; its own inverse. */
  swap(): void {
    const { variables } = this.weights;
    const { list } = this.segments;
    if (list.length === 0) return;
    const swapped = this.window !== null;
    const window = (this.window ??= new Window(list).growTo(Math.ceil(list.length / 2)));
    variables.forEach((variable, i) => exchange(variable, window.averages[i]!));
    setHolder(variables, swapped ? null : this);
    if (swapped) this.forget();
  }

  /** Runs `f` while the model holds the average, after which all is as before, whatever `f` did. */
  async during<T>(f: () => Promise<T>): Promise<T> {
    const held = this.hold();
    this.swap();
    try {
      return await f();
    } finally {
      this.swap(); // nothing, if disposed meanwhile
      held.putBack();
      held.dispose();
    }
  }

  /**
   * Leaves the window with the least score in the model, with the statistics that it had then.
   *
   * @param evaluate Gives the score of what the model holds; of equal ones the longer window is best.
   * @param bnData Batches to re-estimate the statistics of each with; `null`: there are none.
   * @throws Error if every score is NaN, and whatever `evaluate` throws; all is then as before.
   */
  async choose(
    evaluate: () => Promise<number>,
    bnData: BnLoader<unknown> | null,
  ): Promise<{ best: WindowScore; scores: WindowScore[] }> {
    const { weights, segments } = this;
    this.checkWeights('choose');
    setHolder(weights.variables, this);
    try {
      const options = bnData === null ? {} : { bnData };
      const { chosen, scores } = await chooseWindow(
        ...[segments.list, weights, evaluate, options] as const, // prettier-ignore
        () => {},
      );
      chosen.dispose();
      return { best: chosen.score, scores };
    } finally {
      setHolder(weights.variables, null);
    }
  }

  /** What the model holds now, but for some of its weights. */
  hold(but: ReadonlySet<tf.Variable> = new Set()): Held {
    return new Held(this.weights.all.filter((weight) => !but.has(weight)));
  }

  /** Frees what the model does not hold. */
  dispose(): void {
    if (this.window) setHolder(this.weights.variables, null);
    this.forget();
    this.segments.dispose();
  }

  private forget(): void {
    this.window?.dispose();
    this.window = null;
  }

  private checkWeights(action: string): void {
    this.weights.checkAlive();
    checkNotHeld(this.weights.variables, action, this);
  }

  /** `fit` trains what was trainable at compile() (tfjs-layers 4.22, training.ts). */
  private checkCompiled(model: FittedModel): void {
    const { collectedTrainableWeights = [] } = innerOf(model) as {
      collectedTrainableWeights?: readonly { name: string; read(): tf.Tensor }[];
    };
    const averaged = new Set<tf.Tensor>(this.weights.variables);
    const left = collectedTrainableWeights.find((weight) => !averaged.has(weight.read()));
    if (!left) return;
    throw new Error(
      `fit would train ${left.name}, which was frozen since compile(), and not average it: ` +
        'compile the model again',
    );
  }
}
