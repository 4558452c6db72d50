/**
 * One run, an epoch at a time, and all that it is made of as plain data, so that it goes on
 * elsewhere as if it had never stopped. It knows nothing of workers, storage or the page.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  LambdaLR,
  SWA,
  SWAG,
  WeightHistory,
  type LRSchedulerStateDict,
  type SWAGStateDict,
  type SWAStateDict,
  type TensorData,
  type WeightHistoryState,
} from 'tfjs-swa';
import { batchesOf, CLASSES, noisyLabels, type Images } from '../demo/data.js';
import * as net from '../demo/model.js';
import type { Score } from '../demo/model.js';
import { randomNumbers, shuffledIndices } from '../demo/random.js';
import { MOMENTUM, RATE } from '../demo/schedule.js';
import { trainEpoch } from '../demo/training.js';
import { cutImages, oneOfEach, type RunImages } from './images.js';
import { COLUMNS, isAveraged, isSampled, rateOf, stepsPerEpoch } from './rates.js';
import type { BackendName, Settings } from './settings.js';

/** Units of the two hidden layers. */
export const WIDTH = 64;

/** What is measured after an epoch, counted from 1. */
export interface EpochPoint extends Score {
  epoch: number;
  /** The backend that trained it. */
  backend: BackendName;
  /** Mean training loss, l2 included. */
  loss: number;
  /** The score of the running average, where it took a value. */
  average: Score | null;
}

/** What a net says of an image. */
export interface Guess {
  label: number;
  /** 0 to 1. */
  probability: number;
}

/** The version of {@link Checkpoint}. */
export const VERSION = 3;

/** All that a run is made of, after some epochs; plain data. */
export interface Checkpoint {
  version: number;
  settings: Settings;
  backend: BackendName;
  epoch: number;
  curve: EpochPoint[];
  /** What the weights and the average say of the ten images; empty before there is anything. */
  guesses: { weights: Guess[]; average: Guess[] };
  /** Weights and batch-normalization statistics. */
  model: TensorData[];
  optimizer: SWAStateDict;
  rate: LRSchedulerStateDict;
  /** The average of the weights of each epoch, after every step of it. */
  history: WeightHistoryState;
  /** Mean and spread of the weights after averaging starts. */
  swag: SWAGStateDict;
  /** The weights at the start, then after each epoch. */
  path: TensorData[];
}

/** A run that is under way. */
export interface Run {
  readonly settings: Settings;
  readonly model: tfl.Sequential;
  readonly images: RunImages;
  /** Of each class a test image. */
  readonly ten: Images;
  /** The weights after every step, a segment an epoch. */
  readonly history: WeightHistory;
  /** Some of the weights after averaging starts; its model gives probabilities. */
  readonly swag: SWAG;
  epoch(): number;
  /**
   * Trains an epoch and measures.
   *
   * @param onStep Told after each step how many of the epoch are done, and waited for.
   */
  advance(onStep: (step: number) => Promise<void>): Promise<void>;
  checkpoint(): Promise<Checkpoint>;
  dispose(): void;
}

/**
 * Starts a run, or goes on with one.
 *
 * @param all The whole data, of which the settings take the first images.
 * @param from Where to go on; its settings are taken.
 */
export async function startRun(
  settings: Settings,
  backend: BackendName,
  all: { train: Images; test: Images },
  from: Checkpoint | null,
): Promise<Run> {
  const { seed } = settings;
  const random = randomNumbers(seed);
  const noisy = (images: Images) => ({
    ...images,
    labels: noisyLabels(images.labels, settings.noise / 100, random),
  });
  const { train: clean, heldOut, test } = cutImages(all, settings);
  const train = noisy(clean);
  const images = { train, heldOut: noisy(heldOut), test };
  const ten = oneOfEach(all.test);

  const model = net.createModel(WIDTH, seed);
  const swa = new SWA(tf.train.momentum(RATE, MOMENTUM), {
    paramGroups: [{ params: net.trainableVariables(model) }],
  });
  const rate = new LambdaLR(swa, rateOf(settings));
  const probabilities = tfl.layers.softmax().apply(model.outputs) as tfl.SymbolicTensor;
  const swag = new SWAG(tfl.model({ inputs: model.inputs, outputs: probabilities }), {
    maxRank: COLUMNS,
  });
  const steps = stepsPerEpoch(settings);
  const history = new WeightHistory(model, { maxSegments: settings.epochs });
  const point = async () => asTensorData(await net.flatWeights(model), epoch);
  let epoch = 0;
  let curve: EpochPoint[] = [];
  let guesses: Checkpoint['guesses'] = { weights: [], average: [] };
  let path: TensorData[] = [];
  if (from) {
    net.restore(
      model,
      from.model.map(({ values }) => values as Float32Array),
    );
    await swa.loadStateDict(from.optimizer);
    rate.loadStateDict(from.rate);
    await history.loadStateDict(from.history);
    await swag.loadStateDict(from.swag);
    ({ epoch, curve, guesses, path } = from);
  } else {
    path = [await point()];
  }

  /** Runs `f` on the average, with statistics of its own; then all is as it was before. */
  const onAverage = <T>(f: () => Promise<T>) =>
    net.keepingStatistics(model, () =>
      swa.withSwa(async () => {
        await net.reestimate(model, train);
        return f();
      }),
    );

  return {
    settings,
    model,
    images,
    ten,
    history,
    swag,
    epoch: () => epoch,
    async advance(onStep) {
      const next = epoch + 1;
      const order = shuffledIndices(train.count, randomNumbers(seed * 100_003 + next));
      const loss = await trainEpoch(model, swa, train, order, (step) => {
        rate.step();
        history.update();
        if (isSampled(settings, epoch * steps + step)) swag.update();
        return onStep(step);
      });
      history.closeSegment();
      const score = await net.evaluate(model, test);
      guesses = { ...guesses, weights: await guess(model, ten) };
      let average: Score | null = null;
      if (isAveraged(settings, next)) {
        swa.updateSwa();
        await onAverage(async () => {
          average = await net.evaluate(model, test);
          guesses = { ...guesses, average: await guess(model, ten) };
        });
      }
      path = [...path, await point()];
      curve = [...curve, { epoch: next, backend, loss, ...score, average }];
      epoch = next;
    },
    async checkpoint() {
      return {
        version: VERSION,
        settings,
        backend,
        epoch,
        curve,
        guesses,
        model: (await net.snapshot(model)).map(asTensorData),
        optimizer: await swa.stateDict(),
        rate: rate.stateDict(),
        history: await history.stateDict(),
        swag: await swag.stateDict(),
        path,
      };
    },
    dispose() {
      history.dispose();
      swag.dispose();
      swa.dispose();
      model.dispose();
    },
  };
}

/** What {@link saveStateDict} keeps of numbers. */
function asTensorData(values: Float32Array, index: number): TensorData {
  return { name: String(index), dtype: 'float32', shape: [values.length], values };
}

/** What a net says of images. */
export async function guess(model: tfl.LayersModel, images: Images): Promise<Guess[]> {
  const guesses: Guess[] = [];
  for (const batch of batchesOf(images)) {
    const probabilities = tf.tidy(() => tf.softmax(model.apply(batch) as tf.Tensor));
    const values = (await probabilities.data()) as Float32Array;
    probabilities.dispose();
    for (let start = 0; start < values.length; start += CLASSES) {
      const row = values.subarray(start, start + CLASSES);
      const probability = Math.max(...row);
      guesses.push({ label: Math.max(0, row.indexOf(probability)), probability });
    }
  }
  return guesses;
}
