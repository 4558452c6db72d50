/**
 * One call of `fit`, as `swaCallback` sees it: which epoch averages, which is the forward pass, and
 * what is in the model at the end. It knows nothing of how to average or evaluate.
 */
import { bnLayersOf, type BnLayer } from '../batchnorm/layers.js';
import { updateBn } from '../batchnorm/update_bn.js';
import { invalid } from '../check.js';
import { LiveRate, rateAt, scheduleRates, type Rates } from './callback_rates.js';
import type { Settings } from './callback_options.js';
import { Evaluation, type ValidationData } from './evaluation.js';
import { innerOf, onFitEnd, type FittedModel } from './fitted_model.js';
import { ForwardPass } from './forward_pass.js';
import { JudgedAverage } from './judged_average.js';
import { JudgedWindows } from './judged_windows.js';
import { ModelAverage, type RunAverage } from './model_average.js';
import { WindowAverage } from './window_average.js';

/** From the begin of `fit` to its end, however it ends. */
export class Run {
  private readonly model: FittedModel;
  private readonly settings: Settings;
  private readonly epochs: number;
  private readonly rates: Rates | null;
  private readonly bnLayers: readonly BnLayer[];
  /** The optimizer's rate as it was, and what this run has made of it; `null`: nothing to set. */
  private rate: LiveRate | null = null;
  /** What is averaged, and takes its place in the model. */
  private readonly average: RunAverage;
  /** What evaluates it after each epoch; `null`: nobody asked. */
  private readonly judged: JudgedAverage | null;
  /** The epoch that is, or would be, a forward pass for the statistics. */
  private forwardEpoch: number | null;
  /** Once it has begun, in the last epoch that is run. */
  private forward: ForwardPass | null = null;
  /** Training was to stop before the forward pass. */
  private stopAfterForward = false;
  /** Batches an epoch, as far as it is known. */
  private steps: number | null;
  private epoch: number | null = null;
  /** Batches of this epoch that have begun. */
  private batches = 0;
  private announced = false;
  private readonly history: number[] = [];

  /** @throws Error for what depends on the optimizer and the epochs; nothing has changed then. */
  constructor(model: FittedModel, settings: Settings, params: object | undefined) {
    const { auto, start, bnData, lrSchedule, validationData, say } = settings;
    const { optimizer } = model;
    if (optimizer == null) throw new Error('The model has no optimizer: compile it first');
    const inner = innerOf(model);
    // By hand, or for a model that shows no such field, there is nothing to check.
    if (inner.isTraining === false) throw otherModel();
    const { epochs, steps, samples, batchSize } = (params ?? {}) as Record<string, unknown>;
    if (typeof epochs !== 'number') {
      throw new Error('The number of epochs is unknown: hand the callback itself to fit()');
    }
    if (!auto && start >= epochs - 1) {
      invalid('startEpoch', start + 1, `an integer below the number of epochs, ${epochs}`);
    }
    this.bnLayers = bnLayersOf(model).flatMap(({ layer, frozen }) => (frozen ? [] : layer));
    if (validationData !== null && this.bnLayers.length > 0 && bnData === null) {
      throw new Error('validationData requires bnData, since the model has batch normalization');
    }
    this.forwardEpoch = this.bnLayers.length > 0 && bnData === null ? epochs - 1 : null;
    if (lrSchedule !== 'manual') {
      this.rate = new LiveRate(optimizer, `the rate of lrSchedule '${lrSchedule}'`);
    } else if (this.forwardEpoch !== null) {
      this.rate = new LiveRate(optimizer, 'a rate of 0 for the last epoch (or give bnData)');
    }
    this.rates = lrSchedule === 'manual' ? null : scheduleRates(settings, this.rate!.initial);
    if (typeof steps === 'number') this.steps = steps;
    else if (typeof samples === 'number' && typeof batchSize === 'number') {
      this.steps = Math.ceil(samples / batchSize);
    } else this.steps = null;
    this.model = model;
    this.settings = settings;
    this.epochs = epochs;
    const windows = auto ? new WindowAverage(model) : null;
    this.average = windows ?? new ModelAverage(model, settings.avgFn);
    this.judged = validationData && this.judge(validationData, batchSize, windows);
    onFitEnd(inner, () => this.release());
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
    this.forward?.batchBegin();
  }

  batchEnd(): void {
    this.forward?.batchEnd();
    this.average.updateBatch?.();
  }

  async epochEnd(epoch: number, logs: object): Promise<void> {
    if (this.forward) {
      if (this.stopAfterForward) this.model.stopTraining = true;
      return;
    }
    if (this.isDue(epoch)) this.average.update();
    if (this.forwardEpoch !== null && this.average.count > 0 && this.model.stopTraining) {
      this.model.stopTraining = false;
      this.forwardEpoch = epoch + 1;
      this.stopAfterForward = true;
    }
    if (!this.judged || this.average.count === 0) return;
    const results = await this.judged.evaluate(epoch);
    Object.assign(logs, results);
    const shown = Object.entries(results).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
    this.settings.say(`Epoch ${epoch + 1}: ${shown.join(', ')}`);
  }

  async trainEnd(): Promise<void> {
    const { bnData, say } = this.settings;
    try {
      const { history } = innerOf(this.model);
      if (history && this.history.length > 0) history.history['lr'] = this.history;
      if (this.average.count === 0) {
        console.warn('swaCallback: training ended before an average was due; the weights stay');
        return;
      }
      const best = await this.judged?.putBest();
      if (best) {
        const { averages, loss } = best;
        say(`The weights are set to the averages of ${averages}, swa_val_loss ${loss}`);
        return;
      }
      const { forward } = this;
      this.forward = null; // what it left stays
      if (forward?.done) return;
      if (!forward) this.average.swap();
      say('The weights are set to their averages');
      if (this.bnLayers.length === 0) return;
      if (bnData !== null) {
        say('Batch normalization: the statistics are re-estimated with bnData');
        await updateBn(bnData, this.model);
      } else {
        console.warn(
          'swaCallback: training ended without the forward pass for batch normalization, whose ' +
            'moving statistics are averages now; give bnData, or list this callback last',
        );
      }
    } finally {
      this.release();
    }
  }

  /** Frees what the run holds, and puts back what it has changed but for what it left on purpose. */
  release(): void {
    this.forward?.abandon();
    this.forward = null;
    this.rate?.restore();
    this.judged?.dispose();
    this.average.dispose();
  }

  private judge(
    data: ValidationData,
    batchSize: unknown,
    windows: WindowAverage | null,
  ): JudgedAverage {
    const { model, average, bnLayers } = this;
    const { keepBest, say } = this.settings;
    // fit's; fitDataset has none, and tfjs-layers evaluates 32 examples at once.
    const size = typeof batchSize === 'number' ? batchSize : 32;
    const evaluation = new Evaluation(model, data, size);
    const bnData = bnLayers.length > 0 ? this.settings.bnData : null;
    return windows
      ? new JudgedWindows(windows, model, evaluation, bnData, say)
      : new JudgedAverage(average, model, evaluation, bnData, keepBest);
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

  private beginForward(epoch: number): void {
    const { settings } = this;
    // Others may have changed the rate until now.
    if (settings.lrSchedule === 'manual') this.rate = new LiveRate(this.model.optimizer!, '');
    this.forward = new ForwardPass(this.average, this.bnLayers, this.rate!);
    settings.say(`Epoch ${epoch + 1}: the weights are set to their averages`);
    settings.say(`Epoch ${epoch + 1}: a forward pass, for new batch-normalization statistics`);
  }
}

function otherModel(): Error {
  return new Error('swaCallback was made for another model than the one that is fitted');
}
