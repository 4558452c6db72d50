/** What is said of tfjs-node-gpu alone: `BACKEND=tensorflow npx mocha spec/node_gpu/*.spec.ts`. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadStateDict, saveStateDict, SWA, updateBn } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { nodeAverage } from '../../lib/average/kernels/node.js';
import { skipOnNodeGpu } from '../support/backends.js';
import { assertClose, half, own, random, valuesOf, variable } from '../support/support.js';
import '../support/wasm.js';

describe('tfjs-node-gpu', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('is on the GPU where there is one', () => {
    assert.equal(tf.getBackend(), 'tensorflow');
    const { isUsingGpuDevice } = tf.backend() as unknown as { isUsingGpuDevice: boolean };
    assert.equal(isUsingGpuDevice, spawnSync('nvidia-smi').status === 0);
  });

  it('trains a convolutional net with batch normalization, averaged', async () => {
    const model = own(
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({ filters: 4, kernelSize: 3, inputShape: [6, 6, 1] }),
          tfl.layers.batchNormalization(),
          tfl.layers.reLU(),
          tfl.layers.flatten(),
          tfl.layers.dense({ units: 1, activation: 'sigmoid' }),
        ],
      }),
    );
    // Which half of the image is the brighter one.
    const next = random(7);
    const pixel = (_: unknown, i: number, left: boolean): number =>
      next() + (i % 6 < 3 === left ? 1 : 0);
    const labels = Array.from({ length: 64 }, (_, i) => i % 2);
    const pixels = labels.map((label) =>
      Array.from({ length: 36 }, (_, i) => pixel(_, i, label === 1)),
    );
    const x = own(tf.tensor4d(pixels.flat(), [64, 6, 6, 1]));
    const y = own(tf.tensor2d(labels, [64, 1]));
    const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);

    const swa = own(new SWA(tf.train.adam(0.02), { swaStart: 16, swaFreq: 4 }));
    model.compile({ optimizer: swa, loss: 'binaryCrossentropy', metrics: ['accuracy'] });
    const sums = variables.map(({ size }) => new Float64Array(size));
    let step = 0;
    const onBatchEnd = async (): Promise<void> => {
      step += 1;
      if (step <= 16 || step % 4 !== 0) return;
      for (const [v, values] of (await valuesOf(variables)).entries()) {
        values.forEach((value, i) => (sums[v]![i]! += value));
      }
    };
    await model.fit(x, y, { batchSize: 16, epochs: 10, verbose: 0, callbacks: { onBatchEnd } });
    // 40 steps; averaged are 20, 24, ..., 40.
    assert.equal(swa.paramGroups[0]!.n_avg, 6);
    swa.swapSwaSgd();
    await updateBn([x], model);
    for (const [v, values] of (await valuesOf(variables)).entries()) {
      assertClose(
        values,
        sums[v]!.map((sum) => sum / 6),
        1e-6,
      );
    }
    const [, accuracy] = (model.evaluate(x, y) as tf.Scalar[]).map(own);
    assert.equal((await accuracy!.data())[0], 1);
  });

  /** A momentum run in the middle of its averaging, on the current backend. */
  function start(): { v: tf.Variable; swa: SWA; step: (times: number) => void } {
    const v = variable([1, -2, 3]);
    const swa = own(new SWA(tf.train.momentum(0.1, 0.9), { swaStart: 2, swaFreq: 2 }));
    swa.addParamGroup({ params: [v] });
    const step = (times: number): void => {
      for (let i = 0; i < times; i++) swa.minimize(half(v), false, [v]);
    };
    return { v, swa, step };
  }

  /** The variable and its average. */
  async function state({ v, swa }: ReturnType<typeof start>): Promise<number[][]> {
    const { swa_state } = await swa.stateDict();
    return [[...(await v.data())], [...swa_state[0]!.swa_buffer.values]];
  }

  const targets = {
    'its file:// handler': () => pathToFileURL(path.join(folder, 'run')).href,
    'fileSystem of tfjs-swa/node': () => fileSystem(path.join(folder, 'run.swa')),
  };
  for (const [how, target] of Object.entries(targets)) {
    for (const [from, to] of [
      ['tensorflow', 'tensorflow'],
      ['tensorflow', 'wasm'],
      ['wasm', 'tensorflow'],
    ] as const) {
      it(`carries a run from ${from} to ${to} through ${how}`, async () => {
        try {
          await tf.setBackend(from);
          const whole = start();
          whole.step(5);
          const values = [...(await whole.v.data())];
          const saved = await whole.swa.stateDict();
          // file:// of tfjs-node reads a folder back by its model.json.
          const place = target();
          await saveStateDict(place, { swa: saved, values });
          whole.step(4);
          const expected = await state(whole);

          await tf.setBackend(to);
          const at = typeof place === 'string' ? `${place}/model.json` : place;
          const loaded = (await loadStateDict(at)) as { swa: typeof saved; values: number[] };
          assert.deepEqual(loaded, { swa: saved, values });
          const resumed = start();
          tf.tidy(() => resumed.v.assign(tf.tensor1d(loaded.values)));
          await resumed.swa.loadStateDict(loaded.swa);
          resumed.step(4);
          const actual = await state(resumed);
          if (from === to) assert.deepEqual(actual, expected);
          else actual.forEach((numbers, i) => assertClose(numbers, expected[i]!, 1e-6));
        } finally {
          await tf.setBackend('tensorflow');
        }
      });
    }
  }
});

describe('tfjs-node-gpu: fused updates', () => {
  before(skipOnNodeGpu);

  it('leaves them to tfjs where a GPU is used, for which TensorFlow lacks the op', () => {
    const gpu = Object.create(tf.backend(), {
      isUsingGpuDevice: { value: true },
    }) as tf.KernelBackend;
    assert.isNull(nodeAverage(gpu as never, 0.5));
    assert.isNotNull(nodeAverage(tf.backend() as never, 0.5));
  });

  it('leaves to tfjs what its op would round too much, or overflow', async () => {
    const [buffer, value] = [variable([1]), variable([3])];
    const update = (weight: number): boolean =>
      nodeAverage(tf.backend() as never, weight)!(buffer, value);
    // In between the average lies in a variable of TensorFlow's, which tfjs's ops take it from.
    assert.isTrue(update(2 ** -17));
    for (const weight of [0, 2 ** -25, 2 ** -18, 1 - 2 ** -11, 1]) assert.isFalse(update(weight));
    tf.tidy(() => buffer.assign(tf.add(buffer, 1)));
    assert.isTrue(update(1 - 2 ** -10));
    for (const weight of [0, 1]) assert.isFalse(update(weight));
    assertClose([...(await buffer.data())], [3 - (1 - 2 ** -16) * 2 ** -10], 2 ** -21);
  });

  it('leaves no tensor of TensorFlow behind, nor when the average is read', async () => {
    type Call = (...args: unknown[]) => unknown;
    const backend = tf.backend() as unknown as { binding: Record<string, Call> };
    const { binding } = backend;
    let alive = 0;
    const counting = (name: string, change: (made: unknown) => number): PropertyDescriptor => ({
      value: (...args: unknown[]) => {
        const made = binding[name]!(...args);
        alive += change(made);
        return made;
      },
    });
    backend.binding = Object.create(binding, {
      createTensor: counting('createTensor', () => 1),
      executeOp: counting('executeOp', (made) => (made as unknown[]).length),
      deleteTensor: counting('deleteTensor', () => -1),
    }) as typeof binding;
    const average = async (): Promise<number> => {
      const [buffer, value] = [1, 3].map((x) => tf.tidy(() => tf.variable(tf.tensor1d([x]))));
      const update = (weight: number): void =>
        assert.isTrue(nodeAverage(backend as never, weight)!(buffer!, value!));
      [0.5, 0.25, 0.125].forEach(update);
      assertClose([...(await buffer!.data())], [2.34375], 1e-6);
      update(0.5);
      tf.dispose([buffer, value]);
      return alive;
    };
    try {
      // The numbers of the last update stay.
      const first = await average();
      assert.isAbove(first, 0);
      assert.equal(await average(), first);
    } finally {
      backend.binding = binding;
    }
  });
});
