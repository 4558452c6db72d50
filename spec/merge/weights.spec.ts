import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { assignWeights, AveragedModel, readWeights, type TensorData } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { freezable, netOf, nets, randomizeNet } from '../support/nets.js';
import { assertFails, disposeOwned, own, valuesOf, variable } from '../support/support.js';

describe('readWeights and assignWeights', () => {
  it('carry nets of every kind to a second build, whatever is frozen', async () => {
    await fc.assert(
      fc.asyncProperty(
        nets,
        fc.boolean(),
        fc.array(fc.nat(7), { maxLength: 4 }),
        async (parts, named, frozen) => {
          const models = [netOf(parts, { named }), netOf(parts, { named })] as const;
          randomizeNet(models[0], 1);
          frozen.forEach((index, i) => {
            const layers = freezable(models[i % 2]!);
            layers[index % layers.length]!.trainable = false;
          });
          const weights = structuredClone(await readWeights(models[0]));
          const { numTensors, numBytes } = tf.memory();
          assignWeights(models[1], weights);
          assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
          const x = own(tf.tensor2d([[0.3, -0.8], [1.5, 0.1]])); // prettier-ignore
          const [a, b] = await valuesOf(models.map((model) => own(model.predict(x) as tf.Tensor)));
          assert.deepEqual(a, b);
          disposeOwned();
        },
      ),
      { numRuns: shareOf(40) },
    );
  });

  it('call weights by layer', async () => {
    const model = netOf([{ kind: 'model', parts: [{ kind: 'dense' }] }, { kind: 'lstm' }]);
    assert.deepEqual(
      (await readWeights(model)).map(({ name }) => name),
      [
        'part0/part0/kernel',
        'part0/part0/bias',
        'part1/cell/kernel',
        'part1/cell/recurrent_kernel',
        'part1/cell/bias',
      ],
    );
  });

  it('make an average the weights of its model', async () => {
    const model = netOf([{ kind: 'dense' }, { kind: 'bn' }]);
    const averaged = own(new AveragedModel(model));
    randomizeNet(averaged.module, 3);
    assignWeights(model, await readWeights(averaged.module));
    assert.deepEqual(await valuesOf(model.getWeights()), await valuesOf(averaged.module.getWeights())); // prettier-ignore
  });

  it('copy, there and back, what lists hold, of any dtype', async () => {
    const list = [
      variable([1.5, -2], 'merge/a'),
      own(tf.tidy(() => tf.variable(tf.tensor1d([3], 'int32'), false, 'merge/b'))),
      own(tf.tidy(() => tf.variable(tf.tensor1d([true, false], 'bool'), false, 'merge/c'))),
    ];
    const weights = await readWeights(list);
    const expected: TensorData[] = [
      { name: 'merge/a', dtype: 'float32', shape: [2], values: Float32Array.of(1.5, -2) },
      { name: 'merge/b', dtype: 'int32', shape: [1], values: Int32Array.of(3) },
      { name: 'merge/c', dtype: 'bool', shape: [2], values: Uint8Array.of(1, 0) },
    ];
    assert.deepEqual(weights, expected);
    weights[0]!.values[0] = 9;
    assert.deepEqual((await readWeights(list))[0], expected[0]);
    assignWeights(list, [...weights].reverse()); // by name
    weights[0]!.values[0] = 7;
    assert.deepEqual(await valuesOf(list), [[9, -2], [3], [1, 0]]);
  });

  it('refuse in words, and have changed nothing', async () => {
    const list = [variable([1], 'merge/one'), variable([2], 'merge/two')];
    const [one, two] = await readWeights(list);
    one!.values[0] = 5;
    await assertFails(
      () => assignWeights(list, [one!]),
      'The weights do not fit; missing: merge/two',
    );
    await assertFails(
      () => assignWeights(list, [one!, { ...two!, shape: [1, 1] }]),
      'The weights do not fit; of the wrong shape or value: merge/two (float32 [1,1], not float32 [1])',
    );
    await assertFails(
      () => assignWeights(list, [one!, { ...two!, values: new Float32Array(2) }]),
      /^Invalid weights\[1\].values: /,
    );
    await assertFails(
      () => assignWeights(list, null as unknown as TensorData[]),
      'Invalid weights: null (expected a list of tensor data)',
    );
    await assertFails(() => readWeights([]), 'The model has no weights yet: build it first');
    assert.deepEqual(await valuesOf(list), [[1], [2]]);
  });
});
