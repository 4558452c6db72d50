/**
 * `model.fit` of tfjs-layers with a callback: two half moons of points are told apart, the rate
 * and the averages being the callback's. Run it with `npx tsx examples/layers_fit/main.ts`.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { swaCallback } from 'tfjs-swa';

await tf.ready();

/** Points on two half moons that reach into one another, with noise; class 0 above, 1 below. */
function moons(count: number, seed: number) {
  const angle = tf.randomUniform([count], 0, Math.PI, 'float32', seed);
  const ys = tf.cast(tf.mod(tf.range(0, count), 2), 'float32');
  const side = tf.sub(1, tf.mul(2, ys)); // 1 or -1
  const x = tf.add(tf.mul(side, tf.cos(angle)), ys);
  const y = tf.add(tf.mul(side, tf.sin(angle)), tf.mul(0.5, ys));
  const noise = tf.randomNormal([count, 2], 0, 0.3, 'float32', seed);
  return { xs: tf.add(tf.stack([x, y], 1), noise), ys: tf.reshape(ys, [count, 1]) };
}
const train = moons(200, 1);
const test = moons(2000, 2);

const model = tfl.sequential();
const kernelInitializer = tfl.initializers.glorotUniform({ seed: 1 });
model.add(tfl.layers.dense({ units: 32, inputShape: [2], kernelInitializer }));
model.add(tfl.layers.batchNormalization());
model.add(tfl.layers.reLU());
model.add(tfl.layers.dense({ units: 1, activation: 'sigmoid', kernelInitializer }));
const optimizer = tf.train.momentum(0.3, 0.9);
model.compile({ optimizer, loss: 'binaryCrossentropy', metrics: ['accuracy'] });

async function tell(what: string): Promise<void> {
  const [loss, accuracy] = model.evaluate(test.xs, test.ys) as tf.Scalar[];
  const [percent, nats] = [100 * (await accuracy!.data())[0]!, (await loss!.data())[0]!];
  console.log(`${what}: ${percent.toFixed(1)} % of the test right, loss ${nats.toFixed(3)}`);
}
const epochs = 60;
const fit = { epochs, batchSize: 20, shuffle: false, verbose: 0 };
await model.fit(train.xs, train.ys, {
  ...fit,
  callbacks: [
    // Called in this order: what the last weights do, then the averages take their place.
    new tfl.CustomCallback({ onTrainEnd: () => tell('last weights') }),
    swaCallback(model, { startEpoch: 30, lrSchedule: 'constant', swaLr: 0.3, bnData: [train.xs] }),
  ],
});
await tell('averages');
