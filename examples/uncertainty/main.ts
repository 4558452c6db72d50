/**
 * How sure is a model between its data? A curve is drawn through points with a gap in the middle, with
 * the band of what samples of the weights (SWAG) predict: `npx tsx examples/uncertainty/main.ts`
 * writes uncertainty.svg and uncertainty.png to demo-output/ or `--out DIR`.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { parseArgs } from 'node:util';
import { cyclic, LambdaLR, SWAG } from 'tfjs-swa';
import { writeFiles } from '../demo/output.js';
import { render } from '../demo/render.js';
import { bandChart } from './chart.js';

const { values: args } = parseArgs({
  options: { out: { type: 'string', default: 'demo-output' } },
});
await tf.ready();
const [POINTS, BATCH, WAVES, CYCLE, CYCLES] = [40, 5, 200, 400, 30];

// Noisy points of a sine, none between -0.5 and 0.5; and which of them each step sees.
const curve = (x: number): number => Math.sin(3 * x);
const [places, noise, batches] = await Promise.all([
  tf.randomUniform([POINTS], 0.5, 1, 'float32', 1).data(),
  tf.randomNormal([POINTS], 0, 0.2, 'float32', 12).data(),
  tf.randomUniform([CYCLES * CYCLE, BATCH], 0, POINTS, 'int32', 3).array() as Promise<number[][]>,
]);
const points = [...places].map((place, i) => {
  const x = i % 2 ? place : -place;
  return { x, y: curve(x) + noise[i]! };
});

// The model: a sum of waves of random lengths, with a weight for each (Rahimi & Recht 2007).
const rates = tf.randomNormal([1, WAVES], 0, 3, 'float32', 4);
const phases = tf.randomUniform([1, WAVES], 0, 2 * Math.PI, 'float32', 5);
const column = (values: number[]): tf.Tensor2D => tf.tensor2d(values, [values.length, 1]);
const wavesAt = (xs: number[]) => tf.cos(tf.add(tf.matMul(column(xs), rates), phases));
const kernelInitializer = tfl.initializers.randomNormal({ stddev: 0.02, seed: 6 });
const model = tfl.sequential({
  layers: [tfl.layers.dense({ units: 1, inputShape: [WAVES], kernelInitializer })],
});
const kernel = model.weights[0]!.read() as tf.Variable;

// The rate falls again and again. High, it changes the curve; low, it fits it to the points, and what
// was changed between them stays: that is when SWAG takes the weights.
const optimizer = tf.train.momentum(0.01, 0.9);
const schedule = new LambdaLR(optimizer, cyclic({ high: 0.01, low: 0.00005, steps: CYCLE }));
const swag = new SWAG(model);
const inputs = wavesAt(points.map(({ x }) => x));
const outputs = column(points.map(({ y }) => y));
batches.forEach((batch, i) => {
  tf.tidy(() => {
    const [x, y] = [inputs, outputs].map((all) => tf.gather(all, batch));
    const decay = () => tf.mul(0.025, tf.sum(tf.square(kernel)));
    const error = () => tf.losses.meanSquaredError(y!, model.apply(x!) as tf.Tensor);
    optimizer.minimize(() => tf.add(error(), decay()));
  });
  schedule.step();
  if ((i + 1) % CYCLE === 0 && i > 10 * CYCLE) swag.update();
});

const xs = Array.from({ length: 111 }, (_, i) => (i - 55) / 50);
const { mean, std } = await swag.predict(wavesAt(xs), { samples: 200, seed: 1, scale: 2 });
const [means, stds] = await Promise.all([mean.data(), std.data()]);
const band = xs.map((x, i) => ({ x, mean: means[i]!, std: stds[i]!, truth: curve(x) }));
const { svg, png } = await render(bandChart(points, band));
writeFiles(args.out, { 'uncertainty.svg': svg, 'uncertainty.png': png });

for (const [from, to, where] of [
  [-0.5, 0.5, 'in the gap'],
  [-1, -0.5, 'left of it'],
  [0.5, 1, 'right of it'],
] as const) {
  // prettier-ignore
  const part = band.filter(({ x }) => x >= from && x <= to);
  const average = part.reduce((sum, at) => sum + at.std, 0) / part.length;
  console.log(`standard deviation ${where}: ${average.toFixed(3)}`);
}
