/** Predictions of SWAG: against samples that are put in place one by one, and what fails. */
import * as tfd from '@tensorflow/tfjs-data';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWA, SWAG, updateBn, type SWAGPredictOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { netOf, nets, randomizeNet, variablesOf } from '../support/nets.js';
import { assertClose, assertFails, own, valuesOf, variable } from '../support/support.js';
import { set } from '../support/values.js';
import { referenceOf, sampleOf, sampleSeed } from './reference.js';

/** One kernel k, so that the prediction of x is k x, after the kernels 1, 5 and 3. */
function line() {
  const layer = tfl.layers.dense({ units: 1, useBias: false, inputShape: [1] });
  const model = own(tfl.sequential({ layers: [layer] }));
  const kernel = model.weights[0]!.read() as tf.Variable;
  const swag = own(new SWAG(model));
  const kernels = [1, 5, 3];
  for (const value of kernels) {
    set(kernel, value);
    swag.update();
  }
  const reference = referenceOf(
    kernels.map((value) => [[value]]),
    20,
  );
  const x = own(tf.tensor2d([[1], [-2], [0]]));
  return { model, kernel, swag, reference, x };
}

/** The kernel k before a batch normalization: of the inputs 1 and 3 its mean is 2 k. */
function normed() {
  const model = own(
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 1, useBias: false, inputShape: [1] }),
        tfl.layers.batchNormalization({ epsilon: 1e-3 }),
      ],
    }),
  );
  const all = model.weights.map((weight) => weight.read() as tf.Variable);
  const swag = own(new SWAG(model));
  for (const value of [2, 4, 3]) {
    set(all[0]!, value);
    swag.update();
  }
  set(all[3]!, 7);
  set(all[4]!, 5);
  return { model, all, swag, x: own(tf.tensor2d([[1], [3]])) };
}

/** Mean and standard deviation of numbers, in float64. */
function momentsOf(numbers: readonly number[]): [mean: number, std: number] {
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const squares = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return [mean, Math.sqrt(squares / numbers.length)];
}

/** The values of a prediction, which is disposed of. */
async function valuesAndDispose({ mean, std }: { mean: tf.Tensor; std: tf.Tensor }) {
  const values = await valuesOf([mean, std]);
  tf.dispose([mean, std]);
  return values as [number[], number[]];
}

describe('SWAG.predict', () => {
  it('is mean and standard deviation of what the samples predict', async () => {
    const { swag, reference, x } = line();
    for (const [options, samples, scale] of [
      [{ seed: 4 }, 30, 0.5],
      [{ seed: 2 ** 40, samples: 7, scale: 2 }, 7, 2],
    ] as const) {
      const prediction = await swag.predict(x, options);
      assert.deepEqual(prediction.mean.shape, [3, 1]);
      assert.deepEqual(prediction.std.shape, [3, 1]);
      const [mean, std] = await valuesAndDispose(prediction);
      const kernels = Array.from({ length: samples }, (_, i) => {
        const draw = { scale, seed: sampleSeed(options.seed, i), diagonal: false };
        return sampleOf(reference, draw)[0]![0]!;
      });
      const [k, sd] = momentsOf(kernels); // of x k: x times, |x| times
      assertClose(mean, [k, -2 * k, 0], 1e-5);
      assertClose(std, [sd, 2 * sd, 0], 1e-5);
    }
  });

  it('has no spread for one sample, and none at scale 0, where the mean predicts', async () => {
    const { swag, x } = line();
    const [, std] = await valuesAndDispose(await swag.predict(x, { samples: 1 }));
    assert.deepEqual(std, [0, 0, 0]);
    const exact = await valuesAndDispose(await swag.predict(x, { samples: 3, scale: 0 }));
    assertClose(exact.flat(), [3, -6, 0, 0, 0, 0], 1e-6); // (1 + 5 + 3) / 3
  });

  it('is the same by a seed for any batchSize, and another without one', async () => {
    const { swag, x } = line();
    const run = async (options: SWAGPredictOptions) =>
      valuesAndDispose(await swag.predict(x, { samples: 3, ...options }));
    const all = await run({ seed: 1 });
    for (const batchSize of [1, 2, 100]) assert.deepEqual(await run({ seed: 1, batchSize }), all);
    assert.notDeepEqual(await run({ seed: 2 }), all);
    assert.notDeepEqual(await run({}), await run({}));
  });

  it('re-estimates batch normalization for every sample', async () => {
    const { swag, all, x } = normed();
    const before = await valuesOf(all);
    const seen: number[] = [];
    const bnData = {
      async *[Symbol.asyncIterator]() {
        seen.push((await all[0]!.data())[0]!);
        yield x;
      },
    };
    const prediction = await swag.predict(x, { samples: 4, seed: 1, bnData });
    assert.lengthOf(new Set(seen), 4);
    assert.deepEqual(await valuesOf(all), before);
    const kernels = seen.slice();
    // gamma (k x - 2 k) / sqrt(k^2 + epsilon) + beta, with x 1 and 3, gamma 1 and beta 0
    const expected = kernels.map((k) => k / Math.sqrt(k * k + 1e-3));
    const [mean, std] = await valuesAndDispose(prediction);
    const [size, spread] = momentsOf(expected);
    assertClose(mean, [-size, size], 1e-5);
    assertClose(std, [spread, spread], 1e-5);
  });

  it('reads a tf.data Dataset once for every sample', async () => {
    const { swag, x } = normed();
    let read = 0;
    const bnData = tfd.generator(function* () {
      read += 1;
      yield { xs: tf.tensor2d([[1], [3]]) };
    });
    await valuesAndDispose(
      await swag.predict(x, {
        samples: 3,
        bnData: bnData as SWAGPredictOptions['bnData'] & object,
      }),
    );
    assert.equal(read, 3);
  });

  it('asks for bnData where batch normalization is not frozen', async () => {
    const { swag, model, x } = normed();
    const rule = 'data to re-estimate batch normalization for each sample by';
    const message = `Invalid bnData: undefined (expected ${rule})`;
    await assertFails(() => swag.predict(x), message);
    model.layers[1]!.trainable = false;
    const [, std] = await valuesAndDispose(await swag.predict(x, { samples: 2 }));
    assert.isAbove(std[0]!, 0);
  });

  it('gives lists where the model has several outputs', async () => {
    const input = tfl.input({ shape: [1] });
    const [one, two] = [1, 2].map((units) =>
      tfl.layers.dense({ units, useBias: false }).apply(input),
    ) as [tfl.SymbolicTensor, tfl.SymbolicTensor];
    const model = own(tfl.model({ inputs: input, outputs: [one, two] }));
    const swag = own(new SWAG(model));
    const kernels = variablesOf(model);
    for (const value of [1, 3]) {
      for (const kernel of kernels) set(kernel, value);
      swag.update();
    }
    const x = own(tf.tensor2d([[1]]));
    const { mean, std } = await swag.predict<tf.Tensor[]>(x, { samples: 2, scale: 0 });
    assert.deepEqual(await valuesOf([...mean, ...std]), [[2], [2, 2], [0], [0, 0]]);
    tf.dispose([mean, std]);
  });

  it('tells of each sample, and waits; the weights are those of training then', async () => {
    const { swag, kernel, x } = line();
    const told: object[] = [];
    const prediction = await swag.predict(x, {
      samples: 3,
      onSample: async (progress) => {
        await new Promise((done) => setTimeout(done, 1));
        told.push(progress);
        assert.equal((await kernel.data())[0], 3);
        await assertFails(
          () => swag.update(),
          'Cannot update while predict() runs: await it first',
        );
        for (const call of [
          () => swag.mean(),
          () => swag.sample(),
          () => swag.swap(),
          () => swag.predict(x),
          () => swag.stateDict(),
        ]) {
          await assertFails(call, /^Cannot .* while predict\(\) runs: await it first$/);
        }
      },
    });
    assert.deepEqual(
      told,
      [1, 2, 3].map((sample) => ({ sample, samples: 3 })),
    );
    tf.dispose([prediction.mean, prediction.std]);
  });

  it('holds one sample and the moments of the outputs, however many samples there are', async () => {
    const { swag, x } = line();
    const most: number[] = [];
    for (const samples of [2, 20]) {
      const before = tf.memory().numBytes;
      let peak = 0;
      const onSample = () => void (peak = Math.max(peak, tf.memory().numBytes - before));
      const { mean, std } = await swag.predict(x, { samples, onSample });
      tf.dispose([mean, std]);
      most.push(peak);
    }
    // What it had, 4 bytes; mean and second moment of 3 outputs, 12 bytes each.
    assert.deepEqual(most, [28, 28]);
  });

  it('leaves all as it was, whatever fails', async () => {
    const { swag, all, model, x } = normed();
    const state = await swag.stateDict();
    const before = await valuesOf(all);
    const wrong = own(tf.zeros([2, 3]));
    const { numTensors, numBytes } = tf.memory();
    const boom = () => {
      throw new Error('boom');
    };
    let reads = 0;
    const failing = {
      *[Symbol.iterator]() {
        if ((reads += 1) === 2) boom();
        yield x;
      },
    };
    const bad: [() => Promise<unknown>, string | RegExp][] = [
      [() => swag.predict(x, { bnData: failing }), 'boom'],
      [() => swag.predict(x, { bnData: [x], onSample: boom }), 'boom'],
      [() => swag.predict(x, { bnData: [] }), 'updateBn: the loader gave no examples'],
      [() => swag.predict(wrong, { bnData: [x] }), /shape/],
    ];
    for (const [call, message] of bad) {
      await assertFails(call, message);
      assert.deepEqual(await valuesOf(all), before);
      assert.isFalse(swag.swapped);
    }
    const { predict } = model;
    model.predict = () => 3 as never;
    await assertFails(
      () => swag.predict(x, { bnData: [x] }),
      'Invalid output: 3 (expected a tensor)',
    );
    model.predict = predict;
    assert.deepEqual(await valuesOf(all), before);
    assert.deepEqual(await swag.stateDict(), state);
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
    // Nobody holds the weights any more.
    own(new SWAG(model)).update();
  });

  it('leaves a sample that is in place there', async () => {
    const { swag, kernel, x } = line();
    swag.sample({ seed: 5 });
    const sample = await valuesOf([kernel]);
    await valuesAndDispose(await swag.predict(x, { samples: 2 }));
    assert.deepEqual(await valuesOf([kernel]), sample);
    assert.isTrue(swag.swapped);
    await assertFails(() => own(new SWAG([kernel])).update(), /holds the averages of another/);
    swag.swap();
    assert.deepEqual(await valuesOf([kernel]), [[3]]);
  });

  it('keeps others from the weights meanwhile', async () => {
    const { swag, kernel, x } = line();
    const swa = own(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: kernel }] }));
    const onSample = async () => {
      await assertFails(() => swa.updateSwa(), /holds the averages of another wrapper/);
    };
    await valuesAndDispose(await swag.predict(x, { samples: 2, onSample }));
    swa.updateSwa();
  });

  it('ends when it is disposed of in the middle, and the weights come back', async () => {
    const { swag, kernel, x } = line();
    await assertFails(
      () => swag.predict(x, { samples: 3, onSample: () => swag.dispose() }),
      'This SWAG has been disposed',
    );
    assert.deepEqual(await valuesOf([kernel]), [[3]]);
  });

  it('refuses options that make no sense, and a list of variables', async () => {
    const { swag, x } = line();
    const list = own(new SWAG([variable([1])]));
    const model = own(
      tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1] })] }),
    );
    const fresh = own(new SWAG(model));
    const bad: [() => Promise<unknown>, string | RegExp][] = [
      [() => list.predict(x), 'A list of variables has no predict()'],
      [
        () => fresh.predict(x),
        'Cannot predict after 0 updates: it needs 2 updates, for a variance',
      ],
      [() => swag.predict(3 as never), 'Invalid xs: 3 (expected a tensor or a list of them)'],
      [() => swag.predict([]), /^Invalid xs: a list of 0 /],
      [() => swag.predict(x, { samples: 0 }), 'Invalid samples: 0 (expected an integer >= 1)'],
      [() => swag.predict(x, { seed: 1.5 }), /^Invalid seed: 1.5 /],
      [() => swag.predict(x, { scale: -1 }), /^Invalid scale: -1 /],
      [() => swag.predict(x, { batchSize: 0 }), /^Invalid batchSize: 0 /],
      [() => swag.predict(x, { onSample: 1 as never }), /^Invalid onSample: 1 /],
      [() => swag.predict(x, { bnData: 1 as never }), /^Invalid bnData: 1 /],
      [() => swag.predict(x, { bnData: [x].values() }), /^Invalid bnData: .*once for every sample/],
      [() => swag.predict(x, { n: 1 } as never), /^Unknown option n \(known ones: samples, /],
    ];
    for (const [call, message] of bad) await assertFails(call, message);
  });

  it('is, for any net, what samples predict that are put in place by hand', async function () {
    this.timeout(240_000);
    await fc.assert(
      fc.asyncProperty(
        nets,
        fc.array(fc.integer(), { minLength: 2, maxLength: 4 }),
        async (parts, seeds) => {
          const model = netOf(parts);
          if (model.trainableWeights.length === 0) return;
          const all = variablesOf(model);
          const x = tf.tensor2d([0.3, -0.7, 1.1, 0.2, 0.9, 0.4], [3, 2]);
          const swag = new SWAG(model, { maxRank: 3 });
          for (const seed of seeds) {
            randomizeNet(model, seed);
            swag.update();
          }
          const before = await valuesOf(all);
          const options = { samples: 3, seed: 7, scale: 0.01, bnData: [x], batchSize: 2 };
          const [mean, std] = await valuesAndDispose(await swag.predict(x, options));
          assert.deepEqual(await valuesOf(all), before);
          const outputs: number[][] = [];
          for (let i = 0; i < 3; i++) {
            swag.sample({ seed: sampleSeed(7, i), scale: 0.01 });
            await updateBn([x], model);
            const output = model.predict(x) as tf.Tensor;
            outputs.push([...(await output.data())]);
            output.dispose();
          }
          outputs[0]!.forEach((_, j) => {
            const [m, s] = momentsOf(outputs.map((output) => output[j]!));
            const size = Math.max(1, ...outputs.map((output) => Math.abs(output[j]!)));
            assertClose([mean[j]!, std[j]!], [m, s], 1e-5 * size);
          });
          swag.swap();
          assert.deepEqual(await valuesOf(all), before);
          swag.dispose();
          x.dispose();
        },
      ),
      { numRuns: shareOf(25) },
    );
  });
});
