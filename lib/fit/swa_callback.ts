/**
 * A callback for tfjs-layers' `fit` and `fitDataset`: it averages the weights at the ends of epochs
 * and sets keras-swa's learning rates. It meets models and layers by their shape alone, and knows
 * nothing of steps or parameter groups.
 */
import { checkOptions, type SwaCallbackOptions } from './callback_options.js';
import type { FittedModel } from './fitted_model.js';
import { Run } from './run.js';

/** What {@link swaCallback} makes; tfjs-layers calls its methods. */
export interface SwaCallback {
  /** Takes the number of epochs and batches. */
  setParams(params: object): void;
  /** Takes the model that is fitted. */
  setModel(model: object): void;
  /** Checks all, before anything changes. */
  onTrainBegin(logs?: unknown): Promise<void>;
  /** Sets the rate of the epoch, and the averages in the forward pass. */
  onEpochBegin(epoch: number, logs?: unknown): Promise<void>;
  /** Sets the rate of the batch. */
  onBatchBegin(batch: number, logs?: unknown): Promise<void>;
  /** Averages the batch, with 'auto', or keeps the averages in place in the forward pass. */
  onBatchEnd(batch: number, logs?: unknown): Promise<void>;
  /** Averages, evaluates the averages, and adds what comes out to the logs. */
  onEpochEnd(epoch: number, logs?: object): Promise<void>;
  /** Leaves the averages in the model, with 'auto' those of the best window. */
  onTrainEnd(logs?: unknown): Promise<void>;
  /** Frees the averages of a `fit` that has not ended, and puts back what was changed for it. */
  dispose(): void;
}

/**
 * Makes a callback after which a model that was trained with `fit` or `fitDataset` holds the equal
 * average of its weights over epochs: `average += (weight - average) / (n + 1)` at the end of epoch
 * `startEpoch` and of every `swaFreq`-th after it (Izmailov et al. 2018, arXiv 1803.05407,
 * Algorithm 1; after keras-swa). The first of them copies. Everything is averaged, as there,
 * the moving statistics of batch normalization included, until those are re-estimated.
 *
 * **Learning rate.** With `s = startEpoch - 1` and epochs counted from 0, 'constant' sets at the
 * begin of each epoch the optimizer's own rate as long as `epoch / s <= 0.5`, then a straight line
 * down to `swaLr` at `epoch / s = 0.9`, and `swaLr` from there on. 'cyclic' does the same before
 * epoch s; from s on it sets at the begin of each batch the paper's {@link cyclic} rate
 * (section 3.1), from `swaLr2` down to `swaLr` in `swaFreq` epochs. As in keras-swa the average is
 * taken after the first epoch of each cycle (in the paper after its last). The rates used come in
 * the history under `lr`: an epoch each, or with 'cyclic' a batch each. 'manual' leaves the rate
 * alone. When training has ended the optimizer has the rate that it had before (keras-swa leaves
 * the last), unless it was set to another meanwhile. All parameter groups of an SWA get the rate.
 *
 * **Batch normalization** has other statistics under averaged weights. With `bnData` they are
 * re-estimated by {@link updateBn} after the last epoch, exactly. Without it the last epoch is a
 * forward pass, as in keras-swa: on the averages, at a rate of 0, the statistics starting anew and
 * becoming the mean of those of its batches, each batch counting the same. (A layer that is applied
 * at several places of a model counts the last most: give `bnData`.) Layers with `trainable` false
 * are left with the averages of their statistics, and cause no such epoch.
 *
 * **Validation.** With `validationData` the average is evaluated after every epoch that has one, in
 * the model, with its batch normalization re-estimated with `bnData` (required where there is some);
 * weights and statistics are put back, so training is what it is without. What comes out stands
 * under `swa_val_loss` and `swa_val_METRIC` in the logs of the epoch, for callbacks behind this one,
 * and in the history, where it begins with the first average. With `keepBest` the model ends with
 * the average of the least `swa_val_loss` and the statistics that it was evaluated with; of equal
 * ones it is the first, and NaN is worse than any. So that tfjs's own `earlyStopping` can watch
 * them behind this callback, this one is wrapped: `callbacks: [new tf.CustomCallback(swa),
 * tf.callbacks.earlyStopping({ monitor: 'swa_val_loss' })]`.
 *
 * **The start, chosen.** With `startEpoch: 'auto'` every batch is averaged, each epoch in a segment
 * of its own as in a {@link WeightHistory}, and after the last epoch, also of a training that was
 * stopped, the window with the least validation loss stays in the model, with its statistics; with
 * `verbose` 1 a table tells what each was worth. The `swa_val_*` of an epoch are meanwhile those of
 * the last half of the segments, rounded up. `validationData` is required; `keepBest`, `swaFreq`,
 * `avgFn` and a schedule of rates, which is laid out by `startEpoch`, make no sense there. What is
 * trainable is averaged. Up to 17 copies of the weights are held while training, two more in the
 * choice, which takes an evaluation for each of up to 16 windows.
 *
 * **Early stopping.** A request to stop that this callback sees at the end of an epoch is granted
 * one epoch later if a forward pass is still due. So without `bnData` list this callback last. (tfjs's own
 * `earlyStopping` has to be first in the list anyway: behind a callback that is a plain object, as
 * this one is, tfjs-layers 4.22 breaks it, base_callbacks.ts, `standardizeCallbacks`.) If no more
 * epoch can follow, a warning asks for `bnData`; if no average was made yet, the weights stay as
 * they are, with a warning.
 *
 * A resumed training, with `initialEpoch`, averages the epochs that it runs itself.
 *
 * **A `fit` that fails** leaves the rate, the layers' momentum and the tensors as they were before,
 * and the weights as training left them, also from within a forward pass. Of the end of a fit the
 * callback is told by the model's field `isTraining`; where that is missing, {@link
 * SwaCallback.dispose} does the same, or the begin of the next fit.
 *
 * @param model The model that is going to be fitted, compiled by then.
 * @param options When to average and what rates to set: {@link SwaCallbackOptions}.
 * @returns The callback, for one `fit` after another; each starts anew.
 * @throws Error `Invalid NAME: VALUE (expected ...)`, and for options of which one requires or excludes
 *   another. What depends on the optimizer or the number
 *   of epochs is thrown by `fit`, before it has changed anything: `startEpoch` not before the last
 *   epoch, `swaLr` above the optimizer's rate, a rate that cannot be set.
 *
 * @example
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
 * const swa = swaCallback(model, { startEpoch: 3, lrSchedule: 'constant', swaLr: 0.01 });
 * await model.fit(tf.ones([8, 2]), tf.ones([8, 1]), { epochs: 6, verbose: 0, callbacks: [swa] });
 * // model now holds the average of the weights after epochs 3, 4, 5 and 6
 *
 * @example
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
 * const validationData = [tf.ones([4, 2]), tf.ones([4, 1])] as const;
 * const swa = swaCallback(model, { startEpoch: 'auto', validationData, verbose: 1 });
 * await model.fit(tf.ones([8, 2]), tf.ones([8, 1]), { epochs: 6, verbose: 0, callbacks: [swa] });
 * // model now holds the average of all batches of the last so many epochs that suit it best
 *
 * @see keras-swa, https://github.com/simon-larsson/keras-swa
 */
export function swaCallback(model: FittedModel, options: SwaCallbackOptions): SwaCallback {
  const settings = checkOptions(model, options);
  let run: Run | null = null;
  const release = (): void => {
    run?.release();
    run = null;
  };
  return {
    setParams(this: Hooks, params) {
      this.params = params;
    },
    setModel() {
      // It is known already.
    },
    // A plain object's functions become methods of a callback of tfjs's, which has the parameters
    // of `fit` (tfjs-layers 4.22, base_callbacks.ts, `CustomCallback`): so `this` may be that one.
    async onTrainBegin(this: Hooks) {
      release();
      run = new Run(model, settings, this.params);
    },
    async onEpochBegin(epoch) {
      run?.epochBegin(epoch);
    },
    async onBatchBegin() {
      run?.batchBegin();
    },
    async onBatchEnd() {
      run?.batchEnd();
    },
    async onEpochEnd(epoch, logs) {
      await run?.epochEnd(epoch, logs ?? {});
    },
    async onTrainEnd() {
      const ended = run;
      run = null;
      await ended?.trainEnd();
    },
    dispose: release,
  };
}

/** Where tfjs-layers leaves the parameters of `fit`. */
interface Hooks {
  params?: object;
}
