/** What is averaged, what is refused, and that a net predicts with what it is given. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWA, WeightHistory } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { netOf, nets, randomizeNet, variablesOf } from '../support/nets.js';
import { assertClose, assertFails, own, random, valuesOf, variable } from '../support/support.js';
import { read, set } from '../support/values.js';

async function predictions(model: tfl.LayersModel, x: tf.Tensor): Promise<number[]> {
  const y = model.predict(x) as tf.Tensor;
  const values = [...(await y.data())];
  y.dispose();
  return values;
}

/** Two dense layers with a batch normalization between. */
function net(): tfl.Sequential {
  return own(
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 2, inputShape: [2], name: 'first' }),
        tfl.layers.batchNormalization({ name: 'norm' }),
        tfl.layers.dense({ units: 1, name: 'last' }),
      ],
    }),
  );
}

describe('WeightHistory', () => {
  it('averages the trainable weights of a model, each once, by layer', async () => {
    const model = net();
    model.layers[0]!.trainable = false;
    const history = own(new WeightHistory(model));
    history.update();
    const { count, weights } = await history.average(1);
    assert.equal(count, 1);
    assert.deepEqual(
      weights.map(({ name, dtype, shape }) => `${name} ${dtype} ${String(shape)}`),
      [
        'norm/gamma float32 2',
        'norm/beta float32 2',
        'last/kernel float32 2,1',
        'last/bias float32 1',
      ],
    );
  });

  it('averages all float32 variables of a list, trainable or not, each once', async () => {
    const [a, b] = [variable([1, 2], 'weight_history_a'), variable([3], 'weight_history_b', false)];
    const n = own(tf.tidy(() => tf.variable(tf.scalar(1, 'int32'))));
    const history = own(new WeightHistory([a, n, b, a]));
    history.update();
    const { weights } = await history.average(1);
    assert.deepEqual(weights, [
      { name: a.name, dtype: 'float32', shape: [2], values: Float32Array.of(1, 2) },
      { name: b.name, dtype: 'float32', shape: [1], values: Float32Array.of(3) },
    ]);
  });

  it('closes no empty segment', () => {
    const history = own(new WeightHistory([variable([1])]));
    history.closeSegment();
    history.update();
    history.update();
    history.closeSegment();
    history.closeSegment();
    assert.deepEqual(history.segments, [{ count: 2 }]);
  });

  it('gives plain data that nothing changes later', async () => {
    const w = variable([2]);
    const history = own(new WeightHistory([w]));
    history.update();
    const promise = history.average(1);
    set(w, 4);
    history.update();
    const { count, weights } = await promise;
    assert.deepEqual([count, weights[0]!.values[0]], [1, 2]);
    weights[0]!.values[0] = 100;
    assert.equal((await history.average(1)).weights[0]!.values[0], 3);
  });

  it('refuses what it cannot average', async () => {
    const w = variable([1]);
    const gone = tf.tidy(() => tf.variable(tf.scalar(1)));
    gone.dispose();
    const frozen = net();
    frozen.trainable = false;
    const int = own(tf.tidy(() => tf.variable(tf.scalar(1, 'int32'))));
    const make = (...args: unknown[]) =>
      own(new WeightHistory(...(args as ConstructorParameters<typeof WeightHistory>)));
    const none = 'The model has no float32 weights that are trainable: build it first';
    const bad: [() => unknown, RegExp | string][] = [
      [() => make(3), 'Invalid model: 3 (expected a tfjs-layers model or a list of variables)'],
      [() => make(null), /^Invalid model: null /],
      [() => make([3]), 'Invalid model[0]: 3 (expected a tf.Variable)'],
      [() => make([gone]), `Variable ${gone.name} is disposed`],
      [() => make([]), none],
      [() => make([int]), none],
      [() => make(frozen), none],
      [() => make(own(tfl.sequential())), none],
      [() => make([w], { maxSegments: 1 }), 'Invalid maxSegments: 1 (expected an integer >= 2)'],
      [() => make([w], { maxSegments: 2.5 }), /^Invalid maxSegments: 2.5 /],
      [() => make([w], { max: 3 }), 'Unknown option max (known ones: maxSegments)'],
    ];
    for (const [call, message] of bad) await assertFails(call, message);
  });

  it('refuses windows that there are not', async () => {
    const history = own(new WeightHistory([variable([1])]));
    history.update();
    for (const [window, rule] of [
      [0, 'an integer >= 1'],
      [1.5, 'an integer >= 1'],
      [2, 'at most the number of segments, 1'],
    ] as const) {
      await assertFails(
        () => history.average(window),
        `Invalid window: ${window} (expected ${rule})`,
      );
    }
  });

  it('refuses an update that a layer was unfrozen before, by its name', async () => {
    const model = net();
    const last = model.layers[2]!;
    last.trainable = false;
    const history = own(new WeightHistory(model));
    history.update();
    last.trainable = true;
    await assertFails(
      () => history.update(),
      'The weight last/kernel is trainable now, and was not when this WeightHistory was made; ' +
        'freeze it again, or make a new WeightHistory',
    );
    assert.deepEqual(history.segments, [{ count: 1 }]);
    last.trainable = false;
    model.layers[0]!.trainable = false; // those that are frozen later are averaged on
    history.update();
    assert.deepEqual(history.segments, [{ count: 2 }]);
    assert.lengthOf((await history.average(1)).weights, 4);
  });

  it('leaves out integer weights, trainable or not', async () => {
    /** Counts in a weight that claims to be trainable. */
    class Counting extends tfl.layers.Layer {
      static readonly className = 'Counting';
      override build(): void {
        for (const dtype of ['int32', 'float32'] as const) {
          this.addWeight(dtype, [1], dtype, tfl.initializers.ones(), undefined, true);
        }
        this.built = true;
      }
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor | tf.Tensor[] {
        return inputs;
      }
    }
    const model = own(tfl.sequential({ layers: [new Counting({ inputShape: [1], name: 'own' })] }));
    assert.lengthOf(model.trainableWeights, 2);
    const history = own(new WeightHistory(model));
    history.update();
    const { weights } = await history.average(1);
    assert.deepEqual(
      weights.map(({ name }) => name),
      ['own/float32'],
    );
  });

  it('names a variable that was disposed, and changes nothing', async () => {
    const [a, b] = [variable([1]), tf.tidy(() => tf.variable(tf.scalar(1)))];
    const history = own(new WeightHistory([a, b]));
    history.update();
    b.dispose();
    const message = `Variable ${b.name} is disposed`;
    await assertFails(() => history.update(), message);
    await assertFails(() => history.choose(() => 1), message);
    assert.deepEqual(history.segments, [{ count: 1 }]);
  });

  it('refuses to train while swapped, and to swap before a choice or after an update', async () => {
    const w = variable([1]);
    const history = own(new WeightHistory([w]));
    const none = 'Cannot swap: nothing was chosen since the last update';
    await assertFails(() => history.swap(), none);
    history.update();
    await history.choose(() => 1);
    await assertFails(() => history.update(), 'Cannot update while swapped: call swap() first');
    await assertFails(
      () => history.closeSegment(),
      'Cannot close a segment while swapped: call swap() first',
    );
    await assertFails(
      () => history.choose(() => 1),
      'Cannot choose while swapped: call swap() first',
    );
    history.swap();
    history.closeSegment();
    history.swap();
    history.swap();
    history.update();
    await assertFails(() => history.swap(), none);
  });

  it("and an SWA over the same variables never take each other's averages", async () => {
    const w = variable([1]);
    const history = own(new WeightHistory([w]));
    const swa = own(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: w }] }));
    const both = (value: number) => {
      set(w, value);
      swa.updateSwa();
      history.update();
    };
    both(1);
    both(2);
    const held = new RegExp(`^Cannot .*: variable ${w.name} holds the averages of another wrapper`);
    await history.choose(() => 1);
    assert.equal(await read(w), 1.5);
    await assertFails(() => swa.updateSwa(), held);
    await assertFails(() => swa.swapSwaSgd(), held);
    await assertFails(() => swa.minimize(() => tf.sum(w)), held);
    history.swap();
    swa.swapSwaSgd();
    await assertFails(() => history.update(), held);
    await assertFails(() => history.swap(), held);
    swa.swapSwaSgd();
    history.swap();
    history.dispose(); // the weights stay what they are, and nobody holds them
    assert.equal(await read(w), 1.5);
    swa.updateSwa();
  });

  it('frees all that it made, and is then refused', async () => {
    const w = variable([1]);
    const { numTensors, numBytes } = tf.memory();
    const history = new WeightHistory([w], { maxSegments: 2 });
    for (let i = 0; i < 5; i++) {
      history.update();
      history.closeSegment();
    }
    history.update();
    await history.choose(() => 1);
    history.swap();
    history.dispose();
    history.dispose();
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
    const disposed = 'This WeightHistory has been disposed';
    for (const call of [
      () => history.update(),
      () => history.closeSegment(),
      () => history.choose(() => 1),
      () => history.swap(),
      () => history.average(1),
      () => history.stateDict(),
      () => history.loadStateDict({ segments: [], open: false, chosen: null }),
    ]) {
      await assertFails(call, disposed);
    }
  });

  it('swaps back what is left where a variable was disposed meanwhile', async () => {
    const [a, b] = [variable([1]), tf.tidy(() => tf.variable(tf.scalar(1)))];
    const history = own(new WeightHistory([b, a]));
    history.update();
    set(a, 5);
    set(b, 5);
    await history.choose(() => 1);
    b.dispose();
    history.swap();
    assert.equal(await read(a), 5);
    await assertFails(() => history.swap(), `Variable ${b.name} is disposed`);
  });

  it('takes no notice of tidy', async () => {
    const w = variable([1]);
    const history = own(new WeightHistory([w]));
    tf.tidy(() => {
      history.update();
      w.assign(tf.tensor1d([3]));
      history.update();
    });
    assert.equal((await history.average(1)).weights[0]!.values[0], 2);
  });

  it('has any net predict, window after window, as a new one with these weights', async function () {
    this.timeout(240_000);
    await fc.assert(
      fc.asyncProperty(
        nets,
        fc.array(fc.array(fc.integer(), { minLength: 1, maxLength: 2 }), {
          minLength: 1,
          maxLength: 3,
        }),
        fc.integer(),
        async (parts, seeds, scores) => {
          const [model, fresh] = [netOf(parts), netOf(parts)];
          const trained = new Set(model.trainableWeights.map((weight) => weight.read()));
          if (trained.size === 0) return;
          const x = own(tf.tensor2d([0.3, -0.7, 1.1, 0.2], [2, 2]));
          const [all, others] = [variablesOf(model), variablesOf(fresh)];
          const history = new WeightHistory(model, { maxSegments: 2 });
          const taken: number[][][] = []; // of each update all values
          for (const segment of seeds) {
            for (const seed of segment) {
              randomizeNet(model, seed);
              await predictions(model, x);
              history.update();
              taken.push(await valuesOf(all));
            }
            history.closeSegment();
          }
          const counts = history.segments.map(({ count }) => count);
          const next = random(scores);
          let size = 0;

          const check = async (window: number, what: string): Promise<void> => {
            const now = await valuesOf(all);
            const last = taken.slice(-counts.slice(-window).reduce((sum, n) => sum + n, 0));
            all.forEach((each, v) => {
              if (!trained.has(each)) return;
              const mean = now[v]!.map(
                (_, i) => last.reduce((sum, update) => sum + update[v]![i]!, 0) / last.length,
              );
              // The values are from 0.25 to 1.25.
              assertClose(now[v]!, mean, 1e-6, `${what}: ${each.name}`);
            });
            others.forEach((other, v) => {
              tf.tidy(() => other.assign(tf.tensor(now[v]!, other.shape)));
            });
            assertClose(await predictions(model, x), await predictions(fresh, x), 1e-6, what);
          };

          const before = await valuesOf(all);
          const { window } = await history.choose(
            async () => {
              await check((size += 1), `window ${size}`);
              return next();
            },
            { bnData: [x] },
          );
          await check(window, 'chosen');
          const chosen = await valuesOf(all);
          history.swap();
          assert.deepEqual(await valuesOf(all), before);
          history.swap();
          assert.deepEqual(await valuesOf(all), chosen);
          await check(window, 'swapped');
          history.dispose();
        },
      ),
      { numRuns: shareOf(25) },
    );
  });
});
