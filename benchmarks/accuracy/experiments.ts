/** What is compared: nets, data, budgets and methods. It knows nothing of how a net is trained. */
import * as tfl from '@tensorflow/tfjs-layers';
import { gatherImages, noisyLabels, CLASSES, SIDE, type Images } from '../../examples/demo/data.js';
import { createModel } from '../../examples/demo/model.js';
import { randomNumbers, shuffledIndices } from '../../examples/demo/random.js';

/** The nets, and the backend that each trains on. */
export const BACKENDS = { dense: 'wasm', conv: 'tensorflow' } as const;
export type Net = keyof typeof BACKENDS;

/** A net and its data, and all else that every method of the comparison shares. */
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
  /** Epochs of runs whose length is tuned, even numbers; the last is that of all other runs. */
  lengths: number[];
}

/** How the learning rate goes from where it starts; annealed: to this fraction of it. */
export type RateSchedule = 'constant' | 'decayed' | 'cosine' | `annealed ${number}`;

/** What an annealed rate goes down to, of where it starts; `null` for other schedules. */
export function fractionOf(schedule: RateSchedule): number | null {
  return schedule.startsWith('annealed ') ? Number(schedule.slice('annealed '.length)) : null;
}

/**
 * What a run is asked for: its last weights, the best ones by validation error after an epoch, or an
 * average, SWA's or EMA's (`ema 0.99`).
 */
export type Take = 'last' | 'best' | 'swa' | `ema ${number}`;

/** Weights that a method could end with. */
export interface Candidate {
  epochs: number;
  schedule: RateSchedule;
  rate: number;
  take: Take;
}

export const SWA_NAME = 'SWA';

/** A way to train. */
export interface Method {
  name: string;
  /** What validation chooses from. */
  from: (tuning: Tuning) => Candidate[];
  /** The rate of a method that is not tuned: a number, or that of SWA; default: tuned. */
  untuned?: number | typeof SWA_NAME;
}

/** Over the whole length, with each of the rates. */
const tried =
  (...ways: [RateSchedule, Take][]) =>
  ({ rates, lengths }: Pick<Tuning, 'rates' | 'lengths'>): Candidate[] =>
    ways.flatMap(([schedule, take]) =>
      rates.map((rate) => ({ epochs: lengths.at(-1)!, schedule, rate, take })),
    );

export const METHODS: readonly Method[] = [
  { name: 'SGD, decayed to zero', from: tried(['decayed', 'last']) },
  { name: 'SGD, cosine to zero', from: tried(['cosine', 'last']) },
  {
    name: 'SGD, stopped early',
    from: tried(['constant', 'best'], ['decayed', 'best'], ['cosine', 'best']),
  },
  {
    name: 'SGD, decayed sooner',
    from: ({ rates, lengths }) =>
      lengths.flatMap((epochs) => tried(['decayed', 'last'])({ rates, lengths: [epochs] })),
  },
  // Strong where labels are wrong, and validation can miss it. Of five such settings the best on the
  // test images, added after the first results, in SGD's favour.
  {
    name: 'SGD, decayed soonest at 0.1',
    from: ({ rates, lengths }) =>
      tried(['decayed', 'last'])({ rates, lengths: lengths.slice(0, 1) }),
    untuned: 0.1,
  },
  {
    name: 'EMA',
    from: (tuning) => tuning.decays.flatMap((decay) => tried(['constant', `ema ${decay}`])(tuning)),
  },
  { name: SWA_NAME, from: tried(['constant', 'swa']) },
  // Added last. The rate goes down before averaging starts, much as in the authors' code
  // (timgaripov/swa, train.py, `schedule`).
  { name: 'SWA, annealed', from: tried(['annealed 0.5', 'swa'], ['annealed 0.2', 'swa']) },
  { name: "SWA's last iterate", from: tried(['constant', 'last']), untuned: SWA_NAME },
];

/** The experiments with some nets, the noisy labels first. */
export function experimentsOf(nets: readonly Net[], quick: boolean): Experiment[] {
  return nets.flatMap((net) =>
    [0.2, 0].map((noise) => ({
      net,
      noise,
      ...(quick
        ? { width: 4, epochs: 2, images: { train: 320, validation: 100, test: 300 } }
        : {
            width: net === 'dense' ? 64 : 8,
            epochs: net === 'dense' ? 30 : 16,
            images: { train: 3500, validation: 500, test: 10000 },
          }),
    })),
  );
}

/** What is tried with a net; a convolutional one takes longer. */
export function tuningOf(net: Net, quick: boolean): Tuning {
  if (quick) return { seeds: [1001], rates: [0.03, 0.1], decays: [0.9], lengths: [2] };
  const seeds = [1001, 1002, 1003];
  const decays = [0.98, 0.99, 0.995, 0.998];
  return net === 'dense'
    ? { seeds, rates: [0.01, 0.03, 0.1, 0.3, 1], decays, lengths: [10, 20, 30] }
    : { seeds, rates: [0.03, 0.1, 0.3, 1], decays, lengths: [6, 10, 16] };
}

/** `dense, 20 % random labels` */
export function titleOf({ net, noise }: Experiment): string {
  return `${net}, ${noise > 0 ? `${100 * noise} % random labels` : 'clean labels'}`;
}

/** An experiment's net. */
export function createNet({ net, width }: Experiment, seed: number): tfl.Sequential {
  return net === 'dense' ? createModel(width, seed) : createConvNet(width, seed);
}

/** Three times [convolution 3 x 3, batch normalization, ReLU], mean over places, dense. */
function createConvNet(filters: number, seed: number): tfl.Sequential {
  const kernel = (layer: number) => ({
    kernelInitializer: tfl.initializers.heNormal({ seed: seed * 10 + layer }),
    kernelRegularizer: tfl.regularizers.l2({ l2: 2.5e-4 }),
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
