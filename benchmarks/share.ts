/**
 * What an update of the average at every step takes of a training step, in per cent, with the fused
 * kernel of the backend and with plain tfjs ops: what each kernel earns. Four kinds of nets, batch 64.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { SWA } from 'tfjs-swa';
import { updatePlain } from './average.js';
import { fence } from './device.js';
import { compare, type Row } from './measure.js';

const BATCH = 64;
const { layers } = tfl;

interface Net {
  inputShape: number[];
  layers(inputShape: number[]): tfl.layers.Layer[];
}

const dense = (units: number) => layers.dense({ units, activation: 'relu' });

const NETS: Record<string, Net> = {
  'dense net, 17,000 parameters': {
    inputShape: [196],
    layers: (inputShape) => [
      layers.dense({ units: 64, activation: 'relu', inputShape }),
      dense(64),
      layers.dense({ units: 10 }),
    ],
  },
  'MLP, 1.9 million parameters': {
    inputShape: [784],
    layers: (inputShape) => [
      layers.dense({ units: 1024, activation: 'relu', inputShape }),
      dense(1024),
      layers.dense({ units: 10 }),
    ],
  },
  'small conv net': {
    inputShape: [14, 14, 1],
    layers: (inputShape) => [
      layers.conv2d({ filters: 8, kernelSize: 3, useBias: false, inputShape }),
      layers.batchNormalization(),
      layers.reLU(),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.conv2d({ filters: 16, kernelSize: 3, useBias: false }),
      layers.batchNormalization(),
      layers.reLU(),
      layers.flatten(),
      layers.dense({ units: 10 }),
    ],
  },
  'recurrent net': {
    inputShape: [8, 16],
    layers: (inputShape) => [
      layers.simpleRNN({ units: 64, recurrentInitializer: 'glorotUniform', inputShape }),
      layers.dense({ units: 10 }),
    ],
  },
};

/** A row for each net: per cent of a step, by `SWA.updateSwa` and by plain ops. */
export async function benchShare(rounds: number): Promise<Row[]> {
  // wasm has no gradient of a convolution of its own.
  if (tf.getBackend() === 'wasm') await import('tfjs-swa/wasm-conv-gradient');
  const rows: Row[] = [];
  for (const [name, net] of Object.entries(NETS)) rows.push(await shareOf(name, net, rounds));
  return rows;
}

async function shareOf(name: string, net: Net, rounds: number): Promise<Row> {
  const model = tfl.sequential({ layers: net.layers(net.inputShape) });
  const params = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const [xs, ys] = [tf.randomUniform([BATCH, ...net.inputShape]), tf.randomUniform([BATCH, 10])];
  const optimizer = tf.train.sgd(1e-3);
  const swa = new SWA(optimizer, { paramGroups: [{ params }] });
  const buffers = params.map((param) => tf.tidy(() => tf.variable(tf.mul(param, 0.5), false)));
  const loss = (): tf.Scalar =>
    tf.losses.meanSquaredError(ys, model.apply(xs, { training: true }) as tf.Tensor);
  const step = (): void => void optimizer.minimize(loss, false, params);

  swa.updateSwa();
  step(); // The average has data of its own from the next update on.
  const update = (): void => swa.updateSwa();
  const fused = await compare(update, step, rounds, fence);
  const plain = await compare(() => updatePlain(buffers, params, 0.1), step, rounds, fence);

  swa.dispose();
  model.dispose();
  tf.dispose([xs, ys, buffers]);
  const [value, againstValue] = [100 * fused.ratio, 100 * plain.ratio];
  return {
    backend: tf.getBackend(),
    what: `update at every step, ${name}`,
    unit: '% of a step',
    value,
    against: 'plain ops',
    againstValue,
    ratio: value / againstValue,
  };
}
