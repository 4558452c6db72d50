/**
 * A greedy soup: from one start a sweep of rates trains the demo's net on, and what makes the average
 * better on validation images goes into it. `npx tsx examples/soup/main.ts [--seed 1] [--quick]`
 */
import * as tf from '@tensorflow/tfjs-core';
import { parseArgs } from 'node:util';
import { assignWeights, greedySoup, readWeights, SWA, type TensorData } from 'tfjs-swa';
import { startBackend } from '../demo/backend.js';
import { noisyLabels, type Images } from '../demo/data.js';
import { createModel, evaluate, reestimate, trainableVariables } from '../demo/model.js';
import { randomNumbers, shuffledIndices } from '../demo/random.js';
import { loadImages } from '../demo/read_images.js';
import { MOMENTUM, RATE } from '../demo/schedule.js';
import { trainEpoch } from '../demo/training.js';

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, quick: { type: 'boolean', default: false } },
});
const seed = Number(values.seed);
const RATES = values.quick ? [0.1, 0.02] : [0.2, 0.1, 0.05, 0.02, 0.01, 0.005];
const [before, after] = values.quick ? [1, 2] : [8, 6]; // epochs of the start, and of each run
await startBackend('wasm', console.warn);

/** 3,000 images to learn from, a fifth of them labelled at random; 1,000 to choose by; the test. */
const images = await loadImages();
const part = (first: number, count: number): Images => ({
  count,
  pixels: images.train.pixels.subarray(first * 196, (first + count) * 196),
  labels: images.train.labels.subarray(first, first + count),
});
const [clean, validation] = [part(0, values.quick ? 600 : 3000), part(3000, 1000)];
const train = { ...clean, labels: noisyLabels(clean.labels, 0.2, randomNumbers(seed)) };

const model = createModel(64, seed);
const swa = new SWA(tf.train.momentum(RATE, MOMENTUM), {
  paramGroups: [{ params: trainableVariables(model) }],
});
async function epoch(order: number): Promise<void> {
  const indices = shuffledIndices(train.count, randomNumbers(seed * 100_003 + order));
  await trainEpoch(model, swa, train, indices, () => {});
}

/** The errors, in percent, and the likelihood of weights, with batch normalization to fit them. */
async function scoreOf(weights: TensorData[], of: Images) {
  assignWeights(model, weights);
  await reestimate(model, train);
  return evaluate(model, of);
}

for (let i = 0; i < before; i++) await epoch(i);
const start = { weights: await readWeights(model), optimizer: await swa.stateDict() };

interface Run {
  name: string;
  weights: TensorData[];
}
const [lasts, averages]: [Run[], Run[]] = [[], []];
for (const [i, rate] of RATES.entries()) {
  assignWeights(model, start.weights);
  await swa.loadStateDict(start.optimizer);
  swa.setLearningRate(rate);
  for (let k = 0; k < after; k++) {
    await epoch(1000 * (i + 1) + k);
    swa.updateSwa();
  }
  lasts.push({ name: `${rate}`, weights: await readWeights(model) });
  averages.push({ name: `${rate}`, weights: await swa.withSwa(() => readWeights(model)) });
}

/** The run that is best on the validation images, and the soup of all, on the test. */
async function compare(what: string, runs: Run[]): Promise<void> {
  const soup = await greedySoup(runs, {
    load: ({ weights }) => weights, // or from a file, by its name
    evaluate: async (weights) => (await scoreOf(weights, validation)).nll,
  });
  const tell = async (which: string, weights: TensorData[]) => {
    const { error, nll } = await scoreOf(weights, images.test);
    console.log(
      `${what}, ${which}: ${error.toFixed(2)} % of the test wrong, ${nll.toFixed(3)} nats`,
    );
  };
  for (const { name, weights } of runs) await tell(`rate ${name}`, weights);
  const best = soup.members[0]!;
  await tell(`best on validation (${best.name})`, best.weights);
  await tell(`soup of ${soup.members.map(({ name }) => name).join(' + ')}`, soup.weights);
}
await compare('last weights', lasts);
await compare('averages', averages);
swa.dispose();
