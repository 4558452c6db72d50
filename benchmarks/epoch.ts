/**
 * What SWA costs a whole training: epochs that average against epochs of the bare optimizer, and
 * `bnUpdate`, which a run has once, against one of them.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { SWA } from 'tfjs-swa';
import { createModel, lossOf, trainableVariables } from '../examples/demo/model.js';
import { CLASSES, SIDE } from '../examples/demo/data.js';
import { fence } from './device.js';
import { compare, type Comparison, type Row } from './measure.js';

interface Net {
  name: string;
  /** Of an image. */
  shape: number[];
  /** Batches of an epoch. */
  steps: number;
  create(): tfl.LayersModel;
}

/** Two times [convolution without bias, batch normalization, ReLU, pooling], dense. */
function createConvNet(): tfl.LayersModel {
  const block = (filters: number, first: object) => [
    tfl.layers.conv2d({ filters, kernelSize: 3, padding: 'same', useBias: false, ...first }),
    tfl.layers.batchNormalization(),
    tfl.layers.reLU(),
    tfl.layers.maxPooling2d({ poolSize: 2 }),
  ];
  return tfl.sequential({
    layers: [
      ...block(16, { inputShape: [SIDE, SIDE, 1] }),
      ...block(32, {}),
      tfl.layers.flatten(),
      tfl.layers.dense({ units: CLASSES }),
    ],
  });
}

/**
 * The net that one would train on the backend: the demo's on wasm, which lacks the gradient of a
 * convolution, and a convolutional one on tfjs-node. On cpu a step takes many times as long, and
 * the average as much of it or less; WebGPU and WebGL are only SwiftShader here.
 */
const NETS: Record<string, Net> = {
  wasm: { name: 'MLP', shape: [SIDE, SIDE], steps: 62, create: () => createModel(64, 1) },
  tensorflow: { name: 'conv net', shape: [SIDE, SIDE, 1], steps: 16, create: createConvNet },
};

const BATCH = 64;

/** A net, its optimizer, and a way to train it for an epoch. */
interface Training {
  model: tfl.LayersModel;
  epoch: () => void;
  dispose: () => void;
}

/** Epochs over noise of the images' shape; none on a backend that has no net here. */
export async function benchEpoch(rounds: number, quick: boolean): Promise<Row[]> {
  const backend = tf.getBackend();
  const net = NETS[backend];
  if (!net) return [];
  const { name, shape } = net;
  const steps = quick ? 4 : net.steps;
  const batches = Array.from({ length: steps }, () => ({
    images: tf.randomUniform([BATCH, ...shape]),
    labels: tf.tidy(() => {
      const labels = tf.randomUniform([BATCH], 0, CLASSES, 'int32');
      return tf.cast(tf.oneHot(labels, CLASSES), 'float32');
    }),
  }));

  const training = (optimizer: tf.Optimizer): Training => {
    const model = net.create();
    const variables = trainableVariables(model);
    return {
      model,
      epoch: () => {
        for (const { images, labels } of batches) {
          optimizer.minimize(() => lossOf(model, images, labels), false, variables);
        }
      },
      dispose: () => {
        model.dispose();
        optimizer.dispose();
      },
    };
  };
  const momentum = () => tf.train.momentum(0.01, 0.9);
  const base = momentum();
  const bare = training(base);

  const against = 'an epoch of the bare optimizer';
  const rowOf = (what: string, result: Comparison, cost: number): Row => {
    const percent = `${cost < 0 ? '-' : '+'} ${Math.abs(100 * cost).toFixed(1)} %`;
    return { backend, what: `${what} (${percent})`, against, ...result };
  };
  const rows: Row[] = [];
  for (const [when, swaFreq] of [
    ['every step', 1],
    ['every epoch', steps],
  ] as const) {
    const swa = new SWA(momentum(), { swaStart: 0, swaFreq });
    const averaged = training(swa);
    const result = await compare(averaged.epoch, bare.epoch, rounds, fence);
    const { n_avg, step_counter } = swa.paramGroups[0]!;
    if (n_avg * swaFreq !== step_counter) throw new Error(`Averaged ${n_avg} times`);
    averaged.dispose();
    rows.push(rowOf(`epoch of the ${name}, averaged ${when}`, result, result.ratio - 1));
  }
  const images = batches.map((batch) => batch.images);
  const statistics = () => SWA.bnUpdate(images, bare.model);
  const result = await compare(statistics, bare.epoch, rounds, fence);
  rows.push(rowOf(`bnUpdate of the ${name}, once a run`, result, result.ratio));

  bare.dispose();
  // What MomentumOptimizer forgets (tfjs-core 4.22, momentum_optimizer.ts, `dispose`).
  tf.dispose(base['c']);
  tf.dispose(batches.flatMap(({ images, labels }) => [images, labels]));
  return rows;
}
