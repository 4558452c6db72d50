/** The rows of the GPU backends in a page, which browser.ts bundles and opens. */
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import { benchAverage } from './average.js';
import type { Row } from './measure.js';
import { mobileNetV2Shapes, resnet50Shapes } from './shapes.js';
import { benchShare } from './share.js';

/** Measures on the backend; called by browser.ts. */
async function bench(backend: string, rounds: number, quick: boolean): Promise<Row[]> {
  if (!(await tf.setBackend(backend))) throw new Error(`The backend ${backend} does not start`);
  await tf.ready();
  // Else small tensors are added in JavaScript, the one that the fence waits for among them.
  for (const flag of ['WEBGL_CPU_FORWARD', 'WEBGPU_CPU_FORWARD']) tf.env().set(flag, false);
  const errors: string[] = [];
  const { device } = tf.backend() as { device?: EventTarget };
  device?.addEventListener('uncapturederror', (event) =>
    errors.push((event as Event & { error: Error }).error.message),
  );
  const rows = quick
    ? await benchAverage('average, ResNet-50 / 16', resnet50Shapes(16, 250), rounds)
    : [
        ...(await benchAverage('average, ResNet-50', resnet50Shapes(), rounds)),
        ...(await benchAverage('EMA, ResNet-50', resnet50Shapes(), rounds, { ema: true })),
        ...(await benchAverage('average, MobileNetV2', mobileNetV2Shapes(), rounds)),
      ];
  rows.push(...(await benchShare(rounds)));
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return rows;
}

Object.assign(window, { bench });
