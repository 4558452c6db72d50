/** Choosing a window: worked numbers, what fails, and what is held meanwhile. */
import * as tfd from '@tensorflow/tfjs-data';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWA, updateBn, WeightHistory, type ChooseOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertClose,
  assertFails,
  own,
  random,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';
import { read, set } from '../support/values.js';

/** A segment of one update for each of these values. */
function segmentsOf(v: tf.Variable, values: readonly number[], history: WeightHistory): void {
  for (const value of values) {
    set(v, value);
    history.update();
    history.closeSegment();
  }
}

/** One variable after three segments, whose windows are 3, (1 + 3) / 2 = 2, (8 + 1 + 3) / 3 = 4. */
function three(): { w: tf.Variable; history: WeightHistory } {
  const w = variable([0]);
  const history = own(new WeightHistory([w]));
  segmentsOf(w, [8, 1, 3], history);
  return { w, history };
}

/**
 * A kernel k before a batch normalization. Of the inputs 1 and 3 it makes k and 3 k: their mean is
 * 2 k, their variance k^2.
 */
function net() {
  const model = own(
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 1, useBias: false, inputShape: [1] }),
        tfl.layers.batchNormalization({ center: true }),
      ],
    }),
  );
  const [kernel, gamma, beta, mean, variance] = model.weights.map(
    (weight) => weight.read() as tf.Variable,
  ) as [tf.Variable, tf.Variable, tf.Variable, tf.Variable, tf.Variable];
  const x = own(tf.tensor2d([[1], [3]]));
  set(mean, 7);
  set(variance, 5);
  const history = own(new WeightHistory(model));
  return { model, kernel, gamma, beta, mean, variance, x, history };
}

/** The net after segments with the kernels 1, 2, 6, whose windows are 6, 4, 3. */
function trained() {
  const parts = net();
  segmentsOf(parts.kernel, [1, 2, 6], parts.history);
  return parts;
}

describe('WeightHistory.choose', () => {
  it('leaves the best window in place, and swap() is its own inverse', async () => {
    const { w, history } = three();
    const seen: number[] = [];
    const told: object[] = [];
    const choice = await history.choose(
      async () => {
        seen.push(await read(w));
        assert.isFalse(history.swapped);
        return Math.abs(seen.at(-1)! - 2);
      },
      { onWindow: (score) => told.push(score) },
    );
    assert.deepEqual(seen, [3, 2, 4]);
    const scores = [
      { window: 1, count: 1, score: 1 },
      { window: 2, count: 2, score: 0 },
      { window: 3, count: 3, score: 2 },
    ];
    assert.deepEqual(choice, { ...scores[1]!, scores });
    assert.deepEqual(told, scores);
    assert.isTrue(history.swapped);
    assert.equal(await read(w), 2);
    history.swap();
    assert.deepEqual([await read(w), history.swapped], [3, false]);
    history.swap();
    assert.deepEqual([await read(w), history.swapped], [2, true]);
  });

  it('counts the open segment, and weighs segments by their updates', async () => {
    const w = variable([0]);
    const history = own(new WeightHistory([w]));
    segmentsOf(w, [10], history);
    for (const value of [1, 3, 5]) {
      set(w, value);
      history.update();
    }
    assert.deepEqual(history.segments, [{ count: 1 }, { count: 3 }]);
    const seen: number[] = [];
    await history.choose(async () => -seen.push(await read(w)));
    // (1 + 3 + 5) / 3 = 3; (10 + 3 * 3) / 4 = 4.75
    assertClose(seen, [3, 4.75], 1e-6);
    assertClose([await read(w)], [4.75], 1e-6);
  });

  for (const [scores, best] of [
    [[1, 1, 1], 3],
    [[1, 1, 2], 2],
    [[NaN, 5, NaN], 2],
    [[2, NaN, 2], 3],
    [[Infinity, NaN, NaN], 1],
    [[0, Infinity, -Infinity], 3],
  ] as const) {
    it(`takes window ${best} of the scores ${scores.join(', ')}`, async () => {
      const { w, history } = three();
      let i = 0;
      const { window, scores: all } = await history.choose(() => scores[i++]!);
      assert.equal(window, best);
      assert.deepEqual(
        all.map(({ score }) => score),
        [...scores],
      );
      assert.equal(await read(w), [3, 2, 4][best - 1]);
    });
  }

  it('re-estimates batch normalization for each window, and swaps its statistics', async () => {
    const { kernel, mean, variance, x, model, history } = trained();
    const seen: number[][] = [];
    const { window } = await history.choose(
      async () => {
        const [k, m, v] = [await read(kernel), await read(mean), await read(variance)];
        seen.push([k, m, v]);
        return Math.abs(m - 8);
      },
      { bnData: [x] },
    );
    assert.deepEqual(seen, [
      [6, 12, 36],
      [4, 8, 16],
      [3, 6, 9],
    ]);
    assert.equal(window, 2);
    const held = () => Promise.all([kernel, mean, variance].map(read));
    assert.deepEqual(await held(), [4, 8, 16]);
    history.swap();
    assert.deepEqual(await held(), [6, 7, 5]);
    tf.dispose(model.apply(x, { training: true }) as tf.Tensor); // training moves the statistics on
    const moved = await held();
    assert.notEqual(moved[1], 7);
    history.swap();
    assert.deepEqual(await held(), [4, 8, 16]);
    history.swap();
    assert.deepEqual(await held(), moved);
  });

  it('keeps the statistics that evaluate re-estimates, window by window', async () => {
    const { kernel, mean, x, model, history } = trained();
    const before: number[] = [];
    const [warning] = await warningsOf(() =>
      history.choose(async () => {
        before.push(await read(mean));
        await updateBn([x], model);
        return Math.abs((await read(mean)) - 8);
      }),
    );
    assert.match(warning!, /^WeightHistory: without bnData each window is evaluated with moving/);
    assert.deepEqual(before, [7, 7, 7]);
    assert.deepEqual([await read(kernel), await read(mean)], [4, 8]);
    history.swap();
    assert.deepEqual([await read(kernel), await read(mean)], [6, 7]);
  });

  it('keeps the statistics that training passes in evaluate leave', async () => {
    const { mean, x, model, history } = trained();
    const before: number[] = [];
    await warningsOf(() =>
      history.choose(async () => {
        before.push(await read(mean));
        tf.dispose(model.apply(x, { training: true }) as tf.Tensor);
        return Math.abs((await read(mean)) - (0.99 * 7 + 0.01 * 8));
      }),
    );
    assert.deepEqual(before, [7, 7, 7]);
    assertClose([await read(mean)], [7.01], 1e-6); // of the kernel 4
    history.swap();
    assert.equal(await read(mean), 7);
  });

  it("swaps the statistics of layers of one's own that are no weights", async () => {
    const { model, kernel, history } = net();
    history.dispose();
    const [movingMean, movingVariance] = [variable([7]), variable([5])];
    const own1 = { movingMean, movingVariance, momentum: 0.9, name: 'mine' };
    const listed = Object.assign(model, { batchNormLayers: () => [own1] });
    const other = own(new WeightHistory(listed));
    segmentsOf(kernel, [1, 2], other);
    let window = 0;
    await warningsOf(() =>
      other.choose(() => {
        window += 1;
        set(movingMean, 10 * window);
        return -window;
      }),
    );
    assert.deepEqual(await valuesOf([kernel, movingMean]), [[1.5], [20]]);
    other.swap();
    assert.deepEqual(await valuesOf([kernel, movingMean, movingVariance]), [[2], [7], [5]]);
  });

  it('warns once of batch normalization without bnData, not where it is frozen', async () => {
    const { history } = trained();
    const warnings = await warningsOf(async () => {
      await history.choose(() => 1);
      history.swap();
      await history.choose(() => 1);
    });
    assert.lengthOf(warnings, 1);
    const frozen = net();
    frozen.model.layers[1]!.trainable = false;
    segmentsOf(frozen.kernel, [1], frozen.history);
    assert.deepEqual(await warningsOf(() => frozen.history.choose(() => 1)), []);
  });

  it('reads a Dataset once a window, and no model without batch normalization', async () => {
    const { kernel, mean, history } = trained();
    let passes = 0;
    const data = tfd.generator(function* () {
      passes += 1;
      yield tf.tensor2d([[1], [3]]);
    });
    await history.choose(async () => Math.abs((await read(mean)) - 6), { bnData: data });
    assert.deepEqual([passes, await read(kernel), await read(mean)], [3, 3, 6]);
  });

  it('puts back other statistics that evaluate re-estimates, of a list of variables', async () => {
    const { kernel, mean, x, model } = trained();
    const history = own(new WeightHistory([kernel]));
    segmentsOf(kernel, [1, 2], history);
    await history.choose(async () => {
      await updateBn([x], model);
      return read(mean);
    });
    assert.deepEqual([await read(kernel), await read(mean)], [1.5, 7]);
  });

  it('undoes what evaluate does to the weights', async () => {
    const { w, history } = three();
    const optimizer = own(tf.train.sgd(0.5));
    const seen: number[] = [];
    await history.choose(async () => {
      seen.push(await read(w));
      optimizer.minimize(() => tf.sum(tf.square(w)), false, [w]);
      assert.equal(await read(w), 0); // w - 0.5 2 w
      return Math.abs(seen.at(-1)! - 3);
    });
    assert.deepEqual(seen, [3, 2, 4]);
    assert.equal(await read(w), 3);
    history.swap();
    assert.equal(await read(w), 3);
    assert.equal((await history.average(3)).weights[0]!.values[0], 4);
  });

  it('leaves what evaluate kept of the weights as it was', async () => {
    const { w, history } = three();
    const kept: tf.Tensor[] = [];
    await history.choose(() => kept.push(own(tf.clone(w))));
    history.swap();
    segmentsOf(w, [5, 6], history);
    assert.deepEqual(await valuesOf(kept), [[3], [2], [4]]);
  });

  it('refuses bad arguments before anything is done', async () => {
    const { w, history } = three();
    const { model, history: ofModel, x } = trained();
    const untouched = () => assert.fail('evaluated');
    const bad: [() => unknown, RegExp][] = [
      [() => history.choose(1 as never), /^Invalid evaluate: 1 \(expected a function\)$/],
      [() => history.choose(untouched, { bn: [] } as never), /^Unknown option bn /],
      [() => history.choose(untouched, { onWindow: 1 as never }), /^Invalid onWindow: 1 /],
      [() => history.choose(untouched, { bnData: [x] }), /^Invalid bnData: a list of 1 .* list of/],
      [() => ofModel.choose(untouched, { bnData: 3 as never }), /^Invalid bnData: 3 /],
      [() => ofModel.choose(untouched, { bnData: [x].values() }), /^Invalid bnData: .* once for/],
      [
        () => ofModel.choose(untouched, { bnData: (async function* () {})() }),
        /^Invalid bnData: .* once for every window/,
      ],
      [() => own(new WeightHistory(model)).choose(untouched), /^Cannot choose: call update\(\)/],
      [() => history.choose((() => undefined) as never), /^Invalid score: undefined /],
      [() => history.choose((() => w) as never), /^Invalid score: an instance of Variable /],
    ];
    for (const [call, message] of bad) await assertFails(call, message);
    assert.isFalse(history.swapped || ofModel.swapped);
    assert.equal(await read(w), 3);
  });

  it('leaves weights, statistics and an earlier choice as before whatever fails', async function () {
    this.timeout(240_000);
    const faults = ['evaluate', 'score', 'nan', 'data', 'empty', 'onWindow', 'dispose'] as const;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...faults),
        fc.integer({ min: 1, max: 3 }),
        fc.boolean(),
        fc.boolean(),
        fc.integer(),
        async (fault, at, earlier, trains, seed) => {
          const { model, kernel, mean, x, history } = trained();
          const next = random(seed);
          if (earlier) {
            await history.choose(() => next(), { bnData: [x] });
            history.swap();
          }
          const all = model.weights.map((weight) => weight.read() as tf.Variable);
          const state = await history.stateDict();
          const values = await valuesOf(all);
          const ids = all.map(({ dataId }) => dataId);
          const { numTensors, numBytes } = tf.memory();
          let [window, passes] = [0, 0];
          const options: ChooseOptions = {
            bnData: {
              *[Symbol.iterator]() {
                passes += 1;
                if (fault === 'empty' && passes === at) return;
                yield x;
                if (fault === 'data' && passes === at) throw new Error('no more');
              },
            },
            onWindow: () => {
              if (fault === 'onWindow' && window === at) throw new Error('not told');
            },
          };
          const evaluate = async () => {
            window += 1;
            if (trains) for (const v of [kernel, mean]) set(v, next());
            if (fault === 'evaluate' && window === at) throw new Error('lost');
            if (fault === 'dispose' && window === at) history.dispose();
            if (fault === 'score' && window === at) return 'low' as never;
            return fault === 'nan' ? NaN : next();
          };
          await assertFails(
            () => history.choose(evaluate, options),
            /lost|Invalid score|NaN for every|no more|no examples|not told|has been disposed/,
          );
          assert.deepEqual(await valuesOf(all), values);
          assert.deepEqual(
            all.map(({ dataId }) => dataId),
            ids,
          );
          if (fault === 'dispose') {
            // Three segments of three weights, and what was chosen: these and two statistics.
            assert.equal(tf.memory().numTensors, numTensors - 9 - (earlier ? 5 : 0));
          } else {
            assert.deepEqual(await history.stateDict(), state);
            const now = tf.memory();
            assert.deepEqual([now.numTensors, now.numBytes], [numTensors, numBytes]);
            const again = await history.choose(async () => Math.abs((await read(mean)) - 8), {
              bnData: [x],
            });
            assert.equal(again.window, 2);
            assert.equal(await read(kernel), 4);
            history.swap();
          }
          // Nobody holds the weights any more.
          const other = own(new WeightHistory(model));
          other.update();
        },
      ),
      { numRuns: shareOf(60) },
    );
  });

  it('names a variable that evaluate disposed, and keeps the others', async () => {
    const [a, b] = [variable([1], 'history_a'), tf.tidy(() => tf.variable(tf.scalar(2)))];
    const history = own(new WeightHistory([b, a]));
    history.update();
    set(a, 3);
    set(b, 4);
    await assertFails(
      () =>
        history.choose(() => {
          b.dispose();
          return 1;
        }),
      `Variable ${b.name} is disposed`,
    );
    assert.equal(await read(a), 3);
    assert.isFalse(history.swapped);
    const { weights } = await history.average(1);
    assert.deepEqual(
      weights.map(({ values }) => [...values]),
      [[2], [1]],
    );
  });

  it('refuses what overlaps it, and goes on', async () => {
    const { w, history } = three();
    const swa = own(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: w }] }));
    swa.updateSwa();
    const other = own(new WeightHistory([w]));
    other.update();
    const state = await history.stateDict();
    const held = /^Cannot [a-z ]+: variable .* holds the averages of another wrapper/;
    const runs = /^Cannot [a-z ]+ while choose\(\) runs: await it first$/;
    const { window } = await history.choose(async () => {
      await assertFails(() => history.choose(() => 1), runs);
      await assertFails(() => history.update(), runs);
      await assertFails(() => history.closeSegment(), runs);
      await assertFails(() => history.swap(), runs);
      await assertFails(() => history.stateDict(), runs);
      await assertFails(() => history.loadStateDict(state), runs);
      await assertFails(() => swa.updateSwa(), held);
      await assertFails(() => swa.swapSwaSgd(), held);
      await assertFails(() => other.update(), held);
      await assertFails(() => other.choose(() => 1), held);
      return Math.abs((await read(w)) - 4);
    });
    assert.equal(window, 3);
  });

  it('holds two copies more than before, of maxSegments + 1, and while swapped one', async () => {
    const size = 1000;
    const w = own(tf.tidy(() => tf.variable(tf.zeros([size]))));
    const start = tf.memory();
    const held: Record<string, number[]> = {};
    // tfjs counts the bytes of what shares data as well.
    const note = (when: string): void => {
      const { numTensors, numBytes, numDataBuffers } = tf.memory();
      const now = [
        numTensors - start.numTensors,
        (numBytes - start.numBytes) / (4 * size),
        numDataBuffers - start.numDataBuffers,
      ];
      held[when] = now.map((count, i) => Math.max(count, held[when]?.[i] ?? 0));
    };
    const history = own(new WeightHistory([w], { maxSegments: 4 }));
    const train = (segments: number): void => {
      for (let i = 0; i < segments * 3; i++) {
        set(w, i);
        history.update();
        note('training');
        if (i % 3 === 2) history.closeSegment();
        note('training');
      }
      set(w, 99);
      history.update();
      set(w, 100);
    };
    const choose = async (when: string) => {
      let score = 0;
      const onWindow = () => note(when);
      const evaluate = () => {
        note(when);
        return Math.abs(3 - ++score); // the third window, which is made anew
      };
      assert.equal((await history.choose(evaluate, { onWindow })).window, 3);
    };
    train(10);
    await choose('choosing');
    note('swapped');
    history.swap();
    note('swapped');
    await choose('choosing again');
    history.swap();
    train(3);
    assert.deepEqual(held, {
      training: [5, 5, 5], // four closed ones and the open one
      choosing: [7, 7, 6], // and the running average; the weights share their data
      swapped: [6, 6, 6],
      'choosing again': [8, 8, 7], // and what was chosen first, until it is replaced
    });
    history.dispose();
    const { numTensors, numBytes } = tf.memory();
    assert.deepEqual([numTensors, numBytes], [start.numTensors, start.numBytes]);
  });
});
