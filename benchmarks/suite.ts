/** All rows of the table on the current backend, in Node or in a page. */
import * as tf from '@tensorflow/tfjs-core';
import { benchAverage, type Peers } from './average.js';
import { benchBnUpdate, benchStateDict, benchSwapAndMemory } from './costs.js';
import { benchEpoch } from './epoch.js';
import type { Row } from './measure.js';
import { mobileNetV2Shapes, resnet50Shapes, sizeOf } from './shapes.js';
import { benchShare } from './share.js';
import { benchMinimize, benchStep } from './step.js';

const whole = {
  'ResNet-50': [resnet50Shapes(), 161, 25_557_032],
  MobileNetV2: [mobileNetV2Shapes(), 158, 3_504_872],
} as const;
for (const [name, [shapes, tensors, values]] of Object.entries(whole)) {
  const count = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  if (shapes.length !== tensors || count !== values) {
    throw new Error(`Not ${name}: ${shapes.length} tensors, ${count} values`);
  }
}

const tiny = (length: number): number[][] => Array.from({ length }, () => [16]);

/**
 * @param quick A ResNet-50 of a sixteenth of the channels, and no MobileNetV2.
 * @param startPeers Starts other libraries to measure the average against.
 */
export async function runSuite(
  rounds: number,
  quick: boolean,
  onRow: (row: Row) => void,
  startPeers?: (shapes: readonly number[][]) => Promise<Peers>,
): Promise<void> {
  const average = async (...args: Parameters<typeof benchAverage>): Promise<void> =>
    (await benchAverage(...args)).forEach(onRow);
  const before = tf.memory().numTensors;
  const resnet = quick ? resnet50Shapes(16, 250) : whole['ResNet-50'][0];
  const name = quick ? 'ResNet-50 / 16' : 'ResNet-50';
  await average(`average, ${name}`, resnet, rounds, { startPeers });
  await average(`EMA, ${name}`, resnet, rounds, { ema: true });
  if (!quick) {
    // On tfjs-node an op costs more than the memory of a small tensor, and the goal is for large ones.
    const hasGoal = tf.getBackend() !== 'tensorflow';
    await average('average, MobileNetV2', whole.MobileNetV2[0], rounds, { hasGoal, startPeers });
  }
  for (const row of await benchShare(rounds)) onRow(row);
  // What the wrapper adds does not grow with the tensors: small ones show it best.
  onRow(await benchStep('step, ResNet-50 / 16', resnet50Shapes(16, 250), rounds, 1.02));
  onRow(await benchStep('step, 161 tiny tensors', tiny(161), rounds, 1.02));
  onRow(await benchStep('step, 20 tiny tensors', tiny(20), rounds, 1.05));
  onRow(await benchMinimize('minimize, 161 tiny tensors', tiny(161), rounds, 1.02));
  onRow(await benchMinimize('minimize, 20 tiny tensors', tiny(20), rounds, 1.05));
  for (const row of await benchSwapAndMemory(name, resnet)) onRow(row);
  onRow(await benchStateDict(name, resnet, rounds));
  onRow(await benchBnUpdate(rounds));
  for (const row of await benchEpoch(rounds, quick)) onRow(row);
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left on ${tf.getBackend()}`);
}
