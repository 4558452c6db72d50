/**
 * The runs of one seed: the half that both share, trained once, then from there the run that is
 * averaged, in three ways, and SGD with decay; each from any epoch on. It knows nothing of statistics
 * over seeds, files, pictures or the terminal.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { AveragedModel, emaAvgFn, LambdaLR, SWA, swaAvgFn, WeightHistory } from 'tfjs-swa';
import type {
  AveragedModelStateDict,
  LRSchedulerStateDict,
  SWAStateDict,
  WeightHistoryState,
} from 'tfjs-swa';
import { breathe } from './breathe.js';
import { gatherImages, gatherLabels, noisyLabels, uploaded, type Images } from './data.js';
import * as net from './model.js';
import type { Score } from './model.js';
import { randomNumbers, shuffledIndices } from './random.js';
import { BATCH, MOMENTUM, RATE, type Schedule } from './schedule.js';
import { chooseWindow, windowsOf, type Window, type Windows } from './windows.js';

/** A score after some epochs, counted from 1. */
export interface EpochScore extends Score {
  epoch: number;
}

/** An epoch that was trained. */
export interface TrainedEpoch extends EpochScore {
  /** Mean training loss over the epoch, l2 included. */
  loss: number;
}

/** The parts of a seed's work, as progress names them. */
export type Phase = 'shared' | 'averaged' | 'decay';

/** What is told after each epoch; the score is that of the weights that were trained. */
export interface EpochReport extends TrainedEpoch {
  phase: Phase;
}

/** Everything that one seed gave. */
export interface SeedRun {
  seed: number;
  /**
   * Test scores by epoch: of the run that is averaged, of SGD with decay, and of the average over the
   * second half after bnUpdate, in the epochs that it takes a value: SWA's, or EMA's with `ema`.
   */
  curves: { iterates: TrainedEpoch[]; decay: TrainedEpoch[]; average: EpochScore[] };
  /** The averages of every step of that run, from every start. */
  windows: Windows;
  /** The method's average with the batch-normalization statistics that the last iterate had. */
  averageOldStatistics: Score;
  /** The other average over the second half, after bnUpdate: EMA's, or SWA's with `ema`. */
  otherAverage: Score;
  /** SGD with decay at the end with re-estimated statistics, to tell what that alone does. */
  decayReestimated: Score;
  weights: SeedWeights;
  /** How many values the average over the second half holds, and the other one. */
  averaged: number;
  otherAveraged: number;
}

/** The numbers of one seed alone. */
export type SeedScores = Omit<SeedRun, 'weights'>;

/** Points of weight space that the plane is laid through. */
export interface SeedWeights {
  /** Where the runs part: the end of the shared half. */
  start: Float32Array;
  decay: Float32Array;
  /** The method's average. */
  average: Float32Array;
  /** The iterates of the run that is averaged, after the start, one an epoch. */
  path: Float32Array[];
}

/** The runs of one seed, as far as they have come, as plain data; without an average yet: `null`. */
export interface SeedRecord {
  /** Epochs that were trained, of those that {@link planOf} lists. */
  trained: number;
  curves: SeedRun['curves'];
  /** Where the two runs part: the end of the shared half. */
  branch: { point: Float32Array; weights: Float32Array[]; optimizer: SWAStateDict } | null;
  path: Float32Array[];
  /** What is known at the end of the run that is averaged. */
  averages: (Averages & { point: Float32Array }) | null;
}

type Averages = Pick<
  SeedRun,
  'windows' | 'averageOldStatistics' | 'otherAverage' | 'averaged' | 'otherAveraged'
>;

/** All that the runs of one seed need to go on after an epoch as if they had never stopped. */
export interface SeedState {
  record: SeedRecord;
  /** Weights and statistics of batch normalization, in the model's order. */
  model: Float32Array[];
  /** The wrapper of the run that is averaged, its rates, and the other average of that run. */
  swa: SWAStateDict;
  rates: LRSchedulerStateDict;
  beside: AveragedModelStateDict;
  /** Every step of that run; `null` once a window of it was chosen. */
  history: WeightHistoryState | null;
  /** The wrapper of SGD with decay, and its rates once the run has begun. */
  sgd: SWAStateDict;
  decayingRates: LRSchedulerStateDict | null;
}

/** What a seed's runs need. */
export interface SeedTask {
  seed: number;
  width: number;
  noise: number;
  schedule: Schedule;
  train: Images;
  /** What chooses where averaging starts. */
  validation: Images;
  test: Images;
  onEpoch: (report: EpochReport) => void;
  /** Told after each window that was measured. */
  onWindow?: (window: Window) => void;
  /** Where to go on; default: at the start. */
  from?: SeedState | null;
  /** Told after each epoch but the last how to get the state, and waited for. */
  onState?: (state: () => Promise<SeedState>) => Promise<void>;
}

/** Trains one seed. Every number follows from the seed; no tensor is left behind. */
export async function runSeed(task: SeedTask): Promise<SeedRun> {
  const training = new SeedTraining(task);
  try {
    if (task.from) await training.load(task.from);
    for (;;) {
      const run = await training.advance();
      if (run) return run;
      await task.onState?.(() => training.state());
    }
  } finally {
    training.dispose();
  }
}

/** The epochs of a seed's work, in order. */
export function planOf({ half, epochs }: Schedule): { phase: Phase; epoch: number }[] {
  const part = (phase: Phase, before: number, last: number) =>
    Array.from({ length: last - before }, (_, i) => ({ phase, epoch: before + i + 1 }));
  return [
    ...part('shared', 0, half),
    ...part('averaged', half, epochs),
    ...part('decay', half, epochs),
  ];
}

/** The runs of one seed, epoch by epoch. Beside the record there is only what holds tensors. */
class SeedTraining {
  private record: SeedRecord = {
    trained: 0,
    curves: { iterates: [], decay: [], average: [] },
    branch: null,
    path: [],
    averages: null,
  };
  /** The images with the labels of this seed. */
  private readonly train: Images;
  private readonly validation: Images;
  /** The images for what measures, uploaded once. */
  private readonly trainBatches: tf.Tensor[];
  private readonly testBatches: tf.Tensor[];
  private readonly model: tfl.LayersModel;
  private readonly swa: SWA;
  private readonly rates: LambdaLR;
  /** A second average of the same run, at these steps: a copy of the weights and no training. */
  private readonly beside: AveragedModel<tfl.LayersModel>;
  private readonly besideEvery: number;
  /** All steps of the run that is averaged, an epoch a segment, until a window is chosen. */
  private history: WeightHistory | null;
  /** In manual mode and never averaged, the wrapper is the plain optimizer, with exact resume. */
  private readonly sgd: SWA;
  private decayingRates: LambdaLR | null = null;

  constructor(private readonly task: SeedTask) {
    const { seed, width, noise, schedule } = task;
    const next = randomNumbers(seed);
    const noisy = (images: Images): Images => ({
      ...images,
      labels: noisyLabels(images.labels, noise, next),
    });
    [this.train, this.validation] = [noisy(task.train), noisy(task.validation)];
    this.trainBatches = uploaded(task.train, 500);
    this.testBatches = uploaded(task.test, 1000);
    this.model = net.createModel(width, seed);
    const { stepsPerEpoch, swaEpochs } = schedule;
    const equal = { avgFn: swaAvgFn(), every: swaEpochs * stepsPerEpoch };
    const exponential = { avgFn: emaAvgFn(schedule.emaDecay), every: 1 };
    const [main, other] = schedule.method === 'ema' ? [exponential, equal] : [equal, exponential];
    const paramGroups = [{ params: net.trainableVariables(this.model) }];
    this.swa = new SWA(tf.train.momentum(RATE, MOMENTUM), {
      swaStart: this.startStep,
      swaFreq: main.every,
      avgFn: main.avgFn,
      paramGroups,
    });
    this.sgd = new SWA(tf.train.momentum(RATE, MOMENTUM), { paramGroups });
    this.rates = new LambdaLR(this.swa, schedule.averagedRate);
    this.beside = new AveragedModel(this.model, { avgFn: other.avgFn });
    this.besideEvery = other.every;
    const maxSegments = Math.max(2, windowsOf(schedule.epochs));
    this.history = new WeightHistory(this.model, { maxSegments });
  }

  /** Trains the next epoch and measures. Returns what the seed gave after the last one, else `null`. */
  async advance(): Promise<SeedRun | null> {
    const { schedule } = this.task;
    const { phase, epoch } = planOf(schedule)[this.record.trained]!;
    const score = await this.trainedEpoch(phase, epoch);
    const { curves } = this.record;
    (phase === 'decay' ? curves.decay : curves.iterates).push(score);
    if (phase === 'averaged') await this.measureAverage(epoch);
    this.record.trained += 1;
    if (epoch === schedule.half) await this.branchOff();
    if (epoch < schedule.epochs) return null;
    if (phase === 'decay') return this.finish();
    await this.compareAverages();
    await this.goBack();
    return null;
  }

  /** The state after an epoch, as plain data. */
  async state(): Promise<SeedState> {
    return {
      record: this.record,
      model: await net.snapshot(this.model),
      swa: await this.swa.stateDict(),
      rates: this.rates.stateDict(),
      beside: await this.beside.stateDict(),
      history: (await this.history?.stateDict()) ?? null,
      sgd: await this.sgd.stateDict(),
      decayingRates: this.decayingRates?.stateDict() ?? null,
    };
  }

  /** Takes over a state, before the first epoch. */
  async load(state: SeedState): Promise<void> {
    const { record, model, swa, rates, beside, history, sgd, decayingRates } = state;
    this.record = structuredClone(record);
    net.restore(this.model, model);
    await this.swa.loadStateDict(swa);
    this.rates.loadStateDict(rates);
    await this.beside.loadStateDict(beside);
    if (history) await this.history!.loadStateDict(history);
    else this.forgetHistory();
    await this.sgd.loadStateDict(sgd);
    if (decayingRates) this.startDecaying().loadStateDict(decayingRates);
  }

  dispose(): void {
    tf.dispose([this.trainBatches, this.testBatches]);
    this.forgetHistory();
    this.beside.dispose();
    this.sgd.dispose();
    this.swa.dispose();
    this.model.dispose();
  }

  /** Steps of the shared half. */
  private get startStep(): number {
    return this.task.schedule.half * this.task.schedule.stepsPerEpoch;
  }

  private async trainedEpoch(phase: Phase, epoch: number): Promise<TrainedEpoch> {
    const { seed, schedule, onEpoch } = this.task;
    const { model, train } = this;
    const optimizer = phase === 'decay' ? this.sgd : this.swa;
    const order = shuffledIndices(train.count, randomNumbers(seed * 100_003 + epoch));
    const loss = await trainEpoch(model, optimizer, train, order, (i) => {
      if (phase === 'decay') this.decayingRates!.step();
      else this.afterStep((epoch - 1) * schedule.stepsPerEpoch + i);
    });
    this.history?.closeSegment();
    const score: TrainedEpoch = { epoch, loss, ...(await this.score(model)) };
    onEpoch({ phase, ...score });
    return score;
  }

  /** After a step of the run that is averaged, counted from 1. */
  private afterStep(step: number): void {
    this.rates.step();
    this.history!.update();
    if (step > this.startStep && step % this.besideEvery === 0) this.beside.updateParameters();
  }

  /** After the shared half. */
  private async branchOff(): Promise<void> {
    const point = await net.flatWeights(this.model);
    const weights = await net.snapshot(this.model);
    this.record.branch = { point, weights, optimizer: await this.swa.stateDict() };
  }

  /** After an epoch of the run that is averaged. */
  private async measureAverage(epoch: number): Promise<void> {
    const { model, record } = this;
    record.path.push(await net.flatWeights(model));
    if (epoch % this.task.schedule.swaEpochs !== 0) return; // in a cycle: no new average
    const score = await this.onAverage(() => this.scoreReestimated(model));
    record.curves.average.push({ epoch, ...score });
  }

  /** At the end of the run that is averaged. */
  private async compareAverages(): Promise<void> {
    const { model, swa, beside } = this;
    const otherAverage = await this.scoreReestimated(beside.module);
    const overHalf = await swa.withSwa(() => net.flatWeights(model));
    const { windows, chosen } = await this.choose();
    const point = this.task.schedule.method === 'swa' ? chosen : overHalf;
    net.setFlatWeights(model, point);
    const averageOldStatistics = await this.score(model);
    this.record.averages = {
      windows,
      averageOldStatistics,
      otherAverage,
      averaged: swa.paramGroups[0]!.n_avg,
      otherAveraged: beside.nAveraged,
      point,
    };
  }

  /** Measures all windows; the model has the last iterate's statistics afterwards, as before. */
  private async choose(): Promise<{ windows: Windows; chosen: Float32Array }> {
    const { model, validation, testBatches, trainBatches } = this;
    const { test, schedule, onWindow = () => {} } = this.task;
    const data = { train: trainBatches, validation, test, testBatches };
    const history = this.history!;
    const windows = await chooseWindow(history, model, schedule.epochs, data, onWindow);
    const chosen = await net.flatWeights(model);
    history.swap();
    this.forgetHistory();
    return { windows, chosen };
  }

  private forgetHistory(): void {
    this.history?.dispose();
    this.history = null;
  }

  /** Back to the end of the shared half, for SGD with decay. */
  private async goBack(): Promise<void> {
    const { weights, optimizer } = this.record.branch!;
    net.restore(this.model, weights);
    // Nothing was averaged yet; the averaged run may have another averaging function.
    await this.sgd.loadStateDict(optimizer, { avgFn: 'keep' });
    this.startDecaying();
  }

  private startDecaying(): LambdaLR {
    const { decayingRate } = this.task.schedule;
    const rates = new LambdaLR(this.sgd, (step) => decayingRate(this.startStep + step));
    this.decayingRates = rates;
    return rates;
  }

  /** After the last epoch of SGD with decay. */
  private async finish(): Promise<SeedRun> {
    const { model, record } = this;
    const decay = await net.flatWeights(model);
    const decayReestimated = await this.scoreReestimated(model);
    const averages = record.averages!;
    const { windows, averageOldStatistics, otherAverage, averaged, otherAveraged } = averages;
    return {
      seed: this.task.seed,
      curves: record.curves,
      windows,
      averageOldStatistics,
      otherAverage,
      decayReestimated,
      averaged,
      otherAveraged,
      weights: {
        start: record.branch!.point,
        decay,
        average: averages.point,
        path: record.path,
      },
    };
  }

  private score(model: tfl.LayersModel): Promise<Score> {
    return net.evaluate(model, this.task.test, this.testBatches);
  }

  private async scoreReestimated(model: tfl.LayersModel): Promise<Score> {
    await net.reestimate(model, this.train, this.trainBatches);
    return this.score(model);
  }

  /** Runs `f` on the averaged weights; weights and statistics are then as they were before. */
  private onAverage<T>(f: () => Promise<T>): Promise<T> {
    return net.keepingStatistics(this.model, () => this.swa.withSwa(f));
  }
}

/**
 * One pass over images in some order. Returns the mean loss.
 *
 * @param onStep Told after each step how many of the pass are done, from 1, and waited for.
 */
export async function trainEpoch(
  model: tfl.LayersModel,
  optimizer: SWA,
  images: Images,
  order: Int32Array,
  onStep: (step: number) => void | Promise<void>,
): Promise<number> {
  const steps = Math.ceil(order.length / BATCH);
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const indices = order.subarray(i * BATCH, (i + 1) * BATCH);
    const loss = trainStep(model, optimizer, images, indices);
    try {
      await onStep(i + 1);
      sum += (await loss.data())[0]!;
    } finally {
      loss.dispose();
    }
    await breathe();
  }
  return sum / steps;
}

/** One step on the images at some places. Returns the loss, which the caller disposes. */
export function trainStep(
  model: tfl.LayersModel,
  optimizer: tf.Optimizer,
  images: Images,
  indices: Int32Array,
): tf.Scalar {
  return tf.tidy(() => {
    const [x, y] = [gatherImages(images, indices), gatherLabels(images, indices)];
    return optimizer.minimize(() => net.lossOf(model, x, y), true)!;
  });
}
