/** The state of a WeightHistory: resume bit for bit, what fits and what is refused. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { WeightHistory, type WeightHistoryState } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertClose, assertFails, own, random, valuesOf, variable } from '../support/support.js';
import { floats, read, set, take, unnamedNet } from '../support/values.js';

/** All averages that a history can give. */
async function averagesOf(history: WeightHistory): Promise<number[][]> {
  const windows = history.segments.map((_, k) => history.average(k + 1));
  return (await Promise.all(windows)).map(({ weights }) =>
    weights.flatMap(({ values }) => [...values]),
  );
}

describe('the state of a WeightHistory', () => {
  it('is plain data: segments, whether the last is open, and what was chosen', async () => {
    const w = variable([0], 'history_state_w');
    const history = own(new WeightHistory([w]));
    assert.deepEqual(await history.stateDict(), { segments: [], open: false, chosen: null });
    take(history, w, [1, 3]);
    history.closeSegment();
    take(history, w, [8]);
    const segments = [
      { count: 2, weights: [floats(w.name, 2)] },
      { count: 1, weights: [floats(w.name, 8)] },
    ];
    assert.deepEqual(await history.stateDict(), { segments, open: true, chosen: null });
    history.closeSegment();
    await history.choose(async () => Math.abs((await read(w)) - 4)); // (1 + 3 + 8) / 3
    const score = { window: 2, count: 3, score: 0 };
    const state = await history.stateDict();
    assert.deepEqual(state, {
      segments,
      open: false,
      chosen: { ...score, swapped: true, weights: [floats(w.name, 8)], statistics: [] },
    });
    history.swap();
    assert.deepEqual((await history.stateDict()).chosen, {
      ...score,
      ...{ swapped: false, weights: [floats(w.name, 4)], statistics: [] },
    });
    assert.deepEqual(structuredClone(state), state);
  });

  it('is a copy of the moment of the call', async () => {
    const w = variable([0]);
    const history = own(new WeightHistory([w]));
    take(history, w, [2]);
    const promise = history.stateDict();
    take(history, w, [4]);
    const { segments } = await promise;
    assert.deepEqual([segments[0]!.count, segments[0]!.weights[0]!.values[0]], [1, 2]);
    segments[0]!.weights[0]!.values[0] = 100;
    const [[average]] = (await averagesOf(history)) as [[number]];
    assert.equal(average, 3);
  });

  it('resumes bit for bit at any moment of a run, in another model of the structure', async function () {
    this.timeout(240_000);
    const actions = fc.array(fc.constantFrom('update', 'update', 'close', 'choose', 'swap'), {
      maxLength: 14,
    });
    await fc.assert(
      fc.asyncProperty(actions, actions, fc.integer(), async (first, second, seed) => {
        const x = own(tf.tensor2d([0.3, -0.7, 1.1, 0.2], [2, 2]));
        /** Does what is possible; everything follows from `next`. */
        const run = async (
          all: readonly tf.Variable[],
          history: WeightHistory,
          todo: readonly string[],
          next: () => number,
          chosen: boolean,
        ): Promise<boolean> => {
          for (const action of todo) {
            const values = all.map(({ size }) => Float32Array.from({ length: size }, next));
            if (action === 'swap') {
              if (chosen) history.swap();
            } else if (!history.swapped) {
              if (action === 'update') {
                all.forEach((v, i) => tf.tidy(() => v.assign(tf.tensor(values[i]!, v.shape))));
                history.update();
                chosen = false;
              } else if (action === 'close') history.closeSegment();
              else if (history.segments.length > 0) {
                await history.choose(next, { bnData: [x] });
                chosen = true;
              }
            }
          }
          return chosen;
        };
        const [one, two] = [unnamedNet(), unnamedNet()];
        const [a, b] = [one, two].map(({ model }) => new WeightHistory(model, { maxSegments: 2 }));
        const [next, other] = [random(seed), random(seed + 1)];
        const chosen = await run(one.all, a!, first, next, false);
        // The other one has a past of its own.
        const had = await run(two.all, b!, ['update', 'close', 'update', 'choose'], other, false);
        if (had && b!.swapped) b!.swap();
        const state = structuredClone(await a!.stateDict());
        // Copies, as a loaded model has them: what shares data is averaged with other roundings.
        (await valuesOf(one.all)).forEach((values, i) => {
          tf.tidy(() => two.all[i]!.assign(tf.tensor(values, two.all[i]!.shape)));
        });
        const report = await b!.loadStateDict(state);
        assert.deepEqual(report, { missing: [], unexpected: [], mismatched: [] });
        assert.equal(b!.swapped, a!.swapped);
        const [left, right] = [random(seed + 2), random(seed + 2)];
        await run(one.all, a!, second, left, chosen);
        await run(two.all, b!, second, right, chosen);
        assert.deepEqual(await valuesOf(two.all), await valuesOf(one.all));
        assert.deepEqual(b!.segments, a!.segments);
        assert.equal(b!.swapped, a!.swapped);
        assert.deepEqual(await averagesOf(b!), await averagesOf(a!));
        if (a!.swapped) {
          a!.swap();
          b!.swap();
          assert.deepEqual(await valuesOf(two.all), await valuesOf(one.all));
        }
        a!.dispose();
        b!.dispose();
      }),
      { numRuns: shareOf(60) },
    );
  });

  it('brings back the weights and statistics of training, where it was swapped', async () => {
    const [one, two] = [unnamedNet(), unnamedNet()];
    const [a, b] = [one, two].map(({ model }) => own(new WeightHistory(model)));
    const x = own(tf.tensor2d([1, 2, 3, 4], [2, 2]));
    a!.update();
    for (const v of one.all) set(v, 2);
    a!.update();
    await a!.choose(() => 1, { bnData: [x] });
    one.all.forEach((v, i) => two.all[i]!.assign(v));
    await b!.loadStateDict(await a!.stateDict());
    const average = await valuesOf(one.all);
    await assertFails(() => b!.update(), /^Cannot update while swapped/);
    await assertFails(
      () => own(new WeightHistory(two.model)).update(),
      /holds the averages of another wrapper/,
    );
    b!.swap();
    assert.deepEqual(
      await valuesOf(two.all),
      two.all.map(({ size }) => Array<number>(size).fill(2)),
    );
    b!.swap();
    assert.deepEqual(await valuesOf(two.all), average);
  });

  it('is merged to maxSegments', async () => {
    const w = variable([0]);
    const history = own(new WeightHistory([w]));
    for (const value of [1, 2, 3, 6, 8]) {
      take(history, w, [value]);
      history.closeSegment();
    }
    take(history, w, [10]);
    const small = own(new WeightHistory([w], { maxSegments: 2 }));
    await small.loadStateDict(await history.stateDict());
    assert.deepEqual(small.segments, [{ count: 4 }, { count: 1 }, { count: 1 }]);
    // 10; (8 + 10) / 2; (1 + 2 + 3 + 6 + 8 + 10) / 6 = 5
    assert.deepEqual(await averagesOf(small), [[10], [9], [5]]);
  });

  it('that does not fit or makes no sense is refused, and nothing changes', async () => {
    const w = variable([0], 'history_state_fit');
    const history = own(new WeightHistory([w]));
    take(history, w, [1, 3]);
    history.closeSegment();
    await history.choose(() => 1);
    history.swap();
    const state = await history.stateDict();
    const { chosen, segments } = state as WeightHistoryState & { chosen: object };
    const [segment] = segments;
    const is = (...many: object[]) => ({ ...state, segments: many });
    const bad: [unknown, RegExp][] = [
      [null, /^Invalid state.segments: undefined \(expected a list\)$/],
      [{ ...state, segments: 3 }, /^Invalid state.segments: 3 /],
      [is(null as never), /^Invalid state.segments\[0\].count: undefined /],
      [is({ ...segment, count: 0 }), /^Invalid state.segments\[0\].count: 0 /],
      [is({ ...segment, weights: 1 }), /^Invalid state.segments\[0\].weights: 1 /],
      [is({ ...segment, weights: [1] }), /^Invalid state.segments\[0\].weights\[0\].name/],
      [is({ ...segment, late: [3] }), /^Invalid state.segments\[0\].late: a list of 1 /],
      [is({ ...segment, late: [0, 0] }), /^Invalid state.segments\[0\].late: a list of 2 /],
      [is({ ...segment, late: null }), /^Invalid state.segments\[0\].late: null /],
      [is(segment!, { count: 1, weights: [] }), /^The weights do not fit; missing: /],
      [
        is(segment!, { count: 1, weights: [floats(w.name, 1, 2)] }),
        /^The weights do not fit; of the wrong shape or value: .*float32 \[2\], not float32 \[1\]/,
      ],
      [{ ...state, open: 1 }, /^Invalid state.open: 1 /],
      [{ ...is(), open: true }, /^Invalid state.open: true /],
      [{ ...state, chosen: undefined }, /^Invalid state.chosen.window: undefined /],
      [{ ...state, chosen: { ...chosen, count: 1.5 } }, /^Invalid state.chosen.count: 1.5 /],
      [{ ...state, chosen: { ...chosen, score: '1' } }, /^Invalid state.chosen.score: "1" /],
      [{ ...state, chosen: { ...chosen, swapped: 0 } }, /^Invalid state.chosen.swapped: 0 /],
      [{ ...state, chosen: { ...chosen, weights: [] } }, /^The weights do not fit; missing: /],
      [{ ...state, chosen: { ...chosen, statistics: 1 } }, /^Invalid state.chosen.statistics: 1 /],
      [
        { ...state, chosen: { ...chosen, statistics: [floats('mean', 1)] } },
        /^The weights do not fit; unexpected: mean$/,
      ],
    ];
    const { numTensors } = tf.memory();
    for (const [broken, message] of bad) {
      await assertFails(() => history.loadStateDict(broken as WeightHistoryState), message);
    }
    await assertFails(
      () => history.loadStateDict(state, { strict: 1 as never }),
      /^Invalid strict: 1 /,
    );
    await assertFails(
      () => history.loadStateDict(state, { avgFn: 'keep' } as never),
      /^Unknown option avgFn /,
    );
    assert.equal(tf.memory().numTensors, numTensors);
    assert.deepEqual(await history.stateDict(), state);
    history.swap();
    await assertFails(
      () => history.loadStateDict(state),
      'Cannot load a state that was not swapped while swapped: call swap() first',
    );
    const other = own(new WeightHistory([w]));
    const swapped = await history.stateDict();
    await assertFails(
      () => other.loadStateDict(swapped),
      /^Cannot load a state: variable .* holds the averages of another wrapper/,
    );
    await history.loadStateDict(swapped);
    history.swap();
    assert.equal(await read(w), 3);
  });

  it('gives with strict false what fits; the average of others begins with the next update', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => variable([0], `history_state_${name}`)) as [
      tf.Variable,
      tf.Variable,
      tf.Variable,
    ];
    const both = own(new WeightHistory([a, b]));
    for (const value of [1, 3]) {
      for (const v of [a, b]) set(v, value);
      both.update();
      both.closeSegment();
    }
    for (const v of [a, b]) set(v, 5);
    both.update();
    await both.choose(() => 1); // (1 + 3 + 5) / 3
    both.swap();
    const state = await both.stateDict();

    const history = own(new WeightHistory([c, a], { maxSegments: 2 }));
    set(c, 100);
    assert.deepEqual(await history.loadStateDict(state, { strict: false }), {
      missing: [c.name],
      unexpected: [b.name],
      mismatched: [],
    });
    // c is what it was where it has no average.
    assert.deepEqual(await averagesOf(history), [
      [100, 5],
      [100, 4],
      [100, 3],
    ]);
    history.swap();
    assert.deepEqual(await valuesOf([c, a]), [[100], [3]]);
    history.swap();
    set(a, 7);
    set(c, 10);
    history.update(); // in the open segment
    assert.deepEqual(await averagesOf(history), [
      [10, 6],
      [10, 5],
      [10, 4],
    ]);
    set(c, 20);
    set(a, 9);
    history.update();
    history.closeSegment(); // of 3, which makes three closed ones: the older two are merged
    const expected = [
      [15, 7],
      [15, 5],
    ];
    assert.deepEqual(await averagesOf(history), expected);
    const saved = await history.stateDict();
    assert.deepEqual(
      saved.segments.map(({ count, late }) => [count, late]),
      [
        [2, [2, 0]],
        [3, [1, 0]],
      ],
    );
    const again = own(new WeightHistory([a, c], { maxSegments: 2 }));
    await again.loadStateDict(structuredClone(saved)); // by name, in another order
    assert.deepEqual(
      await averagesOf(again),
      expected.map(([ofC, ofA]) => [ofA, ofC]),
    );
    set(c, 30);
    again.update();
    again.closeSegment();
    // (1 + 3 + 5 + 7 + 9 + 9) / 6, and (10 + 20 + 30) / 3
    assertClose((await averagesOf(again)).at(-1)!, [34 / 6, 20], 1e-6);
  });
});
