/**
 * A Node script: a net learns the clothes on small pictures, of which every fifth is labelled at
 * random. Run it with `npx tsx examples/node_script/main.ts`.
 */
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { SWA } from 'tfjs-swa';

await tf.ready();

// Labels of 4,000 pictures to learn from and of 10,000 to be tested on, then their 14 x 14 pixels.
const file = new URL('../data/fashion-mnist-14x14.bin.gz', import.meta.url);
const bytes = gunzipSync(readFileSync(file));
const pictures = (first: number, count: number) => {
  const start = 14_000 + first * 196;
  return tf.div(tf.tensor2d(bytes.subarray(start, start + count * 196), [count, 196]), 255);
};
const classes = (labels: Uint8Array) => tf.oneHot(tf.tensor1d(labels, 'int32'), 10);

const labels = bytes.subarray(0, 2000).map((label, i) => (i % 5 === 0 ? (i / 5) % 10 : label));
const [xs, ys] = [pictures(0, 2000), classes(labels)];
const [testXs, testYs] = [pictures(4000, 2000), classes(bytes.subarray(4000, 6000))];

const dense = (units: number, seed: number) =>
  tfl.layers.dense({ units, kernelInitializer: tfl.initializers.glorotNormal({ seed }) });
const model = tfl.sequential();
model.add(tfl.layers.inputLayer({ inputShape: [196] }));
for (const layer of [dense(32, 1), tfl.layers.batchNormalization(), tfl.layers.reLU()])
  model.add(layer);
model.add(dense(10, 2));
model.add(tfl.layers.softmax());

// Wrap the optimizer. From epoch 6 on, the weights at the end of each epoch go into the average.
const [epochs, steps] = [15, 40];
const swa = new SWA(tf.train.momentum(0.05, 0.9), { swaStart: 5 * steps, swaFreq: steps });
model.compile({ optimizer: swa, loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
await model.fit(xs, ys, { epochs, batchSize: 2000 / steps, shuffle: false, verbose: 0 });

async function tell(what: string): Promise<void> {
  const [loss, accuracy] = model.evaluate(testXs, testYs, { batchSize: 500 }) as tf.Scalar[];
  const [percent, nats] = [100 * (await accuracy!.data())[0]!, (await loss!.data())[0]!];
  console.log(`${what}: ${percent.toFixed(1)} % of the test right, loss ${nats.toFixed(3)}`);
}
await tell('last weights');
swa.swapSwaSgd(); // the model holds the averages
await SWA.bnUpdate(tf.split(xs, 10), model); // and the statistics that belong to them
await tell('averages');
