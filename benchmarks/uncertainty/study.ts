/**
 * One seed's nets: how good and how sure each method is, on test images and on ones that no net has seen
 * the like of. It knows nothing of files or other seeds.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SIDE, type Images } from '../../examples/demo/data.js';
import { randomNumbers } from '../../examples/demo/random.js';
import type { Experiment, Split } from '../accuracy/experiments.js';
import type { Kept } from '../accuracy/run.js';
import {
  areaUnderCurve,
  binsOf,
  entropies,
  qualityOf,
  type Bin,
  type Predicted,
  type Quality,
} from './measures.js';
import { Predictions, SAMPLES } from './predictions.js';

export const METHODS = ['SGD', 'SWA', 'SWAG', 'ensemble'] as const;
export type Method = (typeof METHODS)[number];
/** What is unlike all training images: test images turned by 90 degrees, and noise. */
export const UNLIKE = ['turned', 'noise'] as const;
export type Unlike = (typeof UNLIKE)[number];

/** What SWAG's scale is chosen from, by the likelihood of the validation images. */
const SCALES = [0.05, 0.1, 0.25, 0.5, 1];
/** Samples for that. */
const TRIED = 10;

export interface MethodStudy {
  quality: Quality;
  bins: Bin[];
  /** Mean entropy, in nats. */
  entropy: Record<'test' | Unlike, number>;
  /** Area under the curve, by entropy, of these against test images. */
  auc: Record<Unlike, number>;
}

export interface SeedStudy {
  seed: number;
  /** SWAG's, as it was chosen. */
  scale: number;
  /** Points that SWAG and the ensemble have. */
  points: number;
  methods: Record<Method, MethodStudy>;
}

export async function studySeed(task: {
  experiment: Experiment;
  seed: number;
  images: Split;
  /** Of the run that is averaged. */
  averaged: Kept;
  decayed: Kept;
}): Promise<SeedStudy> {
  const { experiment, seed, images, averaged, decayed } = task;
  const { test, validation } = images;
  const predictions = new Predictions(experiment, images.train);
  const unlike = { turned: turned(test), noise: noise(test.count, seed) };
  const xs = tensorOf([test, unlike.turned, unlike.noise]);
  const valXs = tensorOf([validation]);
  // The ends of the epochs of the second half, as in the paper.
  const points = averaged.iterates.slice(experiment.epochs / 2);
  try {
    const { scale, predicted: swag } = await predictions.withSwag(points, async (predict) => {
      const tried: { scale: number; nll: number }[] = [];
      for (const scale of SCALES) {
        const { nll } = qualityOf(await predict(valXs, scale, TRIED), validation.labels);
        tried.push({ scale, nll });
      }
      const { scale } = tried.reduce((best, each) => (each.nll < best.nll ? each : best));
      return { scale, predicted: await predict(xs, scale, SAMPLES) };
    });
    const study = (predicted: Predicted): MethodStudy => studyOf(predicted, test);
    const methods = {
      SGD: study(await predictions.of(decayed.iterates.at(-1)!, xs)),
      SWA: study(await predictions.of(averaged.window!, xs)),
      SWAG: study(swag),
      ensemble: study(await predictions.ofAll(points, xs)),
    };
    return { seed, scale, points: points.length, methods };
  } finally {
    tf.dispose([xs, valXs]);
    predictions.dispose();
  }
}

/** From the predictions for the test images, the turned ones and noise, one after another. */
function studyOf({ values, classes }: Predicted, test: Images): MethodStudy {
  const size = test.count * classes;
  const part = (i: number): Predicted => {
    return { values: values.subarray(i * size, (i + 1) * size), classes };
  };
  const [inside, turnedOnes, noises] = [part(0), part(1), part(2)];
  const [known, turnedEntropies, noiseEntropies] = [inside, turnedOnes, noises].map(entropies);
  const mean = (of: readonly number[]): number => of.reduce((sum, x) => sum + x, 0) / of.length;
  return {
    quality: qualityOf(inside, test.labels),
    bins: binsOf(inside, test.labels),
    entropy: { test: mean(known!), turned: mean(turnedEntropies!), noise: mean(noiseEntropies!) },
    auc: {
      turned: areaUnderCurve(known!, turnedEntropies!),
      noise: areaUnderCurve(known!, noiseEntropies!),
    },
  };
}

/** The images, each a quarter of a turn to the right. */
export function turned({ count, labels, pixels }: Images): Images {
  const size = SIDE * SIDE;
  const values = Float32Array.from(pixels, (_, i) => {
    const [image, row, column] = [Math.floor(i / size), Math.floor((i % size) / SIDE), i % SIDE];
    return pixels[image * size + (SIDE - 1 - column) * SIDE + row]!;
  });
  return { count, labels, pixels: values };
}

/** Pixels that are uniform in [0, 1), and mean nothing. */
export function noise(count: number, seed: number): Images {
  const next = randomNumbers(seed);
  const pixels = Float32Array.from({ length: count * SIDE * SIDE }, next);
  return { count, labels: new Uint8Array(count), pixels };
}

function tensorOf(parts: readonly Images[]): tf.Tensor3D {
  const pixels = parts.map((part) => part.pixels);
  const values = new Float32Array(pixels.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of pixels) {
    values.set(part, offset);
    offset += part.length;
  }
  return tf.tensor3d(values, [values.length / SIDE ** 2, SIDE, SIDE]);
}
