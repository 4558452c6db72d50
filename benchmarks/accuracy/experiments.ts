/** What is compared: nets, data, budgets and methods. It knows nothing of how a net is trained. */
import * as tfl from '@tensorflow/tfjs-layers';
import { gatherImages, noisyLabels, CLASSES, SIDE, type Images } from '../../examples/demo/data.js';
import { createModel, l2Regularizer } from '../../examples/demo/model.js';
import { randomNumbers, shuffledIndices } from '../../examples/demo/random.js';

export type Net = 'dense' | 'conv';

/** The weight of the penalty `l2 sum(w^2)` of each kernel, as in the demo. */
export const L2 = 2.5e-4;

/** A net, its data and its budget: all that every method of a comparison shares. */
export interface Experiment {
  net: Net;
  /** Units of each hidden layer; filters of the first convolution. */
  width: number;
  /** Fraction of the labels, validation's included, that are drawn at random. */
  noise: number;
  /** Epochs of a run; an even number. */
  epochs: number;
  /** Images to train on, to tune on and to test on; the first two come out of the same 4,000. */
  images: { train: number; validation: number; test: number };
}

/** What of an experiment is tried on validation, before any of the seeds that count. */
export interface Tuning {
  /** Seeds that are used for nothing else. */
  seeds: number[];
  rates: number[];
  /** What EMA keeps at each step. */
  decays: number[];
}

/** What steps, and how its rate goes. */
export type Way = 'constant' | 'decayed' | 'cosine' | 'schedule-free' | 'lookahead';

/**
 * The weights that are taken from a run: its last ones (ScheduleFree's: their average); the average of all
 * steps of a window of the last epochs, the one with the lowest validation loss or error; that of the ends
 * of the epochs of the second half; EMA's (`ema 0.99`).
 */
export type Take = 'last' | 'window' | 'window by error' | 'second half' | `ema ${number}`;

/** Weights that a method could end with. */
export interface Candidate {
  way: Way;
  rate: number;
  take: Take;
}

export const SWA_NAME = 'SWA, window chosen';

/** A way to train. */
export interface Method {
  name: string;
  /** What validation chooses from. */
  from: (tuning: Tuning) => Candidate[];
  /** Not tuned by itself: at the rate of {@link SWA_NAME}. */
  likeSwa?: boolean;
  /** Left out at the long budget, which takes hours. */
  shortOnly?: boolean;
}

/** With each of the rates, or so many times them. */
const tried =
  (way: Way, take: Take, times = 1) =>
  ({ rates }: Pick<Tuning, 'rates'>): Candidate[] =>
    rates.map((rate) => ({ way, rate: rate * times, take }));

export const METHODS: readonly Method[] = [
  { name: SWA_NAME, from: tried('constant', 'window') },
  { name: 'SWA, window chosen by error', from: tried('constant', 'window by error') },
  { name: 'SWA, once an epoch, second half', from: tried('constant', 'second half') },
  {
    name: 'EMA',
    from: (tuning) => tuning.decays.flatMap((decay) => tried('constant', `ema ${decay}`)(tuning)),
  },
  { name: 'SGD, decayed to zero', from: tried('decayed', 'last') },
  { name: 'SGD, cosine to zero', from: tried('cosine', 'last'), shortOnly: true },
  // Without momentum, which makes a rate ten times as much.
  { name: 'ScheduleFree', from: tried('schedule-free', 'last', 10), shortOnly: true },
  { name: 'Lookahead, decayed to zero', from: tried('lookahead', 'last'), shortOnly: true },
  { name: "SWA's last iterate", from: tried('constant', 'last'), likeSwa: true },
];

/** The shorter of a net's budgets, in epochs; the longer one is three times it. */
const SHORT: Record<Net, number> = { dense: 30, conv: 16 };

function isLong({ net, epochs }: Experiment): boolean {
  return epochs > SHORT[net];
}

/** What is compared in an experiment. */
export function methodsOf(experiment: Experiment): readonly Method[] {
  return METHODS.filter(({ shortOnly }) => !shortOnly || !isLong(experiment));
}

/** How many seeds an experiment has by default. */
export function seedsOf(experiment: Experiment): number {
  return isLong(experiment) ? 6 : 10;
}

/** The experiments with some nets, the short ones first; the long budget is the convolutional net's alone. */
export function experimentsOf(nets: readonly Net[], quick: boolean): Experiment[] {
  if (quick) {
    const images = { train: 320, validation: 100, test: 300 };
    return nets.map((net) => ({ net, width: 4, noise: 0.2, epochs: 2, images }));
  }
  const images = { train: 3500, validation: 500, test: 10000 };
  return [1, 3].flatMap((times) =>
    nets
      .filter((net) => times === 1 || net === 'conv')
      .flatMap((net) =>
        [0.2, 0].map((noise) => {
          const width = net === 'dense' ? 64 : 8;
          return { net, width, noise, epochs: times * SHORT[net], images };
        }),
      ),
  );
}

/** What is tried with a net: the rates about those that an earlier and wider search has chosen. */
export function tuningOf(net: Net, quick: boolean): Tuning {
  if (quick) return { seeds: [1001], rates: [0.03, 0.1], decays: [0.9] };
  const rates = net === 'dense' ? [0.03, 0.1, 0.3] : [0.1, 0.3, 1];
  return { seeds: [1001, 1002], rates, decays: [0.98, 0.99, 0.995, 0.998] };
}

/** `dense, 20 % random labels, 30 epochs` */
export function titleOf({ net, noise, epochs }: Experiment): string {
  const labels = noise > 0 ? `${100 * noise} % random labels` : 'clean labels';
  return `${net}, ${labels}, ${epochs} epochs`;
}

/** An experiment's net. */
export function createNet({ net, width }: Experiment, seed: number): tfl.Sequential {
  return net === 'dense' ? createModel(width, seed) : createConvNet(width, seed);
}

/** Three times [convolution 3 x 3, batch normalization, ReLU], mean over places, dense. */
function createConvNet(filters: number, seed: number): tfl.Sequential {
  const kernel = (layer: number) => ({
    kernelInitializer: tfl.initializers.heNormal({ seed: seed * 10 + layer }),
    kernelRegularizer: l2Regularizer(L2),
  });
  const blocks = [1, 2, 3].flatMap((layer) => [
    tfl.layers.conv2d({
      filters: filters * 2 ** (layer - 1),
      kernelSize: 3,
      strides: layer === 1 ? 1 : 2,
      padding: 'same',
      useBias: false,
      ...kernel(layer),
    }),
    tfl.layers.batchNormalization({ momentum: 0.9, epsilon: 1e-5 }),
    tfl.layers.reLU(),
  ]);
  return tfl.sequential({
    layers: [
      tfl.layers.reshape({ inputShape: [SIDE, SIDE], targetShape: [SIDE, SIDE, 1] }),
      ...blocks,
      tfl.layers.globalAveragePooling2d({ dataFormat: 'channelsLast' }),
      tfl.layers.dense({ units: CLASSES, ...kernel(4) }),
    ],
  });
}

/** The images of a seed: which are for training and which for validation, and their labels. */
export interface Split {
  train: Images;
  validation: Images;
  test: Images;
}

/** Draws the labels' noise and the images for training and validation; test is as it came. */
export function splitOf(
  { noise, images }: Experiment,
  seed: number,
  all: { train: Images; test: Images },
): Split {
  const labels = noisyLabels(all.train.labels, noise, randomNumbers(seed));
  const noisy = { ...all.train, labels };
  const order = shuffledIndices(noisy.count, randomNumbers(seed * 100_003));
  const { train, validation, test } = images;
  return {
    train: pick(noisy, order.subarray(0, train)),
    validation: pick(noisy, order.subarray(train, train + validation)),
    test: pick(
      all.test,
      Int32Array.from({ length: test }, (_, i) => i),
    ),
  };
}

function pick(images: Images, indices: Int32Array): Images {
  const gathered = gatherImages(images, indices);
  const pixels = gathered.dataSync<'float32'>().slice();
  gathered.dispose();
  const labels = Uint8Array.from(indices, (index) => images.labels[index]!);
  return { count: indices.length, pixels, labels };
}
