/** SWAG beside other wrappers: what it averages, swaps, holds in memory and refuses. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import { AveragedModel, SWA, SWAG, updateBn, WeightHistory } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { netOf, nets, randomizeNet, variablesOf } from '../support/nets.js';
import { assertClose, assertFails, own, valuesOf, variable } from '../support/support.js';
import { read, set, take } from '../support/values.js';

/** A variable after the values 1 and 3: mean 2, variance 1, the last value 3. */
function two() {
  const w = variable([0]);
  const swag = own(new SWAG([w]));
  take(swag, w, [1, 3]);
  return { w, swag };
}

/** A kernel before a batch normalization: of the inputs 1 and 3 the mean is 2 k, the variance k^2. */
function net() {
  const model = own(
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 1, useBias: false, inputShape: [1], name: 'first' }),
        tfl.layers.batchNormalization({ name: 'norm' }),
      ],
    }),
  );
  const [kernel, gamma, beta, mean, variance] = model.weights.map(
    (weight) => weight.read() as tf.Variable,
  ) as [tf.Variable, tf.Variable, tf.Variable, tf.Variable, tf.Variable];
  const x = own(tf.tensor2d([[1], [3]]));
  set(mean, 7);
  set(variance, 5);
  return { model, kernel, gamma, beta, mean, variance, x };
}

describe('SWAG', () => {
  it('counts the trainable weights of a model, each once, by layer', async () => {
    const { model } = net();
    model.layers[0]!.trainable = false;
    const swag = own(new SWAG(model));
    swag.update();
    const { mean, m2, deviations } = await swag.stateDict();
    for (const list of [mean, m2, ...deviations]) {
      const names = list.map(({ name, dtype, shape }) => `${name} ${dtype} ${String(shape)}`);
      assert.deepEqual(names, ['norm/gamma float32 1', 'norm/beta float32 1']);
    }
  });

  it('counts all float32 variables of a list, trainable or not, each once; no integer', async () => {
    const [a, b] = [variable([1, 2], 'swag_a'), variable([3], 'swag_b', false)];
    const n = own(tf.tidy(() => tf.variable(tf.scalar(1, 'int32'))));
    const swag = own(new SWAG([a, n, b, a]));
    swag.update();
    swag.update();
    const { mean } = await swag.stateDict();
    assert.deepEqual(
      mean.map(({ name }) => name),
      ['swag_a', 'swag_b'],
    );
    swag.sample();
    assert.equal(await read(n), 1);
  });

  it('holds 2 copies of the weights and one for each deviation, one more while swapped', () => {
    const [a, b] = [variable([1, 2, 3]), variable([[1], [2]])]; // 5 numbers
    const { numTensors, numBytes } = tf.memory();
    const swag = own(new SWAG([a, b], { maxRank: 3 }));
    const assertCopies = (copies: number): void => {
      const now = tf.memory();
      const held = [now.numTensors - numTensors, now.numBytes - numBytes];
      assert.deepEqual(held, [2 * copies, 5 * 4 * copies]);
    };
    assertCopies(0);
    for (const copies of [3, 4, 5, 5, 5]) {
      swag.update();
      assertCopies(copies);
    }
    for (const put of [() => swag.mean(), () => swag.sample(), () => swag.swap()]) {
      put();
      assertCopies(6);
    }
    swag.update();
    assertCopies(5);
    swag.dispose();
    assertCopies(0);
  });

  it('puts mean and samples in place, one after the other, and swap() is its own inverse', async () => {
    const { w, swag } = two();
    assert.isFalse(swag.swapped);
    swag.mean();
    assert.deepEqual([await read(w), swag.swapped], [2, true]);
    swag.mean();
    assert.equal(await read(w), 2);
    swag.sample({ seed: 1 });
    const sample = await read(w);
    assert.notEqual(sample, 2);
    swag.sample({ seed: 2 });
    assert.notEqual(await read(w), sample);
    swag.sample({ seed: 1 });
    assert.equal(await read(w), sample);
    swag.swap();
    assert.deepEqual([await read(w), swag.swapped], [3, false]);
    swag.swap();
    assert.deepEqual([await read(w), swag.swapped], [sample, true]);
    swag.swap();
    set(w, 9); // training goes on
    swag.swap();
    assert.equal(await read(w), sample);
    swag.swap();
    assert.equal(await read(w), 9);
    swag.mean(); // with a sample that was swapped out
    assert.equal(await read(w), 2);
    swag.swap();
    assert.equal(await read(w), 9);
  });

  it('has the mean stay what it is, whatever happens to the weights that held it', async () => {
    const { w, swag } = two();
    swag.mean();
    set(w, 100); // a bare optimizer asks nobody
    swag.swap();
    assert.equal(await read(w), 3);
    swag.mean();
    assert.equal(await read(w), 2);
    const clone = own(tf.clone(w));
    swag.swap();
    take(swag, w, [8]);
    assert.equal(await read(clone), 2);
    swag.mean();
    assertClose([await read(w)], [4], 1e-6);
  });

  it('begins mean and sample with the statistics of training, and swaps those of updateBn', async () => {
    const { model, kernel, mean, x } = net();
    const swag = own(new SWAG(model));
    take(swag, kernel, [1, 3]);
    const held = () => Promise.all([kernel, mean].map(read));
    swag.mean();
    assert.deepEqual(await held(), [2, 7]);
    await updateBn([x], model);
    assert.deepEqual(await held(), [2, 4]);
    swag.swap();
    assert.deepEqual(await held(), [3, 7]);
    swag.swap();
    assert.deepEqual(await held(), [2, 4]);
    swag.sample({ scale: 0 });
    assert.deepEqual(await held(), [2, 7]);
    await updateBn([x], model);
    swag.swap();
    assert.deepEqual(await held(), [3, 7]);
  });

  it('refuses what it cannot count, and options that make no sense', async () => {
    const { w, swag } = two();
    const gone = tf.tidy(() => tf.variable(tf.scalar(1)));
    gone.dispose();
    const make = (...args: unknown[]) =>
      own(new SWAG(...(args as ConstructorParameters<typeof SWAG>)));
    const none = 'The model has no float32 weights that are trainable: build it first';
    const bad: [() => unknown, RegExp | string][] = [
      [() => make(3), 'Invalid model: 3 (expected a tfjs-layers model or a list of variables)'],
      [() => make([gone]), `Variable ${gone.name} is disposed`],
      [() => make([]), none],
      [() => make([w], { maxRank: -1 }), 'Invalid maxRank: -1 (expected an integer >= 0)'],
      [() => make([w], { maxRank: 2.5 }), /^Invalid maxRank: 2.5 /],
      [() => make([w], { rank: 3 }), 'Unknown option rank (known ones: maxRank)'],
      [() => swag.sample({ scale: -1 }), 'Invalid scale: -1 (expected a finite number >= 0)'],
      [() => swag.sample({ scale: NaN }), /^Invalid scale: NaN /],
      [() => swag.sample({ seed: -1 }), 'Invalid seed: -1 (expected an integer >= 0)'],
      [() => swag.sample({ seed: 0.5 }), /^Invalid seed: 0.5 /],
      [() => swag.sample({ seed: 2 ** 53 }), /^Invalid seed: .* from 0 to 2\^53 - 1\)$/],
      [() => swag.sample({ diagonal: 1 as never }), 'Invalid diagonal: 1 (expected a boolean)'],
      [() => swag.sample({ samples: 3 } as never), /^Unknown option samples /],
    ];
    for (const [call, message] of bad) await assertFails(call, message);
    assert.deepEqual([await read(w), swag.swapped], [3, false]);
  });

  it('refuses a mean without an update, a sample before the second, and a swap before either', async () => {
    const w = variable([1]);
    const swag = own(new SWAG([w]));
    const none = 'Cannot swap: call mean() or sample() first';
    await assertFails(
      () => swag.mean(),
      'Cannot take the mean after 0 updates: it needs an update()',
    );
    await assertFails(() => swag.swap(), none);
    swag.update();
    await assertFails(
      () => swag.sample(),
      'Cannot sample after 1 updates: it needs 2 updates, for a variance',
    );
    await assertFails(() => swag.swap(), none);
    swag.mean();
    await assertFails(() => swag.update(), 'Cannot update while swapped: call swap() first');
    await assertFails(() => swag.sample(), /^Cannot sample after 1 updates/);
    assert.deepEqual([swag.count, swag.swapped], [1, true]);
    swag.swap();
    swag.update();
    await assertFails(() => swag.swap(), none);
  });

  it('refuses an update after a layer was unfrozen, by its name', async () => {
    const { model } = net();
    model.layers[0]!.trainable = false;
    const swag = own(new SWAG(model));
    swag.update();
    model.layers[0]!.trainable = true;
    await assertFails(
      () => swag.update(),
      'The weight first/kernel is trainable now, and was not when this SWAG was made; ' +
        'freeze it again, or make a new SWAG',
    );
    assert.equal(swag.count, 1);
  });

  it('names a variable that was disposed, and changes nothing', async () => {
    const [a, b] = [variable([1]), tf.tidy(() => tf.variable(tf.scalar(1)))];
    const swag = own(new SWAG([b, a]));
    swag.update();
    swag.update();
    set(a, 5);
    b.dispose();
    for (const call of [() => swag.update(), () => swag.mean(), () => swag.sample()]) {
      await assertFails(call, `Variable ${b.name} is disposed`);
    }
    assert.deepEqual([swag.count, swag.rank, swag.swapped, await read(a)], [2, 2, false, 5]);
  });

  it('swaps back what is left where a variable was disposed meanwhile', async () => {
    const [a, b] = [variable([1]), tf.tidy(() => tf.variable(tf.scalar(1)))];
    const swag = own(new SWAG([b, a]));
    swag.update();
    set(a, 5);
    swag.update();
    swag.mean();
    assert.equal(await read(a), 3);
    b.dispose();
    swag.swap();
    assert.equal(await read(a), 5);
  });

  it("and other wrappers over the same variables never take each other's values", async () => {
    const w = variable([1]);
    const swag = own(new SWAG([w]));
    const swa = own(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: w }] }));
    const history = own(new WeightHistory([w]));
    const averaged = own(new AveragedModel([w]));
    const other = own(new SWAG([w]));
    for (const value of [1, 3]) {
      set(w, value);
      swag.update();
      other.update();
      swa.updateSwa();
      history.update();
    }
    const held = new RegExp(`^Cannot .*: variable ${w.name} holds the averages of another wrapper`);
    swag.sample({ seed: 1 });
    const sample = await read(w);
    for (const call of [
      () => swa.minimize(() => tf.sum(w)),
      () => swa.updateSwa(),
      () => swa.swapSwaSgd(),
      () => history.update(),
      () => history.choose(() => 1),
      () => averaged.updateParameters(),
      () => other.update(),
      () => other.mean(),
      () => other.sample(),
    ]) {
      await assertFails(call, held);
    }
    assert.equal(await read(w), sample);
    swag.swap();
    swa.swapSwaSgd();
    for (const call of [
      () => swag.update(),
      () => swag.mean(),
      () => swag.sample(),
      () => swag.swap(),
    ]) {
      await assertFails(call, held);
    }
    assert.deepEqual([await read(w), swag.count], [2, 2]);
    swa.swapSwaSgd();
    swag.swap();
    swag.dispose(); // the weights stay what they are, and nobody holds them
    assert.equal(await read(w), sample);
    swa.updateSwa();
  });

  it('frees all that it made, and is then refused', async () => {
    const { w, swag } = two();
    swag.sample();
    swag.dispose();
    swag.dispose();
    const disposed = 'This SWAG has been disposed';
    for (const call of [
      () => swag.update(),
      () => swag.mean(),
      () => swag.sample(),
      () => swag.swap(),
      () => swag.stateDict(),
      async () => swag.loadStateDict(await own(new SWAG([w])).stateDict()),
    ]) {
      await assertFails(call, disposed);
    }
  });

  it('has any net predict, placed between updates, as a new one with these weights', async function () {
    this.timeout(240_000);
    const actions = fc.array(fc.constantFrom('update', 'mean', 'sample', 'swap'), {
      minLength: 4,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(nets, actions, fc.integer(), async (parts, todo, seed) => {
        const [model, fresh] = [netOf(parts), netOf(parts)];
        if (model.trainableWeights.length === 0) return;
        const x = tf.tensor2d([0.3, -0.7, 1.1, 0.2], [2, 2]);
        const [all, others] = [variablesOf(model), variablesOf(fresh)];
        const predictions = async (of: tfl.LayersModel): Promise<number[]> => {
          const y = of.predict(x) as tf.Tensor;
          const values = [...(await y.data())];
          y.dispose();
          return values;
        };
        const swag = new SWAG(model, { maxRank: 2 });
        let [step, isPlaced] = [seed, false];
        for (const action of ['update', 'update', ...todo]) {
          if (action === 'mean') swag.mean();
          else if (action === 'sample') swag.sample({ seed: 5, scale: 0.01 });
          else if (action === 'swap') {
            if (!isPlaced) continue;
            swag.swap();
          } else {
            if (swag.swapped) continue;
            randomizeNet(model, (step += 1));
            await predictions(model);
            swag.update();
          }
          isPlaced = action !== 'update';
          const values = await valuesOf(all);
          others.forEach((other, v) => {
            tf.tidy(() => other.assign(tf.tensor(values[v]!, other.shape)));
          });
          const [one, two] = [await predictions(model), await predictions(fresh)];
          assertClose(one, two, 1e-5 * Math.max(1, ...two.map(Math.abs)), action);
        }
        swag.dispose();
        x.dispose();
      }),
      { numRuns: shareOf(40) },
    );
  });

  it('takes no notice of tidy', async () => {
    const w = variable([1]);
    const swag = own(new SWAG([w]));
    tf.tidy(() => {
      take(swag, w, [1, 3]);
      swag.sample({ seed: 1 });
    });
    const sample = await read(w);
    tf.tidy(() => {
      swag.swap();
      swag.sample({ seed: 1 });
    });
    assert.equal(await read(w), sample);
    assert.deepEqual(await valuesOf([w]), [[sample]]);
  });
});
