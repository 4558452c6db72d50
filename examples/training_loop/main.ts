/**
 * A training loop written by hand, with variables and no layers: a curve is drawn through noisy
 * points. Run it with `npx tsx examples/training_loop/main.ts`.
 */
import '@tensorflow/tfjs-layers'; // in Node it is what makes tfjs-core know the gradients
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { SWA } from 'tfjs-swa';

await tf.ready();

// 100 points near one wave of a sine, and the sine itself to be tested on.
const curve = (x: tf.Tensor) => tf.sin(tf.mul(Math.PI, x));
const xs = tf.randomUniform([100, 1], -1, 1, 'float32', 1);
const ys = tf.add(curve(xs), tf.randomNormal([100, 1], 0, 0.3, 'float32', 2));
const testXs = tf.reshape(tf.linspace(-1, 1, 201), [201, 1]);

// A net of one hidden layer.
const normal = (shape: [number, number], seed: number) =>
  tf.variable(tf.randomNormal(shape, 0, 1, 'float32', seed));
const net = {
  inner: normal([1, 20], 3),
  innerBias: normal([1, 20], 4),
  outer: normal([20, 1], 5),
  outerBias: tf.variable(tf.zeros([1, 1])),
};
function predict(x: tf.Tensor): tf.Tensor {
  const hidden = tf.tanh(tf.add(tf.matMul(x, net.inner), net.innerBias));
  return tf.add(tf.matMul(hidden, net.outer), net.outerBias);
}
const meanSquare = (x: tf.Tensor, y: tf.Tensor): tf.Scalar =>
  tf.losses.meanSquaredError(y, predict(x));

// Wrap the optimizer; then the loop is as it was, one point a step.
const swa = new SWA(tf.train.sgd(0.1), { swaStart: 3000, swaFreq: 10 });
for (let step = 1; step <= 6000; step++) {
  tf.tidy(() => {
    const [x, y] = [xs, ys].map((all) => tf.slice(all, [step % 100, 0], [1, 1]));
    swa.minimize(() => meanSquare(x!, y!), false, Object.values(net));
  });
}

async function tell(what: string): Promise<void> {
  const [error] = await tf.tidy(() => meanSquare(testXs, curve(testXs))).data();
  console.log(`${what}: mean square error ${error!.toFixed(4)}`);
}
await tell('last weights');
await swa.withSwa(() => tell('averages')); // swaps the averages in, looks, swaps back
