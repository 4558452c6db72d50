/**
 * The example of keras-swa's README, in TypeScript: a classifier of three blobs of points, whose
 * weights are averaged over the last epochs at a constant and at a cyclic learning rate. Run it
 * with `npx tsx examples/keras_swa/main.ts`.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { swaCallback, type SwaCallbackOptions } from 'tfjs-swa';

await tf.ready();

// X, y = make_blobs(n_samples=1000, centers=3, n_features=2, cluster_std=2), in a mixed order
const centers = tf.tensor2d([
  [-1, -9.5],
  [1, -1],
  [-2, -4],
]);
const labels = tf.cast(tf.mod(tf.mul(tf.range(0, 1000), 7), 3), 'int32');
const noise = tf.randomNormal([1000, 2], 0, 2, 'float32', 2);
const x = tf.add(tf.gather(centers, labels), noise);
const y = tf.oneHot(labels, 3);

function build(): tfl.Sequential {
  const glorot = (seed: number) => tfl.initializers.glorotUniform({ seed });
  const model = tfl.sequential();
  model.add(tfl.layers.dense({ units: 50, inputShape: [2], kernelInitializer: glorot(1) }));
  model.add(tfl.layers.reLU());
  model.add(tfl.layers.dense({ units: 3, activation: 'softmax', kernelInitializer: glorot(2) }));
  const optimizer = tf.train.sgd(0.1);
  model.compile({ optimizer, loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
  return model;
}

const epochs = 100;
const runs: Record<string, SwaCallbackOptions> = {
  constant: { startEpoch: 75, lrSchedule: 'constant', swaLr: 0.01, verbose: 1 },
  cyclic: { startEpoch: 75, lrSchedule: 'cyclic', swaLr: 0.001, swaLr2: 0.003, swaFreq: 3 },
};
for (const [name, options] of Object.entries(runs)) {
  const model = build();
  const swa = swaCallback(model, options); // define the callback, then train
  const run = { epochs, batchSize: 100, shuffle: false, verbose: 0, callbacks: [swa] };
  const { history } = await model.fit(x, y, run);
  const [loss, accuracy] = (model.evaluate(x, y) as tf.Scalar[]).map((t) => t.dataSync()[0]!);
  console.log(`${name}: the last epoch's loss ${(history['loss']!.at(-1) as number).toFixed(4)}`);
  console.log(`  averaged weights: loss ${loss!.toFixed(4)}, accuracy ${accuracy!.toFixed(3)}`);
}
