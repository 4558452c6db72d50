import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { recordStatistics } from '../../lib/batchnorm/statistics.js';
import { updateBn } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertFails, disposeOwned, own, valuesOf, variable } from '../support/support.js';

interface Net {
  model: tfl.Sequential;
  /** Re-estimates with a batch of this value, so that the mean is that. */
  estimate: (value: number) => Promise<void>;
  mean: () => Promise<number>;
}

function net(): Net {
  const bn = tfl.layers.batchNormalization({ inputShape: [1] });
  const model = own(tfl.sequential({ layers: [bn] }));
  return {
    model,
    estimate: (value) => updateBn([own(tf.fill([2, 1], value))], model),
    mean: async () => (await bn.getWeights()[2]!.data())[0]!,
  };
}

/** Records everything. */
const all = (): boolean => true;

describe('recordStatistics', () => {
  it('puts back the first statistics, however often they were written, and once', async () => {
    const { estimate, mean } = net();
    await estimate(1);
    const back = recordStatistics(all);
    await estimate(2);
    await estimate(3);
    assert.equal(await mean(), 3);
    back();
    assert.equal(await mean(), 1);
    await estimate(4);
    back();
    assert.equal(await mean(), 4);
  });

  it('asks whose they are, by all variables of the model', async () => {
    const [one, two] = [net(), net()];
    const gamma = one.model.weights[0]!.read() as tf.Variable;
    const sets: ReadonlySet<tf.Variable>[] = [];
    const back = recordStatistics((variables) => {
      sets.push(variables);
      return variables.has(gamma);
    });
    await one.estimate(2);
    await two.estimate(2);
    back();
    assert.deepEqual([await one.mean(), await two.mean()], [0, 2]);
    const weights = (model: tfl.Sequential) => new Set(model.weights.map((w) => w.read()));
    assert.deepEqual(sets, [weights(one.model), weights(two.model)] as Set<tf.Variable>[]);
  });

  it('puts nothing back of an update that failed', async () => {
    const { model, mean } = net();
    const back = recordStatistics(all);
    await assertFails(() => updateBn([], model), /no examples/);
    const weight = model.layers[0]!.getWeights().map((w) => own(tf.mul(w, 2)));
    model.layers[0]!.setWeights([...weight.slice(0, 2), own(tf.tensor1d([7])), weight[3]!]);
    back();
    assert.equal(await mean(), 7);
  });

  it('several at a time, ended in any order, each put back what it saw first', async () => {
    const action = fc.constantFrom('begin', 'end', 'estimate');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(action, fc.nat(5)), { minLength: 1, maxLength: 12 }),
        async (actions) => {
          const { estimate, mean } = net();
          let now = 0;
          let next = 1;
          const open: { back: () => void; first: number | null }[] = [];
          for (const [what, index] of actions) {
            if (what === 'begin') open.push({ back: recordStatistics(all), first: null });
            else if (what === 'estimate') {
              for (const each of open) each.first ??= now;
              now = next++;
              await estimate(now);
            } else if (open.length > 0) {
              const [ended] = open.splice(index % open.length, 1);
              ended!.back();
              now = ended!.first ?? now;
            }
            assert.equal(await mean(), now);
          }
          for (const { back } of open) back();
          disposeOwned();
        },
      ),
      { numRuns: shareOf(40) },
    );
  });

  it('leaves alone what was disposed meanwhile', async () => {
    const bn = tfl.layers.batchNormalization({ inputShape: [1] });
    const model = tfl.sequential({ layers: [bn] });
    const back = recordStatistics(all);
    await updateBn([own(tf.ones([2, 1]))], model);
    model.dispose();
    const { numTensors } = tf.memory();
    back();
    assert.equal(tf.memory().numTensors, numTensors - 2); // the two that were recorded
  });

  it('leaves no tensor, and the model’s own data as they are', async () => {
    const { model, estimate } = net();
    const batch = own(tf.ones([2, 1]));
    const { numTensors, numBytes } = tf.memory();
    const back = recordStatistics(all);
    await updateBn([batch], model);
    back();
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
    await estimate(5);
    assert.deepEqual(await valuesOf(model.getWeights().slice(2)), [[5], [0]]);
  });

  describe('of a caller’s own object', () => {
    const norm = () => ({
      movingMean: variable([1]),
      movingVariance: variable([1]),
      momentum: 0.5,
    });
    type Norm = ReturnType<typeof norm>;
    const forward = (one: Norm) => (_: unknown, x: tf.Tensor) =>
      one.movingMean.assign(tf.mean(x, 0)); // prettier-ignore
    const x = () => own(tf.fill([2, 1], 9));
    const run = async (model: object, one: Norm, belongs: tf.Variable | null) => {
      const seen: tf.Variable[] = [];
      const back = recordStatistics((variables) => {
        seen.push(...variables);
        return belongs !== null && variables.has(belongs);
      });
      await updateBn([x()], model, { forward: forward(one) });
      back();
      return { seen, mean: (await one.movingMean.data())[0] };
    };

    it('looks through its properties, lists, Maps and objects, and those of the normalization', async () => {
      const one = { ...norm(), gamma: variable([3]) };
      const [w, v, u] = [variable([1]), variable([2]), variable([3])];
      const model = {
        w,
        blocks: [{ v }],
        kept: new Map([['u', u]]),
        batchNormLayers: () => [one],
      };
      for (const belongs of [w, v, u, one.gamma, one.movingMean]) {
        const { seen, mean } = await run(model, one, belongs);
        assert.sameMembers(seen, [w, v, u, one.gamma, one.movingMean, one.movingVariance]);
        assert.equal(mean, 1);
      }
      assert.equal((await run(model, one, variable([1]))).mean, 9);
    });

    it('finds the weights of tfjs’s layers in it', async () => {
      const one = norm();
      const { model: inner } = net();
      const outer = tfl.sequential({ layers: [tfl.sequential({ layers: [inner] })] });
      const model = { parts: { outer }, batchNormLayers: () => [one] };
      const gamma = inner.weights[0]!.read() as tf.Variable;
      assert.equal((await run(model, one, gamma)).mean, 1);
      assert.equal((await run(model, one, null)).mean, 9);
    });

    it('counts as belonging where nothing but the statistics is found', async () => {
      const one = norm();
      const model = { batchNormLayers: () => [one] };
      const { seen, mean } = await run(model, one, null);
      assert.deepEqual(seen, []);
      assert.equal(mean, 1);
    });
  });
});
