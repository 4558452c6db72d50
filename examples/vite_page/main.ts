/**
 * A page made by Vite: a net draws a curve through noisy points, once with its last weights and
 * once with their averages. `npm install && npm run dev` in this folder serves it.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { SWA } from 'tfjs-swa';

await tf.ready();

// 60 points near one wave of a sine, and the sine itself to be tested on.
const wave = (x: tf.Tensor) => tf.sin(tf.mul(Math.PI, x));
const xs = tf.randomUniform([60, 1], -1, 1, 'float32', 1);
const ys = tf.add(wave(xs), tf.randomNormal([60, 1], 0, 0.3, 'float32', 2));
const testXs = tf.reshape(tf.linspace(-1, 1, 81), [81, 1]);
const testYs = wave(testXs);

/** Where the points (x, y) are in the picture, which is 400 wide and 300 high. */
async function places(x: tf.Tensor, y: tf.Tensor): Promise<number[][]> {
  const [across, up] = await Promise.all([x.data(), y.data()]);
  return Array.from(across, (value, i) => [200 + 200 * value, 150 - 85 * up[i]!]);
}

const points = await places(xs, ys);
document.querySelector('g')!.innerHTML = points
  .map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3" />`)
  .join('');

const kernelInitializer = tfl.initializers.glorotUniform({ seed: 4 });
const model = tfl.sequential();
model.add(tfl.layers.dense({ units: 32, inputShape: [1], activation: 'tanh', kernelInitializer }));
model.add(tfl.layers.dense({ units: 32, activation: 'tanh', kernelInitializer }));
model.add(tfl.layers.dense({ units: 1, kernelInitializer }));

/** Draws what the model now says of each x, and how far it is from the wave. */
async function show(weights: 'last' | 'averages'): Promise<void> {
  const drawn = tf.tidy(() => model.predict(testXs) as tf.Tensor);
  const error = await tf.losses.meanSquaredError(testYs, drawn).data();
  const line = (await places(testXs, drawn)).join(' ');
  document.querySelector(`polyline.${weights}`)!.setAttribute('points', line);
  const text = `mean square error ${error[0]!.toFixed(4)}`;
  document.querySelector(`.${weights} output`)!.textContent = text;
}

// 30 steps an epoch; from epoch 31 on, the weights after each step go into the averages.
const swa = new SWA(tf.train.momentum(0.03, 0.9), { swaStart: 900, swaFreq: 1 });
model.compile({ optimizer: swa, loss: 'meanSquaredError' });
const onEpochEnd = () => show('last');
const fit = { epochs: 60, batchSize: 2, shuffle: false, verbose: 0, callbacks: { onEpochEnd } };
await model.fit(xs, ys, fit);
swa.swapSwaSgd(); // the model holds the averages
await show('averages');
