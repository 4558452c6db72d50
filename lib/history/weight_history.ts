/**
 * The run of a model in averaged segments, of which the best window is chosen when training is over.
 * It knows nothing of optimizers or steps; the caller says when to update.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkInteger, checkKeys } from '../check.js';
import type { LoadReport } from '../state/match_tensors.js';
import type { WeightAverage } from '../state/weight_average.js';
import type { WeightHistoryState } from '../state/weight_history_state.js';
import { Guard } from '../swap/guard.js';
import { TrainedWeights, type TrainedModel } from '../swap/trained_weights.js';
import { checkChoose, chooseWindow, type Choice, type ChooseOptions } from './choose.js';
import type { Chosen } from './chosen.js';
import { planLoad, readState, type HistoryLoadOptions } from './history_state.js';
import { Segments } from './segments.js';
import { readWindow } from './window.js';

/** Options of {@link WeightHistory}. */
export interface WeightHistoryOptions {
  /** How many closed segments are kept at most, an integer >= 2; default 16. */
  maxSegments?: number;
}

/**
 * Keeps the averages of a run in segments (epochs, say), so that where averaging starts is chosen
 * when training is over, by what each start is worth, instead of guessed before. A *window* of k is
 * the last k segments; its average is that of the updates in them, `sum(count * average) /
 * sum(count)`, formed by merging the segments: equal to the average formed directly, to 1e-6.
 *
 * Of a model the float32 weights are averaged that are trainable at construction, each once, by
 * layer; of a list of variables all float32 ones. One average is held a segment. When there are more
 * than `maxSegments`, two neighbours are merged where (the window just longer) / (the window just
 * shorter) is least, so that the lengths of the windows grow by about one factor: with 16, after up
 * to 300 equal segments, every length has a window within a factor of 1.5 of it.
 *
 * @example
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
 * const [xs, ys] = [tf.randomNormal([32, 2]), tf.randomNormal([32, 1])];
 * const history = new WeightHistory(model);
 * await model.fit(xs, ys, {
 *   epochs: 5,
 *   verbose: 0,
 *   callbacks: {
 *     onBatchEnd: async () => history.update(),
 *     onEpochEnd: async () => history.closeSegment(),
 *   },
 * });
 * const loss = () => tf.tidy(() => (model.evaluate(xs, ys) as tf.Scalar).dataSync()[0]);
 * const { window, scores } = await history.choose(loss); // the model holds the best average now
 * console.log(window, scores.length); // one to five, 5
 * history.dispose();
 */
export class WeightHistory {
  private readonly weights: TrainedWeights;
  private readonly parts: Segments;
  private chosen: Chosen | null = null;
  private readonly guard: Guard;
  private warned = false;

  /**
   * @param model A built tfjs-layers model, or a list of variables.
   * @param options How many segments are kept.
   * @throws Error if it is neither or has nothing to average, or an option makes no sense.
   */
  constructor(model: TrainedModel | readonly tf.Variable[], options: WeightHistoryOptions = {}) {
    checkKeys(options, ['maxSegments']);
    const { maxSegments = 16 } = options;
    checkInteger('maxSegments', maxSegments, 2);
    this.parts = new Segments(maxSegments);
    this.weights = new TrainedWeights(model, 'WeightHistory');
    this.guard = new Guard(
      this.weights,
      () => this.swapped,
      () => this.free(),
    );
  }

  /** How many updates each segment holds: the closed ones, oldest first, then the open one. */
  get segments(): readonly { readonly count: number }[] {
    return this.parts.list.map(({ count }) => ({ count }));
  }

  /** Whether the model holds the chosen average. */
  get swapped(): boolean {
    return this.chosen?.swapped ?? false;
  }

  /**
   * Takes the weights of the model into the open segment. What was chosen before is given up.
   *
   * @throws Error while swapped or in the middle of {@link choose}, while another wrapper has swapped
   *   a weight, or if one was disposed or is trainable only since construction.
   */
  update(): void {
    this.guard.checkTraining('update');
    this.guard.checkWeights('update');
    this.weights.checkTrained();
    this.forget();
    this.parts.update(this.weights.variables);
  }

  /**
   * Closes the open segment, at the end of an epoch, say; nothing if it is empty.
   *
   * @throws Error while swapped or in the middle of {@link choose}.
   */
  closeSegment(): void {
    this.guard.checkTraining('close a segment');
    this.parts.close();
  }

  /**
   * Puts the average of each window into the model in turn, from the newest segment backwards, and
   * leaves the best one there, with its statistics; {@link swapped} is true then. Each window is
   * evaluated with the statistics that the model had before, or that `bnData` gives it; without that
   * a model with batch normalization is warned of once. What `evaluate` does to the weights is undone.
   * With a list of variables the statistics of batch normalization stay, or come back to, what they
   * were: re-estimate them with {@link updateBn} afterwards.
   *
   * @param evaluate Gives the score of the weights that the model holds, on validation data: a number,
   *   lower is better. Ties go to the longer window, NaN is worst.
   * @param options The data for batch normalization, and what is told of each window.
   * @returns The best window, the updates in it, its score, and the scores of all.
   * @throws Error without updates, while swapped or in the middle of another call, for a `bnData` that
   *   can be read only once, if every score is NaN, and whatever `evaluate`, the data or `onWindow`
   *   throws; weights, statistics and what was chosen before are then as they were.
   */
  async choose(
    evaluate: () => number | Promise<number>,
    options: ChooseOptions = {},
  ): Promise<Choice> {
    const { weights, parts, guard } = this;
    checkChoose(weights, evaluate, options);
    guard.checkTraining('choose');
    guard.checkWeights('choose');
    if (parts.list.length === 0) throw new Error('Cannot choose: call update() first');
    if (options.bnData === undefined && weights.hasNormalization && !this.warned) {
      this.warned = true;
      console.warn(
        'WeightHistory: without bnData each window is evaluated with moving statistics of batch ' +
          'normalization that do not fit its average',
      );
    }
    return guard.run('choose()', async () => {
      const checkGoOn = () => guard.checkUsable();
      const found = await chooseWindow(parts.list, weights, evaluate, options, checkGoOn);
      this.forget();
      this.chosen = found.chosen;
      return { ...found.chosen.score, scores: found.scores };
    });
  }

  /**
   * Exchanges the weights and the chosen average, and the moving statistics with it; its own inverse.
   *
   * @throws Error before {@link choose} or after a later update, in the middle of a call of it, or if
   *   another wrapper has swapped one of the weights.
   */
  swap(): void {
    const { chosen, guard } = this;
    guard.checkIdle('swap');
    if (!chosen) throw new Error('Cannot swap: nothing was chosen since the last update');
    if (!chosen.swapped) guard.checkWeights('swap');
    chosen.swap();
    guard.hold(chosen.swapped);
  }

  /**
   * The average of a window as plain data, of the moment of the call: of what is averaged, by the
   * path of its layer or the variable's name.
   *
   * @param window How many segments, from the newest backwards.
   * @throws Error if there are not so many.
   */
  async average(window: number): Promise<WeightAverage> {
    this.guard.checkUsable();
    return readWindow(this.parts.list, window, this.weights.averaged);
  }

  /** Segments and what was chosen as plain data, copies, of the moment of the call. */
  async stateDict(): Promise<WeightHistoryState> {
    this.guard.checkIdle('save the state');
    return readState(this.weights, this.parts.list, this.parts.isOpen, this.chosen);
  }

  /**
   * Takes over a saved state in place of this one's: by name where all names match and are more than
   * tfjs's own numbers, else by position where the number, shapes and dtypes of the weights agree. The
   * weights themselves are the model's to load; of a state that was swapped they are the chosen average,
   * and {@link swap} brings back those of training. More segments than `maxSegments` are merged.
   *
   * @param options `strict` false takes by name alone what fits and reports the rest; the average of a
   *   weight without an entry begins with the next update.
   * @returns The names of what is missing, unexpected and of another shape or dtype; without `strict`
   *   false none.
   * @throws Error that says what is wrong or lists what does not fit, and while swapped for a state
   *   that was not; nothing has changed then.
   */
  async loadStateDict(
    state: WeightHistoryState,
    options: HistoryLoadOptions = {},
  ): Promise<LoadReport> {
    const { guard, weights, parts } = this;
    guard.checkIdle('load a state');
    const { swapped, report, make } = planLoad(weights, state, options);
    if (this.swapped && !swapped) {
      throw new Error('Cannot load a state that was not swapped while swapped: call swap() first');
    }
    guard.checkWeights('load a state');
    const { segments, open, chosen } = make();
    this.forget();
    this.chosen = chosen;
    parts.replace(segments, open);
    if (swapped) guard.hold(true);
    return report;
  }

  /**
   * Frees all that is kept; the model keeps what it holds. In the middle of {@link choose} that fails
   * first, and the weights come back.
   */
  dispose(): void {
    this.guard.dispose();
  }

  private free(): void {
    if (this.swapped) this.guard.hold(false);
    this.parts.dispose();
    this.forget();
  }

  /** Gives up what was chosen. */
  private forget(): void {
    this.chosen?.dispose();
    this.chosen = null;
  }
}
