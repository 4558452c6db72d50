/**
 * The runs of one seed: the half that both share, trained once, then SGD with decay and SWA from
 * there. It knows nothing of statistics over seeds, pictures or the terminal.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { SWA } from 'tfjs-swa';
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
export type Phase = 'shared' | 'SWA' | 'decay';

/** What is told after each epoch; the score is that of the weights that were trained. */
export interface EpochReport extends TrainedEpoch {
  phase: Phase;
}

/** Everything that one seed gave. */
export interface SeedRun {
  seed: number;
  /** Test scores by epoch; the second half of `constant` is the run that SWA averages. */
  curves: { constant: TrainedEpoch[]; decay: TrainedEpoch[]; average: EpochScore[] };
  /** SWA at the end with the batch-normalization statistics that the last iterate had. */
  averageOldStatistics: Score;
  /** SGD with decay at the end with re-estimated statistics, to tell what that alone does. */
  decayReestimated: Score;
  weights: SeedWeights;
  /** How many values the average holds. */
  averaged: number;
}

/** Points of weight space that the plane is laid through. */
export interface SeedWeights {
  /** Where averaging starts: the end of the shared half. */
  start: Float32Array;
  decay: Float32Array;
  average: Float32Array;
  /** The constant-rate iterates after the start, one an epoch. */
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
  const swa = new SWA(tf.train.momentum(RATE, MOMENTUM), {
    swaStart: schedule.half * schedule.stepsPerEpoch,
    swaFreq: schedule.stepsPerEpoch,
    swaLr: RATE,
    paramGroups: [{ params: net.trainableVariables(model) }],
  });
  // In manual mode and never averaged, the wrapper is the plain optimizer, with exact resume.
  const sgd = new SWA(tf.train.momentum(RATE, MOMENTUM), {
    paramGroups: [{ params: net.trainableVariables(model) }],
  });

  const curves: SeedRun['curves'] = { constant: [], decay: [], average: [] };
  const epochOf = async (phase: Phase, optimizer: SWA, epoch: number) => {
    const loss = await trainEpoch(model, optimizer, train, schedule, seed, epoch, phase);
    const score: TrainedEpoch = { epoch, loss, ...(await net.evaluate(model, test)) };
    task.onEpoch({ phase, ...score });
    return score;
  };
  try {
    const { half, epochs } = schedule;
    for (let epoch = 1; epoch <= half; epoch++) {
      curves.constant.push(await epochOf('shared', swa, epoch));
    }
    const branch = { weights: await net.snapshot(model), optimizer: await swa.stateDict() };
    const start = await net.flatWeights(model);

    const path: Float32Array[] = [];
    for (let epoch = half + 1; epoch <= epochs; epoch++) {
      curves.constant.push(await epochOf('SWA', swa, epoch));
      path.push(await net.flatWeights(model));
      const score = await onAverage(model, swa, async () => {
        await net.reestimate(model, train);
        return net.evaluate(model, test);
      });
      curves.average.push({ epoch, ...score });
    }
    const averageOldStatistics = await onAverage(model, swa, () => net.evaluate(model, test));
    const average = await swa.withSwa(() => net.flatWeights(model));

    net.restore(model, branch.weights);
    await sgd.loadStateDict(branch.optimizer);
    for (let epoch = half + 1; epoch <= epochs; epoch++) {
      curves.decay.push(await epochOf('decay', sgd, epoch));
    }
    const decay = await net.flatWeights(model);
    await net.reestimate(model, train);
    const decayReestimated = await net.evaluate(model, test);
    return {
      seed,
      curves,
      averageOldStatistics,
      decayReestimated,
      weights: { start, decay, average, path },
      averaged: swa.paramGroups[0]!.n_avg,
    };
  } finally {
    sgd.dispose();
    swa.dispose();
    model.dispose();
  }
}

/** Runs `f` on the averaged weights; weights and statistics are then as they were before. */
function onAverage<T>(model: tfl.LayersModel, swa: SWA, f: () => Promise<T>): Promise<T> {
  return net.keepingStatistics(model, () => swa.withSwa(f));
}

/** One epoch, in an order that follows from seed and epoch. Returns the mean loss. */
async function trainEpoch(
  model: tfl.LayersModel,
  optimizer: SWA,
  images: Images,
  { stepsPerEpoch, decayingRate }: Schedule,
  seed: number,
  epoch: number,
  phase: Phase,
): Promise<number> {
  const order = shuffledIndices(images.count, randomNumbers(seed * 100_003 + epoch));
  let sum = 0;
  for (let i = 0; i < stepsPerEpoch; i++) {
    if (phase === 'decay') optimizer.setLearningRate(decayingRate((epoch - 1) * stepsPerEpoch + i));
    const indices = order.subarray(i * BATCH, (i + 1) * BATCH);
    const loss = trainStep(model, optimizer, images, indices);
    sum += (await loss.data())[0]!;
    loss.dispose();
    await breathe();
  }
  return sum / stepsPerEpoch;
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
