/** The filter's gradient on wasm is that of cpu, and a convolutional net trains with it. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { assert } from 'chai';
import { createRequire } from 'node:module';
import path from 'node:path';
import { SWA } from 'tfjs-swa';
import 'tfjs-swa/wasm-conv-gradient';
import { assertClose, own, random } from '../support/support.js';

describe('wasm-conv-gradient', () => {
  let backend: string;
  before(() => {
    backend = tf.getBackend();
    const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(`${path.dirname(main)}/`);
  });
  afterEach(() => tf.setBackend(backend));

  const next = random(5);
  const numbers = (length: number) => Float32Array.from({ length }, () => next() - 0.5);

  type Pad = Parameters<typeof tf.conv2d>[3];
  type Shape = [number, number, number, number];
  const pads: Pad[] = ['valid', 'same', 1, 2, [[0, 0], [1, 2], [0, 3], [0, 0]]]; // prettier-ignore
  const strides: (number | [number, number])[] = [1, 2, 3, [1, 2], [3, 1]];
  const sizes: [h: number, w: number, filterH: number, filterW: number][] = [
    [5, 5, 3, 3],
    [6, 7, 3, 2],
    [8, 5, 1, 1],
    [7, 6, 5, 4],
  ];

  // The kernel itself, for tfjs 4.22's own convolution on wasm writes out of bounds with a pad in
  // numbers.
  for (const pad of pads) {
    for (const stride of strides) {
      it(`is that of cpu: strides ${String(stride)}, pad ${String(pad)}`, async () => {
        for (const [h, w, filterH, filterW] of sizes) {
          const shape: Shape = [2, h, w, 3];
          const filterShape: Shape = [filterH, filterW, 3, 4];
          const rounding = typeof pad === 'string' ? undefined : 'floor';
          const attrs = {
            strides: stride,
            pad,
            dataFormat: 'NHWC',
            dimRoundingMode: rounding,
            filterShape,
          };
          const { outShape } = tf.backend_util.computeConv2DInfo(
            shape,
            filterShape,
            stride,
            1,
            pad as 'valid',
            rounding,
          );
          const [x, dy] = [numbers(2 * h * w * 3), numbers(tf.util.sizeFromShape(outShape))];
          const gradient = async (backend: string) => {
            await tf.setBackend(backend);
            const result = tf.tidy(() =>
              tf
                .engine()
                .runKernel<tf.Tensor>(
                  'Conv2DBackpropFilter',
                  { x: tf.tensor4d(x.slice(), shape), dy: tf.tensor(dy.slice(), outShape) },
                  attrs as never,
                ),
            );
            assert.deepEqual(result.shape, filterShape);
            const values = (await result.data()).slice();
            result.dispose();
            return values;
          };
          const expected = await gradient('cpu');
          assertClose(await gradient('wasm'), expected, 1e-5, `${h} x ${w}`);
          assert.isTrue(expected.some((value) => Math.abs(value) > 0.1));
        }
      });
    }
  }

  it('is not asked for with dilations: of those tfjs itself has no gradient', () => {
    const [x, filter, dy] = [
      [1, 6, 6, 1],
      [2, 2, 1, 1],
      [1, 4, 4, 1],
    ].map((shape) => own(tf.ones(shape)));
    const attrs = { strides: 1, pad: 'valid', dataFormat: 'NHWC', dilations: 2 };
    const { gradFunc } = tf.getGradient('Conv2D')!;
    assert.throws(
      () => gradFunc(dy!, [x!, filter!], attrs as never),
      /dilation rates greater than 1 are not yet supported in gradients/,
    );
  });

  it('trains a small convolutional net with batch normalization, averages and bnUpdate', async () => {
    await tf.setBackend('wasm');
    const model = own(
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({
            filters: 4,
            kernelSize: 3,
            strides: 2,
            inputShape: [8, 8, 1],
            padding: 'same',
            kernelInitializer: tfl.initializers.glorotUniform({ seed: 1 }),
          }),
          tfl.layers.batchNormalization(),
          tfl.layers.reLU(),
          tfl.layers.flatten(),
          tfl.layers.dense({
            units: 1,
            kernelInitializer: tfl.initializers.glorotUniform({ seed: 2 }),
          }),
        ],
      }),
    );
    // Which half of the image is brighter.
    const xs = own(tf.tensor4d(numbers(64 * 64), [64, 8, 8, 1]));
    const ys = own(
      tf.tidy(() =>
        tf.sub(
          tf.mean(tf.slice(xs, [0, 0, 0, 0], [64, 4, 8, 1]), [1, 2]),
          tf.mean(tf.slice(xs, [0, 4, 0, 0], [64, 4, 8, 1]), [1, 2]),
        ),
      ),
    );
    const swa = own(new SWA(tf.train.momentum(0.05, 0.9), { swaStart: 20, swaFreq: 2 }));
    const loss = (training: boolean): tf.Scalar =>
      tf.tidy(() => tf.losses.meanSquaredError(ys, model.apply(xs, { training }) as tf.Tensor));
    const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
    const before = tf.tidy(() => loss(true).dataSync()[0]!);
    for (let step = 0; step < 60; step++) swa.minimize(() => loss(true), false, variables);
    swa.swapSwaSgd();
    await SWA.bnUpdate([xs], model);
    const after = tf.tidy(() => loss(false).dataSync()[0]!);
    assert.isBelow(after, before / 5);
  });
});
