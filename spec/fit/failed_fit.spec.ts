import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import { swaCallback } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  type Callbacks,
  data,
  dataset,
  bare,
  net,
  values,
  trained,
  recorder,
  meanOf,
  assertWeights,
  ratesOf,
  FIT,
} from '../support/fitted.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  own,
  variable,
  warningsOf,
} from '../support/support.js';

describe('swaCallback: one fit after another', () => {
  it('starts anew, from the rate and the weights that the first left', async () => {
    const { x, y } = data();
    const optimizer = bare(tf.train.sgd(0.1));
    const used = ratesOf(optimizer);
    const model = net(optimizer);
    const other = recorder(model);
    const swa = swaCallback(model, { startEpoch: 2, lrSchedule: 'constant', swaFreq: 2 });
    for (const _ of [1, 2]) {
      const run = { ...FIT, epochs: 5, callbacks: [other, swa] };
      const { history } = await model.fit(x, y, run);
      assert.lengthOf(history['lr']!, 5);
      assertWeights(await trained(model), meanOf(other.weights, [2, 4]));
    }
    assert.deepEqual(used.slice(15), used.slice(0, 15));
  });

  /** Places of a fit of 5 epochs of 3 batches at which something of the user's may fail. */
  const places: Record<string, (epoch: number, batch: number) => tfl.CustomCallbackArgs> = {
    onBatchBegin: (epoch, batch) => {
      let at = 0;
      return {
        onEpochBegin: async (now) => void (at = now),
        onBatchBegin: async (now) => {
          if (at === epoch && now === batch) throw new Error('boom');
        },
      };
    },
    onBatchEnd: (epoch, batch) => {
      let at = 0;
      return {
        onEpochBegin: async (now) => void (at = now),
        onBatchEnd: async (now) => {
          if (at === epoch && now === batch) throw new Error('boom');
        },
      };
    },
    onEpochBegin: (epoch) => ({
      onEpochBegin: async (now) => {
        if (now === epoch) throw new Error('boom');
      },
    }),
    onEpochEnd: (epoch) => ({
      onEpochEnd: async (now) => {
        if (now === epoch) throw new Error('boom');
      },
    }),
    onTrainBegin: () => ({
      onTrainBegin: async () => {
        throw new Error('boom');
      },
    }),
  };

  for (const way of ['fit', 'fitDataset'] as const) {
    it(`${way}: one that fails, wherever it does, leaves all as without the callback`, async () => {
      const { x, y } = data();
      const attempt = (model: tfl.Sequential, callbacks: Callbacks) =>
        way === 'fit'
          ? model.fit(x, y, { ...FIT, epochs: 5, callbacks })
          : model.fitDataset(dataset(), { epochs: 5, verbose: 0, callbacks });
      const place = fc.tuple(
        fc.constantFrom(...Object.keys(places)),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 0, max: 2 }),
      );
      const settings = fc.record({
        lrSchedule: fc.constantFrom('manual', 'constant', 'cyclic'),
        first: fc.boolean(),
        bn: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(place, settings, async ([where, epoch, batch], drawn) => {
          const { lrSchedule, first, bn } = drawn;
          const results = [];
          for (const swaToo of [false, true]) {
            const optimizer = tf.train.momentum(0.05, 0.5);
            const model = net(optimizer, bn);
            const layer = model.layers[1] as unknown as { momentum?: number };
            const weights: number[][][] = [];
            // What training alone makes of the weights, before the epoch of the forward pass.
            const note = {
              onEpochEnd: async (now: number) => {
                if (now < 4) weights.push(await values(model));
              },
            };
            const swa = swaCallback(model, {
              startEpoch: 2,
              lrSchedule,
              swaFreq: 2,
              // So that it trains as without.
              ...(lrSchedule !== 'manual' && { swaLr: 0.05 }),
              ...(lrSchedule === 'cyclic' && { swaLr2: 0.05 }),
            });
            const boom = places[where]!(epoch, batch);
            const own = swaToo ? [swa] : [];
            const { numTensors } = tf.memory();
            const callbacks = first ? [...own, note, boom] : [note, boom, ...own];
            // A fit that fails leaves tensors of its own (tfjs-layers 4.22, training.ts, fitLoop).
            tf.engine().startScope();
            await warningsOf(() => assertFails(() => attempt(model, callbacks), 'boom'));
            const left = tf.memory().numTensors - numTensors;
            tf.engine().endScope();
            const at = Math.min(epoch, 4);
            results.push({
              left,
              rate: (optimizer as never)['learningRate'],
              momentum: layer.momentum,
              keys: Object.keys((model as never as { model: object }).model),
              descriptor: Object.getOwnPropertyDescriptor(
                (model as never as { model: object }).model,
                'isTraining',
              ),
              // In the forward pass: the weights of before it.
              weights: bn && at === 4 ? weights.at(-1) : await values(model),
              seen: bn && at === 4 && swaToo ? await values(model) : weights.at(-1),
            });
            disposeBare(optimizer);
          }
          assert.deepEqual(results[1], results[0]);
        }),
        { seed: 20180314, numRuns: shareOf(40) },
      );
    });
  }

  it('after one that failed in the forward pass the next is as good as new', async () => {
    const optimizer = bare(tf.train.sgd(0.1));
    const used = ratesOf(optimizer);
    const model = net(optimizer);
    const layer = model.layers[1] as unknown as { momentum: number };
    const other = recorder(model);
    const swa = swaCallback(model, { startEpoch: 2, lrSchedule: 'constant' });
    let fails = true;
    const boom = {
      onBatchBegin: async () => {
        if (fails && used.length === 6) throw new Error('boom');
      },
    };
    const run = { epochs: 3, verbose: 0, callbacks: [other, swa, boom] };
    const { numTensors } = tf.memory();
    await assertFails(() => model.fitDataset(dataset(), run), 'boom');
    assert.equal(layer.momentum, 0.7);
    assert.equal((optimizer as never)['learningRate'], 0.1);
    assert.equal(tf.memory().numTensors, numTensors + 2); // the batch
    assert.deepEqual(await trained(model), other.weights.get(2));
    fails = false;
    await model.fitDataset(dataset(), run);
    assert.equal(tf.memory().numTensors, numTensors + 2);
    // s = 1: epoch 0 at t = 0, epoch 1 at t = 1
    assertClose(used.slice(6), [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0, 0, 0], 1e-7);
    assertWeights(await trained(model), meanOf(other.weights, [2]));
    assert.equal((optimizer as never)['learningRate'], 0.1);
  });

  it('dispose() puts back by hand what no end of fit was told of', async () => {
    const optimizer = own(tf.train.sgd(0.1));
    const weight = variable([1]);
    const model = { weights: [{ read: () => weight }], optimizer, stopTraining: false };
    const swa = swaCallback(model, { startEpoch: 2, lrSchedule: 'constant' });
    swa.dispose(); // nothing to do
    swa.setParams({ epochs: 5, steps: 1 });
    const { numTensors } = tf.memory();
    await swa.onTrainBegin();
    for (const epoch of [0, 1, 2]) {
      await swa.onEpochBegin(epoch);
      await swa.onEpochEnd(epoch);
    }
    assertClose([(optimizer as never)['learningRate']], [0.01], 1e-12);
    assert.equal(tf.memory().numTensors, numTensors + 1);
    swa.dispose();
    swa.dispose();
    assert.equal((optimizer as never)['learningRate'], 0.1);
    assert.equal(tf.memory().numTensors, numTensors);
  });

  it('two callbacks in one fit that fails are both told, and the field is as it was', async () => {
    const { x, y } = data();
    const optimizer = bare(tf.train.sgd(0.1));
    const model = net(optimizer, false);
    const inner = (model as unknown as { model: object }).model;
    const before = Object.getOwnPropertyDescriptor(inner, 'isTraining');
    const two = [2, 3].map((startEpoch) => swaCallback(model, { startEpoch }));
    const { numTensors } = tf.memory();
    const boom = places['onEpochBegin']!(3, 0);
    for (const callbacks of [[...two, boom], two]) {
      const fit = () => model.fit(x, y, { ...FIT, epochs: 5, callbacks });
      await (callbacks.includes(boom) ? assertFails(fit, 'boom') : fit());
      assert.equal(tf.memory().numTensors, numTensors);
      assert.deepEqual(Object.getOwnPropertyDescriptor(inner, 'isTraining'), {
        ...before,
        value: false,
      });
    }
  });

  it('that fails before it starts changes nothing, and the next is as good as new', async () => {
    const { x, y } = data();
    const model = net();
    const before = await values(model);
    const swa = swaCallback(model, { startEpoch: 3 });
    await assertFails(() => model.fit(x, y, { ...FIT, epochs: 3, callbacks: swa }), /startEpoch/);
    assert.deepEqual(await values(model), before);
    const other = recorder(model);
    await model.fit(x, y, { ...FIT, epochs: 4, callbacks: [other, swa] });
    assertWeights(await trained(model), meanOf(other.weights, [3]));
  });
});
