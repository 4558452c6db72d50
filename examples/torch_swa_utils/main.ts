/**
 * The examples of torch's documentation of `torch.optim.swa_utils`, in TypeScript: SWA with SWALR
 * and update_bn, an EMA of the weights, and averaging of one's own. Run it with
 * `npx tsx examples/torch_swa_utils/main.ts`.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { AveragedModel, LambdaLR, SWALR, cosineAnnealing, emaAvgFn, updateBn } from 'tfjs-swa';
import type { AvgFn } from 'tfjs-swa';

await tf.ready();

// loader, optimizer, model, loss_fn = ...: two noisy rings of points, in batches of 32.
const radius = tf.concat([tf.fill([128], 1), tf.fill([128], 2)]);
const angle = tf.linspace(0, 80, 256);
const noise = tf.randomNormal([256, 2], 0, 0.3, 'float32', 1);
const circle = tf.stack([tf.mul(radius, tf.cos(angle)), tf.mul(radius, tf.sin(angle))], 1);
const order = tf.cast(tf.mod(tf.mul(tf.range(0, 256), 37), 256), 'int32'); // mixed
const xs = tf.gather(tf.add(circle, noise), order) as tf.Tensor2D;
const ys = tf.gather(tf.sub(radius, 1), order);
const loader = tf.split(xs, 8).map((x, i) => [x, tf.slice(ys, i * 32, 32)] as const);
const dense = (units: number, seed: number) =>
  tfl.layers.dense({ units, kernelInitializer: tfl.initializers.glorotNormal({ seed }) });
const model = tfl.sequential();
model.add(tfl.layers.inputLayer({ inputShape: [2] }));
for (const layer of [dense(16, 1), tfl.layers.batchNormalization(), tfl.layers.reLU()])
  model.add(layer);
model.add(dense(1, 2));
const optimizer = tf.train.momentum(0.1, 0.9);
const logits = (net: tfl.LayersModel, x: tf.Tensor, training: boolean) =>
  tf.squeeze(net.apply(x, { training }) as tf.Tensor, [1]);
const lossOf = (net: tfl.LayersModel, x: tf.Tensor, y: tf.Tensor, training = true): tf.Scalar =>
  tf.losses.sigmoidCrossEntropy(y, logits(net, x, training));

// SWA: cosine annealing, then a constant rate of 0.05 and the average of an epoch each.
const swaModel = new AveragedModel(model);
const scheduler = new LambdaLR(optimizer, cosineAnnealing({ from: 0.1, to: 0, steps: 100 }));
const swaStart = 5;
let swaScheduler: SWALR | undefined;

// EMA with a decay of 0.95, and a mean that leaves out what is far away, updated after each step.
const emaModel = new AveragedModel(model, { avgFn: emaAvgFn(0.95), useBuffers: true });
const clipped: AvgFn = (averaged, current, numAveraged) =>
  tf.add(averaged, tf.div(tf.clipByValue(tf.sub(current, averaged), -1, 1), numAveraged + 1));
const customModel = new AveragedModel(model, { avgFn: clipped, useBuffers: true });

for (let epoch = 0; epoch < 20; epoch++) {
  for (const [x, y] of loader) {
    optimizer.minimize(() => lossOf(model, x, y));
    emaModel.updateParameters();
    customModel.updateParameters();
  }
  if (epoch > swaStart) {
    swaModel.updateParameters();
    swaScheduler ??= new SWALR(optimizer, { swaLr: 0.05, annealEpochs: 5 });
    swaScheduler.step();
  } else {
    scheduler.step();
  }
}
await updateBn(loader, swaModel.module); // statistics for the averaged weights

const nets = {
  model,
  swaModel: swaModel.module,
  emaModel: emaModel.module,
  customModel: customModel.module,
};
for (const [name, net] of Object.entries(nets)) {
  const [loss] = await lossOf(net, xs, ys, false).data();
  console.log(`${name.padEnd(12)} loss ${loss!.toFixed(4)}`);
}
