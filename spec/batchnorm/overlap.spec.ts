import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { updateBn } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertClose, assertFails, disposeOwned, own, variable } from '../support/support.js';

/** A normalization of the caller's own, on [examples, 1]. */
class OwnNorm {
  readonly movingMean = variable([0]);
  readonly movingVariance = variable([1]);
  momentum = 0.5;

  apply(x: tf.Tensor): void {
    tf.tidy(() => {
      const { mean, variance } = tf.moments(x, 0);
      const move = (old: tf.Variable, now: tf.Tensor) =>
        old.assign(tf.add(tf.mul(old, this.momentum), tf.mul(now, 1 - this.momentum)));
      move(this.movingMean, mean);
      move(this.movingVariance, variance);
    });
  }
  batchNormLayers(): OwnNorm[] {
    return [this];
  }
}

/** What a spec needs of a model with one normalization of one column, tfjs-layers' or one's own. */
interface Net {
  model: object;
  layer: { momentum: number };
  train: (x: tf.Tensor) => void;
  statistics: () => Promise<number[]>;
}

const kinds: Record<string, () => Net> = {
  'tfjs-layers': () => {
    const bn = tfl.layers.batchNormalization({ inputShape: [1], momentum: 0.5 });
    const model = own(tfl.sequential({ layers: [bn] }));
    return {
      model,
      layer: bn as unknown as { momentum: number },
      train: (x) => tf.dispose(model.apply(x, { training: true }) as tf.Tensor),
      statistics: async () =>
        (await Promise.all(bn.getWeights().slice(2).map((s) => s.data()))).map(([v]) => v!), // prettier-ignore
    };
  },
  'the caller’s own': () => {
    const norm = new OwnNorm();
    return {
      model: norm,
      layer: norm,
      train: (x) => norm.apply(x),
      statistics: async () =>
        (await Promise.all([norm.movingMean, norm.movingVariance].map((s) => s.data()))).map(([v]) => v!), // prettier-ignore
    };
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  describe(`updateBn beside other passes in training, of ${kind}`, () => {
    it('counts its own alone, wherever the others come between its batches', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 2 }), {
            minLength: 1,
            maxLength: 4,
          }),
          async (others) => {
            const { model, layer, train, statistics } = make();
            const column = (values: number[]) => own(tf.tensor2d(values, [values.length, 1]));
            const batches = others.map((_, i) => column([i, i + 2]));
            let expected = [0, 1];
            await updateBn(batches, model, {
              onBatch: async ({ batch }) => {
                for (const value of others[batch - 1]!) {
                  assert.equal(layer.momentum, 0.5);
                  train(column([value, value]));
                  // Half of what was there, half of the batch's mean and variance, 0.
                  expected = [(expected[0]! + value) / 2, expected[1]! / 2];
                  assertClose(await statistics(), expected, 1e-5, 'as without updateBn');
                }
              },
            });
            // 0, 2, 1, 3, ...: mean i + 1 over i < n, variance 1 and that of the means.
            const n = others.length;
            assertClose(await statistics(), [(n + 1) / 2, 1 + (n * n - 1) / 12], 1e-5);
            disposeOwned();
          },
        ),
        { numRuns: shareOf(40) },
      );
    });

    it('leaves what others made of the statistics if it fails', async () => {
      const { model, layer, train, statistics } = make();
      const [x, y] = [own(tf.fill([2, 1], 4)), own(tf.fill([2, 1], 9))];
      await assertFails(
        () =>
          updateBn([x, x], model, {
            onBatch: ({ batch }) => {
              if (batch === 2) throw new Error('second');
              train(y);
            },
          }),
        'second',
      );
      assert.deepEqual(await statistics(), [4.5, 0.5]);
      assert.equal(layer.momentum, 0.5);
      assert.isFalse(Object.hasOwn(layer, 'call'));
    });
  });
}

describe('updateBn beside a fit', () => {
  it('of the same model: each has its own batches', async () => {
    const bn = tfl.layers.batchNormalization({ inputShape: [1], momentum: 0.5 });
    const model = own(tfl.sequential({ layers: [bn, tfl.layers.dense({ units: 1 })] }));
    model.compile({ optimizer: own(tf.train.sgd(1e-6)), loss: 'meanSquaredError' });
    const [x, y] = [own(tf.fill([8, 1], 1000)), own(tf.zeros([8, 1]))];
    let fitted = 0;
    let ended = false;
    const pause = () => new Promise((resolve) => setTimeout(resolve));
    const fit = model
      .fit(x, y, {
        epochs: 1,
        batchSize: 4,
        verbose: 0,
        callbacks: { onBatchEnd: async () => void (fitted += 1) },
      })
      .then(() => (ended = true));
    const batches = [1, 2, 3, 4].map((value) => own(tf.fill([8, 1], value)));
    async function* loader() {
      for (const batch of batches) {
        yield batch;
        await pause();
      }
      while (!ended) await pause();
    }
    await updateBn(loader(), model);
    await fit;
    assert.equal(fitted, 2);
    const [mean, variance] = await Promise.all(
      bn
        .getWeights()
        .slice(2)
        .map((s) => s.data()),
    );
    assertClose([mean![0]!, variance![0]!], [2.5, 1.25], 1e-5);
  });
});
