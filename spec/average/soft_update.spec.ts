import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { softUpdate } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { freezable, netOf, nets, ownModel, randomizeNet, variablesOf } from '../support/nets.js';
import {
  assertClose,
  assertFails,
  disposeOwned,
  own,
  valuesOf,
  variable,
} from '../support/support.js';

const net = (units = 1): tfl.Sequential =>
  ownModel(tfl.sequential({ layers: [tfl.layers.dense({ units, inputShape: [2] })] }));

describe('softUpdate', () => {
  it('moves by tau towards the source: the numbers of the contract', async () => {
    const [target, source] = [variable([0]), variable([0])];
    for (const value of [1, 2, 4]) {
      tf.tidy(() => source.assign(tf.tensor1d([value])));
      softUpdate([target], [source], 0.005);
    }
    // 0.005, then 0.995 * 0.005 + 0.01 = 0.014975, then 0.995 * 0.014975 + 0.02 = 0.034900125
    assertClose(await target.data(), [0.034900125], 1e-8);
    assert.deepEqual(await valuesOf([source]), [[4]]);
  });

  it('is an exact copy at 1, of its own data, and nothing at 0', async () => {
    const [target, source] = [variable([0.1]), variable([0.7])];
    softUpdate([target], [source], 0);
    assert.deepEqual(await valuesOf([target]), [[Math.fround(0.1)]]);
    softUpdate([target], [source], 1);
    assert.deepEqual(await valuesOf([target]), [[Math.fround(0.7)]]);
    softUpdate([target], [source], 0.5);
    tf.tidy(() => source.assign(tf.tensor1d([9])));
    assert.deepEqual(await valuesOf([target]), [[Math.fround(0.7)]]);
    source.dispose();
    assert.deepEqual(await valuesOf([target]), [[Math.fround(0.7)]]);
  });

  it('matches second builds layer by layer in nets of every kind, whatever is frozen', async () => {
    await fc.assert(
      fc.asyncProperty(
        nets,
        fc.boolean(),
        fc.array(fc.nat(7), { maxLength: 4 }),
        async (parts, named, frozen) => {
          const [target, source, mean] = [1, 2, 3].map(() => netOf(parts, { named }));
          randomizeNet(target!, 1);
          randomizeNet(source!, 2);
          // The mean of the two, formed before anything is frozen, while their lists agree.
          const [a, b, c] = [target, source, mean].map((model) =>
            model!.weights.map((weight) => weight.read() as tf.Variable),
          );
          c!.forEach((v, i) => tf.tidy(() => v.assign(tf.div(tf.add(a![i]!, b![i]!), 2))));
          frozen.forEach((index, i) => {
            const layers = freezable(i % 2 ? target! : source!);
            layers[index % layers.length]!.trainable = false;
          });
          const before = await valuesOf(b!);
          const { numTensors, numBytes } = tf.memory();
          softUpdate(target!, source!, 0.5);
          assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
          const x = own(tf.tensor2d([[0.3, -0.8], [1.5, 0.1]])); // prettier-ignore
          const [is, should] = await valuesOf(
            [target, mean].map((model) => own(model!.predict(x) as tf.Tensor)),
          );
          assertClose(is!, should!, 1e-5);
          assert.deepEqual(await valuesOf(b!), before);
          disposeOwned();
        },
      ),
      { numRuns: shareOf(40) },
    );
  });

  it('takes frozen weights and statistics along, copies integers, leaves what both have', async () => {
    const [target, source] = [variable([1], undefined, false), variable([3], undefined, false)];
    const counters = [1, 5].map((n) => own(tf.tidy(() => tf.variable(tf.tensor1d([n], 'int32')))));
    const shared = variable([7]);
    softUpdate([target, counters[0]!, shared], [source, counters[1]!, shared], 0.5);
    assert.deepEqual(await valuesOf([target, counters[0]!, shared]), [[2], [5], [7]]);
  });

  it('steps a weight that a list has twice once', async () => {
    const [target, source] = [variable([0]), variable([8])];
    softUpdate([target, target], [source, source], 0.5);
    assert.deepEqual(await valuesOf([target]), [[4]]);
    await assertFails(
      () => softUpdate([target, target], [source, variable([1])], 0.5),
      `The weights do not fit; ${target.name} stands for two of them`,
    );
  });

  it('takes the variables of models in lists, and a model with a list', async () => {
    const [target, source] = [net(), net()];
    randomizeNet(source, 1);
    softUpdate(variablesOf(target), variablesOf(source), 1);
    assert.deepEqual(await valuesOf(target.getWeights()), await valuesOf(source.getWeights()));
    randomizeNet(source, 2);
    softUpdate(target, variablesOf(source), 1);
    assert.deepEqual(await valuesOf(target.getWeights()), await valuesOf(source.getWeights()));
  });

  it('refuses in words, and has changed nothing', async () => {
    const [target, source] = [net(), net()];
    const before = await valuesOf(target.getWeights());
    for (const tau of [-0.1, 1.1, NaN, Infinity, '1', undefined]) {
      await assertFails(
        () => softUpdate(target, source, tau as number),
        /^Invalid tau: .+ \(expected a number in \[0, 1\]\)$/,
      );
    }
    await assertFails(
      () => softUpdate(target, net(2), 0.5),
      /^The weights do not fit; of the wrong shape or value: .+kernel \(float32 \[2,2\], not float32 \[2,1\]\)/,
    );
    await assertFails(
      () => softUpdate(variablesOf(target), [variable([1])], 0.5),
      /^The weights do not fit; missing: .+kernel.*; unexpected: /,
    );
    await assertFails(
      () => softUpdate({} as tfl.LayersModel, source, 0.5),
      'Invalid target: an object (expected a tfjs-layers model or a list of variables)',
    );
    await assertFails(
      () => softUpdate(target, [1] as unknown as tf.Variable[], 0.5),
      'Invalid source[0]: 1 (expected a tf.Variable)',
    );
    await assertFails(() => softUpdate(target, [], 0.5), 'The source has no weights yet: build it first'); // prettier-ignore
    assert.deepEqual(await valuesOf(target.getWeights()), before);
  });
});
