/**
 * What the specs of `swaCallback` share: a small net, its data, and float64 references of averages
 * and statistics that know nothing of `lib`.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfd from '@tensorflow/tfjs-data';
import * as tfl from '@tensorflow/tfjs-layers';
import { assertClose, disposeBare, own, random, valuesOf } from './support.js';

export type Callbacks = NonNullable<tfl.ModelFitArgs['callbacks']>;

export const EXAMPLES = 10;
export const BATCH = 4; // batches of 4, 4 and 2
export const BATCHES = [
  [0, 4],
  [4, 8],
  [8, 10],
] as const;

/** Inputs of width 2 and their targets, the same in every run. */
export const points = ((): { x: number[][]; y: number[][] } => {
  const next = random(5);
  const x = Array.from({ length: EXAMPLES }, () => [4 * next() - 1, 2 * next() - 3]);
  return { x, y: x.map(([a, b]) => [Math.sin(a!) + b!]) };
})();

export const data = (): { x: tf.Tensor2D; y: tf.Tensor2D } => ({
  x: own(tf.tensor2d(points.x)),
  y: own(tf.tensor2d(points.y)),
});

/** The examples in batches, in order; its size, as tfjs-layers sees it, is unknown. */
export const dataset = (): tfd.Dataset<{ xs: tf.Tensor2D; ys: tf.Tensor2D }> =>
  tfd.generator(function* () {
    for (const [from, to] of BATCHES) {
      // Owned: tfjs-layers forgets the batch at which a callback fails.
      const xs = own(tf.tensor2d(points.x.slice(from, to)));
      yield { xs, ys: own(tf.tensor2d(points.y.slice(from, to))) };
    }
  });

/** Owns a bare optimizer. */
export function bare<O extends tf.Optimizer>(optimizer: O): O {
  own({ dispose: () => disposeBare(optimizer) });
  return optimizer;
}

/** Dense 3, batch normalization if asked for, dense 1; compiled. */
export function net(optimizer: tf.Optimizer = bare(tf.train.sgd(0.1)), bn = true): tfl.Sequential {
  const dense = tfl.layers.dense({ units: 3, inputShape: [2], activation: 'tanh' });
  const model = own(
    tfl.sequential({
      layers: [
        dense,
        ...(bn ? [tfl.layers.batchNormalization({ momentum: 0.7 })] : []),
        tfl.layers.dense({ units: 1 }),
      ],
    }),
  );
  const next = random(3);
  tf.tidy(() => {
    for (const weight of model.weights) {
      if (!weight.name.includes('kernel')) continue;
      const { shape, size } = weight.read();
      weight.write(
        tf.tensor(
          Float32Array.from({ length: size }, () => next() - 0.5),
          shape,
        ),
      );
    }
  });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  return model;
}

export const values = (model: tfl.LayersModel): Promise<number[][]> => valuesOf(model.getWeights());

/** The weights that are no moving statistics. */
export const trained = (model: tfl.LayersModel): Promise<number[][]> =>
  valuesOf(model.trainableWeights.map((weight) => weight.read()));

/** A callback that notes the weights at the end of each epoch, by epoch from 1. */
export function recorder(model: tfl.LayersModel): {
  weights: Map<number, number[][]>;
  onEpochEnd: (epoch: number) => Promise<void>;
} {
  const weights = new Map<number, number[][]>();
  return {
    weights,
    onEpochEnd: async (epoch) => void weights.set(epoch + 1, await trained(model)),
  };
}

/** The mean of the weights noted after the given epochs, in float64. */
export function meanOf(weights: Map<number, number[][]>, epochs: number[]): number[][] {
  return weights
    .get(epochs[0]!)!
    .map((one, i) =>
      one.map(
        (_, j) => epochs.reduce((sum, e) => sum + weights.get(e)![i]![j]!, 0) / epochs.length,
      ),
    );
}

export function assertWeights(actual: number[][], expected: number[][], tolerance = 1e-6): void {
  actual.forEach((one, i) => assertClose(one, expected[i]!, tolerance, `weight ${i}`));
}

/** The mean and variance, in float64, of what the first layer makes of the examples. */
export async function hiddenMoments(
  model: tfl.LayersModel,
  from: number,
  to: number,
): Promise<number[][]> {
  const [kernel, bias] = model.layers[0]!.getWeights();
  const w = (await kernel!.array()) as number[][];
  const b = (await bias!.array()) as number[];
  const rows = points.x
    .slice(from, to)
    .map(([x0, x1]) => b.map((bj, j) => Math.tanh(x0! * w[0]![j]! + x1! * w[1]![j]! + bj)));
  const mean = b.map((_, j) => rows.reduce((sum, row) => sum + row[j]!, 0) / rows.length);
  const variance = mean.map(
    (m, j) => rows.reduce((sum, row) => sum + (row[j]! - m) ** 2, 0) / rows.length,
  );
  return [mean, variance];
}

/** keras-swa's statistics: the mean of those of each batch, each counting the same. */
export async function batchMeanMoments(
  model: tfl.LayersModel,
  batches: number = BATCHES.length,
): Promise<number[][]> {
  const each = await Promise.all(
    BATCHES.slice(0, batches).map(async ([from, to]) => await hiddenMoments(model, from, to)),
  );
  return [0, 1].map((k) =>
    each[0]![k]!.map((_, j) => each.reduce((sum, m) => sum + m[k]![j]!, 0) / each.length),
  );
}

export const movingOf = (model: tfl.LayersModel): Promise<number[][]> =>
  valuesOf(model.layers[1]!.getWeights().slice(2));

/** Notes the rate of every step, as the optimizer uses it. */
export function ratesOf(optimizer: tf.Optimizer): number[] {
  const rates: number[] = [];
  const apply = optimizer.applyGradients.bind(optimizer);
  optimizer.applyGradients = (gradients) => {
    const { c, learningRate } = optimizer as unknown as { c?: tf.Tensor; learningRate: number };
    // Made from a number, which every backend keeps: no GPU is asked.
    rates.push(c ? -c.dataSync()[0]! : learningRate);
    apply(gradients);
  };
  return rates;
}

/** What `f` writes with console.log. */
export async function saidBy(f: () => Promise<unknown>): Promise<string[]> {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => void lines.push(line);
  try {
    await f();
  } finally {
    console.log = log;
  }
  return lines;
}

/** Owns the tensors of a stream of batches. */
export async function* owning<B extends tf.Tensor | unknown[]>(stream: AsyncIterable<B>) {
  for await (const batch of stream) {
    for (const part of [batch].flat()) if (part instanceof tf.Tensor) own(part);
    yield batch;
  }
}

export const FIT = { batchSize: BATCH, shuffle: false, verbose: 0 } as const;

/** Stops training at the end of an epoch, counted from 1. */
export const stopAfter = (model: tfl.LayersModel, last: number): tfl.CustomCallbackArgs => ({
  onEpochEnd: async (epoch) => {
    if (epoch + 1 === last) model.stopTraining = true;
  },
});
