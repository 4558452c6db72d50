/**
 * A checkpoint after every epoch, `{ swa, scheduler, epoch, model }`: a run that was stopped goes on
 * where it was and ends as if it never had been. `npx tsx examples/checkpoint/main.ts`
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { LambdaLR, SWA, linear, loadStateDict, saveStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';

const xs = tf.split(tf.randomUniform([64, 2], -1, 1, 'float32', 1), 8);
const loss = (model: tfl.LayersModel, x: tf.Tensor): tf.Scalar =>
  tf.losses.meanSquaredError(tf.sum(x, 1, true), model.apply(x, { training: true }) as tf.Tensor);

async function hostData(weight: tf.Tensor, i: number): Promise<TensorData> {
  const values = ((await weight.data()) as Float32Array).slice();
  return { name: `weight ${i}`, dtype: 'float32', shape: weight.shape, values };
}

/** Trains up to an epoch, from where the file says. Returns the loss on the averages. */
async function train(file: string, lastEpoch: number): Promise<number> {
  const kernelInitializer = tfl.initializers.heNormal({ seed: 2 });
  const hidden = tfl.layers.dense({ units: 8, inputShape: [2], kernelInitializer });
  const output = tfl.layers.dense({ units: 1, kernelInitializer });
  const model = tfl.sequential({ layers: [hidden, tfl.layers.batchNormalization(), output] });
  const params = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const swa = new SWA(tf.train.adam(0.05), { swaStart: 80, swaFreq: 3, paramGroups: [{ params }] });
  const scheduler = new LambdaLR(swa, linear({ from: 0.05, to: 0.02, steps: 20 }));
  let epoch = 0;
  const checkpoint = async () => ({
    swa: await swa.stateDict(),
    scheduler: scheduler.stateDict(),
    epoch, // random numbers, if there were any, would be seeded by it
    model: await Promise.all(model.getWeights().map(hostData)), // with the moving statistics
  });
  if (existsSync(file)) {
    const last = await loadStateDict<Awaited<ReturnType<typeof checkpoint>>>(fileSystem(file));
    model.setWeights(last.model.map(({ values, shape }) => tf.tensor(values, shape)));
    await swa.loadStateDict(last.swa);
    scheduler.loadStateDict(last.scheduler);
    epoch = last.epoch;
    console.log(`resumed after epoch ${epoch}, with ${swa.paramGroups[0]!.n_avg} values averaged`);
  }
  while (epoch < lastEpoch) {
    for (const x of xs) swa.minimize(() => loss(model, x));
    scheduler.step();
    epoch += 1;
    await saveStateDict(fileSystem(file), await checkpoint());
  }
  return swa.withSwa(async () => (await loss(model, tf.concat(xs)).data())[0]!);
}

const folder = mkdtempSync(`${tmpdir()}/swa-`);
console.log('unbroken', await train(`${folder}/unbroken.safetensors`, 20));
await train(`${folder}/run.safetensors`, 13); // stopped in the middle, between two averages
console.log('resumed', await train(`${folder}/run.safetensors`, 20));
rmSync(folder, { recursive: true });
