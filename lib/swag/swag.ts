/**
 * SWAG: a Gaussian over the weights of a run, samples of it in place of the weights, and what they
 * predict. It knows nothing of optimizers or steps; the caller says when to update.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Guard } from '../swap/guard.js';
import { placeValues, type Placed } from '../swap/placed.js';
import { TrainedWeights, type TrainedModel } from '../swap/trained_weights.js';
import { Gaussian } from './gaussian.js';
import { mergeStates } from './merge.js';
import {
  checkPredict,
  predictSamples,
  type SWAGPrediction,
  type SWAGPredictOptions,
} from './predict.js';
import { checkOptions, checkSample, type SWAGOptions, type SWAGSampleOptions } from './options.js';
import { planLoad, readState, type SWAGStateDict } from './swag_state.js';

/**
 * Says how sure a model is, from one run at no extra training: it fits a Gaussian to the weights that
 * the run passes, and predicts with samples of it (SWA-Gaussian; Maddox et al. 2019, arXiv
 * 1902.02476, Algorithm 1). A sample is
 *
 * `theta = mean + sqrt(scale) (sigma z1 + D z2 / sqrt(K - 1))`
 *
 * with standard normal `z1` and `z2`; `sigma^2 = M2 / count` is the variance of each weight over all
 * updates, by Welford's second moment, and the K columns of D are the last updates' deviations, each
 * from the mean after its update. (The paper's formula has the scale 0.5, its SWAG-Diagonal 1.)
 *
 * Update once an epoch, or oftener, in the second part of a run whose rate is constant and high. Of a
 * model the float32 weights count that are trainable at construction, each once, by layer; of a list
 * of variables all float32 ones. Memory beside the weights: 2 copies and one for each deviation, one
 * more while {@link swapped}.
 *
 * @example
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
 * const swag = new SWAG(model);
 * await model.fit(tf.randomNormal([32, 2]), tf.randomNormal([32, 1]), {
 *   epochs: 10,
 *   verbose: 0,
 *   callbacks: { onEpochEnd: async () => swag.update() },
 * });
 * const { mean, std } = await swag.predict(tf.ones([4, 2]), { samples: 10, seed: 1 });
 * std.print(); // how far the samples are apart, for each of the four
 * swag.dispose();
 */
export class SWAG {
  private readonly weights: TrainedWeights;
  private readonly gaussian: Gaussian;
  private readonly guard: Guard;
  private placed: Placed | null = null;

  /**
   * @param model A built tfjs-layers model, or a list of variables.
   * @param options How many deviations are kept.
   * @throws Error if it is neither or has nothing to average, or an option makes no sense.
   */
  constructor(model: TrainedModel | readonly tf.Variable[], options: SWAGOptions = {}) {
    this.gaussian = new Gaussian(checkOptions(options).maxRank);
    this.weights = new TrainedWeights(model, 'SWAG');
    this.guard = new Guard(
      this.weights,
      () => this.swapped,
      () => this.free(),
    );
  }

  /** How many updates it holds. */
  get count(): number {
    return this.gaussian.count;
  }

  /** How many deviations it holds, the K of the formula. */
  get rank(): number {
    return this.gaussian.deviations.length;
  }

  /** Whether the model holds the mean or a sample. */
  get swapped(): boolean {
    return this.placed?.swapped ?? false;
  }

  /**
   * Takes the weights of the model in. What was put in place before is given up.
   *
   * @throws Error while swapped or in the middle of {@link predict}, while another wrapper has swapped
   *   a weight, or if one was disposed or is trainable only since construction.
   */
  update(): void {
    this.guard.checkTraining('update');
    this.guard.checkWeights('update');
    this.weights.checkTrained();
    this.forget();
    this.gaussian.update(this.weights.variables);
  }

  /**
   * Puts the mean of the updates into the model, which is SWA's average; {@link swap} takes it out.
   * Moving statistics of batch normalization are those of training: call {@link updateBn} afterwards.
   *
   * @throws Error before the first update, in the middle of {@link predict}, and as {@link update} for
   *   weights that are gone or another's.
   */
  mean(): void {
    this.checkReady('take the mean', 1);
    this.place(this.gaussian.moments!.means);
  }

  /**
   * Puts a sample into the model as {@link mean} does the mean, in place of an earlier one too. The
   * random numbers come from `tf.randomNormal`, for each weight by a seed that follows from `seed`.
   *
   * @throws Error before the second update, for an option that makes no sense, and as {@link mean}.
   */
  sample(options: SWAGSampleOptions = {}): void {
    const draw = checkSample(options);
    this.checkReady('sample', 2);
    const values = this.gaussian.draw(draw);
    this.place(values);
    tf.dispose(values);
  }

  /**
   * Exchanges the weights and what {@link mean} or {@link sample} put in their place, and the moving
   * statistics with them; its own inverse.
   *
   * @throws Error where nothing was put in place since the last update, in the middle of
   *   {@link predict}, or if another wrapper has swapped one of the weights.
   */
  swap(): void {
    const { placed, guard } = this;
    guard.checkIdle('swap');
    if (!placed) throw new Error('Cannot swap: call mean() or sample() first');
    if (!placed.swapped) guard.checkWeights('swap');
    placed.swap();
    guard.hold(placed.swapped);
  }

  /**
   * Predicts with samples of the weights, and gives mean and standard deviation of what they predict
   * (a Bayesian model average): of a classifier the mean has the probabilities. Batch normalization
   * is re-estimated for every sample. In memory is one sample, and two values for each output; the
   * model is as before afterwards, swapped or not. By a seed the samples are the same on every backend
   * and for any `batchSize`, and the first ones those of a call with fewer.
   *
   * @param xs Inputs, as `model.predict` takes them: a tensor or a list, examples along the first axis.
   * @returns Two tensors of the shape of the output, float32 and the caller's to dispose of; lists of
   *   such where the model has several outputs.
   * @throws Error before the second update, for a list of variables, an option that makes no sense,
   *   batch normalization without `bnData`, and whatever the model, the data or `onSample` throws.
   */
  async predict<T extends tf.Tensor | tf.Tensor[] = tf.Tensor>(
    xs: tf.Tensor | tf.Tensor[],
    options: SWAGPredictOptions = {},
  ): Promise<SWAGPrediction<T>> {
    const { guard, weights, gaussian } = this;
    const checked = checkPredict(weights, xs, options);
    this.checkReady('predict', 2);
    const prediction = await guard.run('predict()', () =>
      predictSamples(weights, gaussian, xs, checked, () => guard.checkUsable()),
    );
    return prediction as SWAGPrediction<T>;
  }

  /** All that it holds as plain data, copies, of the moment of the call. */
  async stateDict(): Promise<SWAGStateDict> {
    this.guard.checkIdle('save the state');
    return readState(this.weights, this.gaussian, this.placed);
  }

  /**
   * Takes over a saved state in place of this one's: by name where all names match and are more than
   * tfjs's own numbers, else by position where number, shapes and dtypes of the weights agree. Of more
   * deviations than `maxRank` the newest are taken. The model's own weights are for the caller to load;
   * of a state that was swapped they are the mean or sample, and {@link swap} brings back the others.
   *
   * @throws Error that says what is wrong or lists what does not fit, and while swapped for a state
   *   that was not; nothing has changed then.
   */
  async loadStateDict(state: SWAGStateDict): Promise<void> {
    const { guard, weights, gaussian } = this;
    guard.checkIdle('load a state');
    const { swapped, make } = planLoad(weights, state);
    if (this.swapped && !swapped) {
      throw new Error('Cannot load a state that was not swapped while swapped: call swap() first');
    }
    guard.checkWeights('load a state');
    const { moments, deviations, placed } = make();
    this.forget();
    this.placed = placed;
    gaussian.replace(moments, deviations);
    if (swapped) guard.hold(true);
  }

  /**
   * Frees all that is kept; the model keeps what it holds. In the middle of {@link predict} that fails
   * first, and the weights come back.
   */
  dispose(): void {
    this.guard.dispose();
  }

  /**
   * Merges the states of several runs, workers' say: mean and variance are those of all their updates
   * (Chan et al. 1979, eq. 2.1, in float64). Of each of K states the newest `floor(max_rank / K)`
   * deviations are kept, `max_rank` being the first one's, from their own run's mean as they are: what
   * sets the runs apart is in the variance alone.
   *
   * @throws Error without states, for one without updates, and a list of what does not fit.
   *
   * @example
   * const w = tf.variable(tf.tensor1d([1]));
   * const [one, other] = [new SWAG([w]), new SWAG([w])];
   * one.update();
   * w.assign(tf.tensor1d([4]));
   * other.update();
   * const { mean, m2 } = SWAG.merge([await one.stateDict(), await other.stateDict()]);
   * console.log(mean[0]!.values[0], m2[0]!.values[0]); // (1 + 4) / 2, 1.5^2 + 1.5^2 = 4.5
   */
  static merge(states: Iterable<SWAGStateDict>): SWAGStateDict {
    return mergeStates(states);
  }

  private checkReady(action: string, least: number): void {
    this.guard.checkIdle(action);
    this.guard.checkWeights(action);
    if (this.count >= least) return;
    const needed = least === 1 ? 'an update()' : `${least} updates, for a variance`;
    throw new Error(`Cannot ${action} after ${this.count} updates: it needs ${needed}`);
  }

  private place(values: readonly tf.Tensor[]): void {
    this.placed = placeValues(this.weights, values, this.placed);
    this.guard.hold(true);
  }

  /** Gives up what was put in place. */
  private forget(): void {
    this.placed?.dispose();
    this.placed = null;
  }

  private free(): void {
    if (this.swapped) this.guard.hold(false);
    this.gaussian.dispose();
    this.forget();
  }
}
