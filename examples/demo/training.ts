/**
 * The runs of one seed: the half that both share, trained once, then from there the run that is
 * averaged, in two ways, and SGD with decay. It knows nothing of statistics over seeds, pictures or the terminal.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { AveragedModel, emaAvgFn, LambdaLR, SWA, swaAvgFn } from 'tfjs-swa';
import { breathe } from './breathe.js';
import { gatherImages, gatherLabels, noisyLabels, type Images } from './data.js';
import * as net from './model.js';
import type { Score } from './model.js';
import { randomNumbers, shuffledIndices } from './random.js';
import { BATCH, MOMENTUM, RATE, type Schedule } from './schedule.js';

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
   * Test scores by epoch: of the run whose second half is averaged, of SGD with decay, and of the
   * method's average after bnUpdate, in the epochs that it takes a value.
   */
  curves: { iterates: TrainedEpoch[]; decay: TrainedEpoch[]; average: EpochScore[] };
  /** The average at the end with the batch-normalization statistics that the last iterate had. */
  averageOldStatistics: Score;
  /** The other average of the same run at the end, after bnUpdate: EMA's, or SWA's with `ema`. */
  otherAverage: Score;
  /** SGD with decay at the end with re-estimated statistics, to tell what that alone does. */
  decayReestimated: Score;
  weights: SeedWeights;
  /** How many values the average holds, and the other one. */
  averaged: number;
  otherAveraged: number;
}

/** Points of weight space that the plane is laid through. */
export interface SeedWeights {
  /** Where averaging starts: the end of the shared half. */
  start: Float32Array;
  decay: Float32Array;
  average: Float32Array;
  /** The iterates of the run that is averaged, after the start, one an epoch. */
  path: Float32Array[];
}

/** What a seed's runs need. */
export interface SeedTask {
  seed: number;
  width: number;
  noise: number;
  schedule: Schedule;
  train: Images;
  test: Images;
  onEpoch: (report: EpochReport) => void;
}

/** Trains one seed. Every number follows from the seed; no tensor is left behind. */
export async function runSeed(task: SeedTask): Promise<SeedRun> {
  const { seed, width, noise, schedule, test } = task;
  const labels = noisyLabels(task.train.labels, noise, randomNumbers(seed));
  const train: Images = { ...task.train, labels };
  const model = net.createModel(width, seed);
  const { half, epochs, stepsPerEpoch, swaEpochs } = schedule;
  const startStep = half * stepsPerEpoch;
  const equal = { avgFn: swaAvgFn(), every: swaEpochs * stepsPerEpoch };
  const exponential = { avgFn: emaAvgFn(schedule.emaDecay), every: 1 };
  const [main, other] = schedule.method === 'ema' ? [exponential, equal] : [equal, exponential];
  const swa = new SWA(tf.train.momentum(RATE, MOMENTUM), {
    swaStart: startStep,
    swaFreq: main.every,
    avgFn: main.avgFn,
    paramGroups: [{ params: net.trainableVariables(model) }],
  });
  // In manual mode and never averaged, the wrapper is the plain optimizer, with exact resume.
  const sgd = new SWA(tf.train.momentum(RATE, MOMENTUM), {
    paramGroups: [{ params: net.trainableVariables(model) }],
  });

  const rates = new LambdaLR(swa, schedule.averagedRate);
  // A second average of the same run costs a copy of the weights and no training.
  const beside = new AveragedModel(model, { avgFn: other.avgFn });
  const afterStep = (step: number) => {
    rates.step();
    if (step > startStep && step % other.every === 0) beside.updateParameters();
  };

  const curves: SeedRun['curves'] = { iterates: [], decay: [], average: [] };
  const epochOf = async (
    phase: Phase,
    optimizer: SWA,
    epoch: number,
    onStep: (step: number) => void,
  ) => {
    const order = shuffledIndices(train.count, randomNumbers(seed * 100_003 + epoch));
    const loss = await trainEpoch(model, optimizer, train, order, (i) =>
      onStep((epoch - 1) * stepsPerEpoch + i),
    );
    const score: TrainedEpoch = { epoch, loss, ...(await net.evaluate(model, test)) };
    task.onEpoch({ phase, ...score });
    return score;
  };
  try {
    for (let epoch = 1; epoch <= half; epoch++) {
      curves.iterates.push(await epochOf('shared', swa, epoch, afterStep));
    }
    const branch = { weights: await net.snapshot(model), optimizer: await swa.stateDict() };
    const start = await net.flatWeights(model);

    const path: Float32Array[] = [];
    for (let epoch = half + 1; epoch <= epochs; epoch++) {
      curves.iterates.push(await epochOf('averaged', swa, epoch, afterStep));
      path.push(await net.flatWeights(model));
      if (epoch % swaEpochs !== 0) continue; // in the middle of a cycle: no new average
      const score = await onAverage(model, swa, async () => {
        await net.reestimate(model, train);
        return net.evaluate(model, test);
      });
      curves.average.push({ epoch, ...score });
    }
    const averageOldStatistics = await onAverage(model, swa, () => net.evaluate(model, test));
    const average = await swa.withSwa(() => net.flatWeights(model));
    await net.reestimate(beside.module, train);
    const otherAverage = await net.evaluate(beside.module, test);

    net.restore(model, branch.weights);
    await sgd.loadStateDict(branch.optimizer);
    const decaying = new LambdaLR(sgd, (step) => schedule.decayingRate(startStep + step));
    for (let epoch = half + 1; epoch <= epochs; epoch++) {
      curves.decay.push(await epochOf('decay', sgd, epoch, () => decaying.step()));
    }
    const decay = await net.flatWeights(model);
    await net.reestimate(model, train);
    const decayReestimated = await net.evaluate(model, test);
    return {
      seed,
      curves,
      averageOldStatistics,
      otherAverage,
      decayReestimated,
      weights: { start, decay, average, path },
      averaged: swa.paramGroups[0]!.n_avg,
      otherAveraged: beside.nAveraged,
    };
  } finally {
    beside.dispose();
    sgd.dispose();
    swa.dispose();
    model.dispose();
  }
}

/** Runs `f` on the averaged weights; weights and statistics are then as they were before. */
function onAverage<T>(model: tfl.LayersModel, swa: SWA, f: () => Promise<T>): Promise<T> {
  return net.keepingStatistics(model, () => swa.withSwa(f));
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
    await onStep(i + 1);
    sum += (await loss.data())[0]!;
    loss.dispose();
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
