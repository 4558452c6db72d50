/**
 * A callback for tfjs-layers' `fit` and `fitDataset`: it averages the weights at the ends of epochs
 * and sets keras-swa's learning rates. It meets models and layers by their shape alone, and knows
 * nothing of steps or parameter groups.
 */
import * as tf from '@tensorflow/tfjs-core';
import { startAverage, swaAvgFn, updateAverages } from '../average/average.js';
import { checkLoader, type BnLoader } from '../batchnorm/batches.js';
import { updateBn } from '../batchnorm/update_bn.js';
import { layersOf, type LayerWeight } from '../model/layers.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import { LiveRate, rateAt, ratesOf, type Rates, type RateSettings } from './callback_rates.js';

/** What {@link swaCallback} needs of a tfjs-layers model: Sequential or functional. */
export interface FittedModel {
  /** All weights, trainable or not. */
  readonly weights: readonly { read(): tf.Tensor }[];
  /** What `compile` was given. */
  readonly optimizer?: tf.Optimizer | undefined;
  /** Set by a callback that ends training after the epoch. */
  stopTraining: boolean;
}

/** Options of {@link swaCallback}. */
export interface SwaCallbackOptions {
  /** The first epoch whose weights are averaged, counted from 1; an integer >= 2. */
  startEpoch: number;
  /** Who sets the learning rate: 'manual' (the default) leaves it to others. */
  lrSchedule?: 'manual' | 'constant' | 'cyclic';
  /** The rate of the averaged phase, from 0 to the optimizer's; default, 'auto': a tenth of it. */
  swaLr?: number | 'auto';
  /** Where a cycle starts, >= `swaLr`; default, 'auto': a quarter of the way to the initial rate. */
  swaLr2?: number | 'auto';
  /** Epochs from one averaging to the next, and of a cycle; an integer >= 1, cyclic >= 2. */
  swaFreq?: number;
  /** Batches to re-estimate batch normalization with, as {@link updateBn} takes them. */
  bnData?: BnLoader<unknown>;
  /** 1 tells with `console.log` what happens when; default 0. */
  verbose?: 0 | 1;
}

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
  /** Keeps the averages in place in the forward pass. */
  onBatchEnd(batch: number, logs?: unknown): Promise<void>;
  /** Averages. */
  onEpochEnd(epoch: number, logs?: unknown): Promise<void>;
  /** Leaves the averages in the model. */
  onTrainEnd(logs?: unknown): Promise<void>;
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
 * **Early stopping.** A request to stop that this callback sees at the end of an epoch is granted
 * one epoch later if a forward pass is still due. So list this callback last. (tfjs's own
 * `earlyStopping` has to be first in the list anyway: behind a callback that is a plain object, as
 * this one is, tfjs-layers 4.22 breaks it, base_callbacks.ts, `standardizeCallbacks`.) If no more
 * epoch can follow, a warning asks for `bnData`; if no average was made yet, the weights stay as
 * they are, with a warning.
 *
 * A resumed training, with `initialEpoch`, averages the epochs that it runs itself.
 *
 * @param model The model that is going to be fitted, compiled by then.
 * @param options When to average and what rates to set: {@link SwaCallbackOptions}.
 * @returns The callback, for one `fit` after another; each starts anew.
 * @throws Error `Invalid NAME: VALUE (expected ...)`. What depends on the optimizer or the number
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
 * @see keras-swa, https://github.com/simon-larsson/keras-swa
 */
export function swaCallback(model: FittedModel, options: SwaCallbackOptions): SwaCallback {
  const settings = checkOptions(model, options);
  let run: Run | null = null;
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
      run?.release();
      run = null;
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
    async onEpochEnd(epoch) {
      run?.epochEnd(epoch);
    },
    async onTrainEnd() {
      const ended = run;
      run = null;
      await ended?.trainEnd();
    },
  };
}

/** Where tfjs-layers leaves the parameters of `fit`. */
interface Hooks {
  params?: object;
}

/** The options, checked; epochs are counted from 0 from here on. */
interface Settings extends RateSettings {
  readonly bnData: BnLoader<unknown> | null;
  readonly say: (message: string) => void;
}

/** A weight and its running average. */
interface Averaged {
  readonly weight: tf.Variable;
  readonly average: tf.Variable;
}

/** tfjs-layers' BatchNormalization. */
interface BnLayer {
  movingMean: LayerWeight;
  movingVariance: LayerWeight;
  momentum: number;
}

/** One call of `fit`: from its begin to its end, or to the next one's begin if it failed. */
class Run {
  private readonly model: FittedModel;
  private readonly settings: Settings;
  private readonly epochs: number;
  private readonly rates: Rates | null;
  private readonly bnLayers: readonly BnLayer[];
  /** The optimizer's rate as it was, and what this run has made of it; `null`: nothing to set. */
  private rate: LiveRate | null = null;
  /** The averages; none before the first is due. */
  private averages: Averaged[] = [];
  /** How many values the averages hold. */
  private count = 0;
  /** The epoch that is, or would be, a forward pass for the statistics. */
  private forwardEpoch: number | null;
  /** The forward pass has begun, in the last epoch that is run. */
  private forward = false;
  /** The forward pass has given new statistics. */
  private forwardDone = false;
  /** Those of the layers, while a batch of the forward pass has them changed. */
  private momenta: number[] = [];
  /** Training was to stop before the forward pass. */
  private stopAfterForward = false;
  /** Batches an epoch, as far as it is known. */
  private steps: number | null;
  private epoch: number | null = null;
  /** Batches of this epoch that have begun. */
  private batches = 0;
  private announced = false;
  private readonly history: number[] = [];

  constructor(model: FittedModel, settings: Settings, params: object | undefined) {
    const { start, bnData, lrSchedule, say } = settings;
    const { optimizer } = model;
    if (optimizer == null) throw new Error('The model has no optimizer: compile it first');
    // By hand, or for a model that shows no such field, there is nothing to check.
    if ((innerOf(model) as { isTraining?: boolean }).isTraining === false) throw otherModel();
    const { epochs, steps, samples, batchSize } = (params ?? {}) as Record<string, unknown>;
    if (typeof epochs !== 'number') {
      throw new Error('The number of epochs is unknown: hand the callback itself to fit()');
    }
    if (start >= epochs - 1) {
      invalid('startEpoch', start + 1, `an integer below the number of epochs, ${epochs}`);
    }
    this.bnLayers = layersOf(model).flatMap(({ layer, frozen }) => {
      const bn = layer as object as BnLayer;
      const live = layer.getClassName() === 'BatchNormalization' && !frozen && bn.movingMean;
      return live ? [bn] : [];
    });
    this.forwardEpoch = this.bnLayers.length > 0 && bnData === null ? epochs - 1 : null;
    if (lrSchedule !== 'manual') {
      this.rate = new LiveRate(optimizer, `the rate of lrSchedule '${lrSchedule}'`);
    } else if (this.forwardEpoch !== null) {
      this.rate = new LiveRate(optimizer, 'a rate of 0 for the last epoch (or give bnData)');
    }
    this.rates = lrSchedule === 'manual' ? null : ratesOf(settings, this.rate!.initial);
    if (typeof steps === 'number') this.steps = steps;
    else if (typeof samples === 'number' && typeof batchSize === 'number') {
      this.steps = Math.ceil(samples / batchSize);
    } else this.steps = null;
    this.model = model;
    this.settings = settings;
    this.epochs = epochs;
    if (this.forwardEpoch !== null) {
      say('Batch normalization: the last epoch will be a forward pass at a learning rate of 0');
    }
  }

  epochBegin(epoch: number): void {
    const { start, lrSchedule, say } = this.settings;
    if (this.epoch === null) this.checkFirst(epoch);
    this.steps ??= this.batches || null;
    if (lrSchedule === 'cyclic' && epoch >= start && this.steps === null) {
      throw new Error(
        "The batches of an epoch are unknown, which lrSchedule 'cyclic' needs: give " +
          'batchesPerEpoch, or begin before startEpoch, so that they are counted',
      );
    }
    this.epoch = epoch;
    this.batches = 0;
    if (lrSchedule === 'constant') this.setScheduled(epoch);
    if (epoch === this.forwardEpoch) {
      this.beginForward(epoch);
    } else if (epoch >= start && !this.announced) {
      this.announced = true;
      say(`Epoch ${epoch + 1}: the averaging of weights starts`);
    }
  }

  batchBegin(): void {
    this.batches += 1;
    if (this.settings.lrSchedule === 'cyclic') this.setScheduled(this.epoch!);
    if (!this.forward) return;
    this.rate!.set(0);
    if (this.batches === 1) this.resetStatistics();
    // The mean over batches: 1 / n of the n-th batch is taken, and tfjs's momentum is what is kept.
    this.momenta = this.bnLayers.map(({ momentum }) => momentum);
    for (const layer of this.bnLayers) layer.momentum = (this.batches - 1) / this.batches;
  }

  batchEnd(): void {
    if (!this.forward) return;
    this.restoreMomenta();
    // A momentum term moves the weights at a rate of 0 too (tfjs-core 4.22, rmsprop_optimizer.ts).
    this.putAverages();
  }

  epochEnd(epoch: number): void {
    if (this.forward) {
      this.forwardDone = this.batches > 0;
      if (this.stopAfterForward) this.model.stopTraining = true;
      return;
    }
    if (this.isDue(epoch)) this.average();
    if (this.forwardEpoch !== null && this.count > 0 && this.model.stopTraining) {
      this.model.stopTraining = false;
      this.forwardEpoch = epoch + 1;
      this.stopAfterForward = true;
    }
  }

  async trainEnd(): Promise<void> {
    const { bnData, say } = this.settings;
    try {
      const { history } = innerOf(this.model) as { history?: { history: Record<string, unknown> } };
      if (history && this.history.length > 0) history.history['lr'] = this.history;
      if (this.count === 0) {
        console.warn('swaCallback: training ended before an average was due; the weights stay');
        return;
      }
      this.putAverages();
      if (!this.forwardDone) say('The weights are set to their averages');
      if (this.bnLayers.length === 0) return;
      if (bnData !== null) {
        say('Batch normalization: the statistics are re-estimated with bnData');
        await updateBn(bnData, this.model);
      } else if (!this.forwardDone) {
        console.warn(
          'swaCallback: training ended without the forward pass for batch normalization, whose ' +
            'moving statistics are averages now; give bnData, or list this callback last',
        );
      }
    } finally {
      this.release();
    }
  }

  /** Frees what the run holds, and puts back what it has changed but the weights. */
  release(): void {
    this.restoreMomenta();
    this.rate?.restore();
    tf.dispose(this.averages.map(({ average }) => average));
    this.averages = [];
  }

  private isDue(epoch: number): boolean {
    const { start, swaFreq } = this.settings;
    return epoch >= start && (epoch - start) % swaFreq === 0;
  }

  /** With `initialEpoch`, which `fitDataset` does not tell, no epoch may be left to average. */
  private checkFirst(first: number): void {
    const last = this.forwardEpoch === null ? this.epochs - 1 : this.epochs - 2;
    for (let epoch = first; epoch <= last; epoch++) if (this.isDue(epoch)) return;
    const { start, swaFreq } = this.settings;
    throw new Error(
      `None of the epochs from ${first + 1} to ${last + 1} is averaged: every ${swaFreq}. is, ` +
        `from startEpoch ${start + 1} on`,
    );
  }

  private setScheduled(epoch: number): void {
    const { settings, rates, steps, batches } = this;
    const rate =
      epoch === this.forwardEpoch ? 0 : rateAt(settings, rates!, epoch, batches - 1, steps);
    this.rate!.set(rate);
    this.history.push(rate);
  }

  private average(): void {
    if (this.count === 0) {
      const weights = new Set(this.model.weights.map((weight) => weight.read() as tf.Variable));
      for (const weight of weights) {
        // Integer state stays the model's latest.
        if (weight.dtype !== 'float32') continue;
        this.averages.push({ weight, average: startAverage(weight) });
      }
    } else {
      const buffers = this.averages.map(({ average }) => average);
      const values = this.averages.map(({ weight }) => weight);
      updateAverages(buffers, values, this.count, swaAvgFn());
    }
    this.count += 1;
  }

  /** Gives the weights their averages, by reference; not the statistics that were re-estimated. */
  private putAverages(): void {
    const kept = this.forward ? this.statistics() : new Set();
    for (const { weight, average } of this.averages) if (!kept.has(weight)) weight.assign(average);
  }

  private statistics(): Set<tf.Variable> {
    return new Set(
      this.bnLayers.flatMap((layer) => [layer.movingMean.read(), layer.movingVariance.read()]),
    );
  }

  private beginForward(epoch: number): void {
    const { settings } = this;
    this.putAverages();
    settings.say(`Epoch ${epoch + 1}: the weights are set to their averages`);
    settings.say(`Epoch ${epoch + 1}: a forward pass, for new batch-normalization statistics`);
    // Others may have changed the rate until now.
    if (settings.lrSchedule === 'manual') this.rate = new LiveRate(this.model.optimizer!, '');
    this.forward = true;
  }

  /**
   * To 0, the variance too, which in keras-swa is 1: the first batch replaces it, exactly only from
   * 0 (tfjs-layers 4.22, normalization.ts, `doMovingAverage`). An epoch without batches keeps it.
   */
  private resetStatistics(): void {
    for (const statistic of this.statistics()) {
      tf.tidy(() => statistic.assign(tf.zerosLike(statistic)));
    }
  }

  private restoreMomenta(): void {
    this.momenta.forEach((momentum, i) => (this.bnLayers[i]!.momentum = momentum));
    this.momenta = [];
  }
}

function checkOptions(model: unknown, options: SwaCallbackOptions): Settings {
  if (!Array.isArray((model as Partial<FittedModel> | null | undefined)?.weights)) {
    invalid('model', model, 'a tfjs-layers model');
  }
  if (options === null || typeof options !== 'object') {
    invalid('options', options, 'an object with startEpoch');
  }
  checkKeys(options, KEYS);
  const { lrSchedule = 'manual', swaFreq = 1, bnData = null, verbose = 0 } = options;
  const start = checkInteger('startEpoch', options.startEpoch, 2) - 1;
  if (!['manual', 'constant', 'cyclic'].includes(lrSchedule)) {
    invalid('lrSchedule', lrSchedule, "'manual', 'constant' or 'cyclic'");
  }
  if (lrSchedule === 'cyclic') checkInteger('swaFreq', swaFreq, 2, " with lrSchedule 'cyclic'");
  else checkInteger('swaFreq', swaFreq, 1);
  const swaLr = checkRate('swaLr', options.swaLr);
  const swaLr2 = checkRate('swaLr2', options.swaLr2);
  if (swaLr2 !== null && swaLr === null) {
    invalid('swaLr2', swaLr2, "'auto' as long as swaLr is 'auto'");
  }
  if (lrSchedule === 'cyclic' && swaLr !== null && swaLr2 !== null && swaLr > swaLr2) {
    invalid('swaLr', swaLr, `at most swaLr2, ${swaLr2}`);
  }
  if (bnData !== null) checkLoader(bnData, 'bnData');
  if (verbose !== 0 && verbose !== 1) invalid('verbose', verbose, '0 or 1');
  const unused = {
    swaLr: lrSchedule === 'manual' && swaLr,
    swaLr2: lrSchedule !== 'cyclic' && swaLr2,
  };
  for (const [name, value] of Object.entries(unused)) {
    if (typeof value === 'number') {
      console.warn(`swaCallback: lrSchedule is '${lrSchedule}', ignoring ${name}`);
    }
  }
  const say = verbose === 1 ? (message: string) => console.log(message) : () => {};
  return { start, lrSchedule, swaLr, swaLr2, swaFreq, bnData, say };
}

const KEYS = ['startEpoch', 'lrSchedule', 'swaLr', 'swaLr2', 'swaFreq', 'bnData', 'verbose'];

function checkRate(name: string, value: unknown): number | null {
  if (value == null || value === 'auto') return null;
  return checkNumber(name, value, 0, "a finite number >= 0 or 'auto'");
}

/** The model that trains: a Sequential has one inside (tfjs-layers 4.22, models.ts, `fit`). */
function innerOf(model: object): object {
  return (model as { model?: object }).model ?? model;
}

function otherModel(): Error {
  return new Error('swaCallback was made for another model than the one that is fitted');
}
