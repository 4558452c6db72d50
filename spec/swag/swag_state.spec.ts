/** The state of a SWAG: resume bit for bit, merges, what fits and what is refused. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { loadStateDict, saveStateDict, SWAG, type SWAGStateDict } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertClose, assertFails, own, random, valuesOf, variable } from '../support/support.js';
import { floats, read, set, take, unnamedNet } from '../support/values.js';
import { referenceOf } from './reference.js';

describe('the state of a SWAG', () => {
  it('is plain data: count, moments, deviations, and what was put in place', async () => {
    const w = variable([0], 'swag_state_w');
    const swag = own(new SWAG([w], { maxRank: 3 }));
    const empty = { count: 0, max_rank: 3, mean: [], m2: [], deviations: [], placed: null };
    assert.deepEqual(await swag.stateDict(), empty);
    take(swag, w, [1, 3]);
    const name = w.name;
    const state = await swag.stateDict();
    const expected: SWAGStateDict = {
      count: 2,
      max_rank: 3,
      mean: [floats(name, 2)],
      m2: [floats(name, 2)],
      deviations: [[floats(name, 0)], [floats(name, 1)]],
      placed: null,
    };
    assert.deepEqual(state, expected);
    assert.deepEqual(structuredClone(state), expected);
    swag.mean();
    assert.deepEqual((await swag.stateDict()).placed, {
      swapped: true,
      weights: [floats(name, 3)],
      statistics: [],
    });
    swag.swap();
    assert.deepEqual((await swag.stateDict()).placed, {
      swapped: false,
      weights: [floats(name, 2)],
      statistics: [],
    });
  });

  it('is a copy of the moment of the call', async () => {
    const w = variable([0]);
    const swag = own(new SWAG([w]));
    take(swag, w, [2, 4]);
    const promise = swag.stateDict();
    take(swag, w, [9]);
    const { count, mean, m2 } = await promise;
    assert.deepEqual([count, mean[0]!.values[0], m2[0]!.values[0]], [2, 3, 2]);
    for (const list of [mean, m2]) list[0]!.values[0] = 100;
    const now = await swag.stateDict();
    // (2 + 4 + 9) / 3 = 5; 3^2 + 1^2 + 4^2
    assertClose([now.mean[0]!.values[0]!, now.m2[0]!.values[0]!], [5, 26], 1e-5);
  });

  it('resumes bit for bit at any moment of a run, in another model of the structure', async function () {
    this.timeout(240_000);
    const actions = fc.array(
      fc.constantFrom('update', 'update', 'update', 'mean', 'sample', 'predict', 'swap'),
      { maxLength: 14 },
    );
    await fc.assert(
      fc.asyncProperty(actions, actions, fc.integer(), async (first, second, seed) => {
        const x = tf.tensor2d([0.3, -0.7, 1.1, 0.2], [2, 2]);
        /** Does what is possible; everything follows from `next`. Returns what was predicted. */
        const run = async (
          { all }: { all: readonly tf.Variable[] },
          swag: SWAG,
          todo: readonly string[],
          next: () => number,
          wasPlaced: boolean,
        ): Promise<{ placed: boolean; predicted: number[][] }> => {
          let placed = wasPlaced;
          const predicted: number[][] = [];
          for (const action of todo) {
            const values = all.map(({ size }) => Float32Array.from({ length: size }, next));
            const drawn = Math.floor(next() * 1e9);
            if (action === 'swap') {
              if (placed) swag.swap();
            } else if (action === 'update') {
              if (swag.swapped) continue;
              all.forEach((v, i) => tf.tidy(() => v.assign(tf.tensor(values[i]!, v.shape))));
              swag.update();
              placed = false;
            } else if (swag.count >= 2) {
              if (action === 'mean') swag.mean();
              else if (action === 'sample') swag.sample({ seed: drawn });
              else {
                const options = { samples: 2, seed: drawn, bnData: [x] };
                const { mean, std } = await swag.predict(x, options);
                predicted.push(...(await valuesOf([mean, std])));
                tf.dispose([mean, std]);
                continue;
              }
              placed = true;
            }
          }
          return { placed, predicted };
        };
        const [one, two] = [unnamedNet(), unnamedNet()];
        const [a, b] = [one, two].map(({ model }) => new SWAG(model, { maxRank: 2 })) as [
          SWAG,
          SWAG,
        ];
        const { placed } = await run(one, a, first, random(seed), false);
        // The other one has a past of its own.
        await run(two, b, ['update', 'update', 'sample', 'swap'], random(seed + 1), false);
        const state = structuredClone(await a.stateDict());
        // Copies, as a loaded model has them: what shares data is averaged with other roundings.
        (await valuesOf(one.all)).forEach((values, i) => {
          tf.tidy(() => two.all[i]!.assign(tf.tensor(values, two.all[i]!.shape)));
        });
        await b.loadStateDict(state);
        assert.deepEqual([b.count, b.rank, b.swapped], [a.count, a.rank, a.swapped]);
        const left = await run(one, a, second, random(seed + 2), placed);
        const right = await run(two, b, second, random(seed + 2), placed);
        assert.deepEqual(right, left);
        assert.deepEqual(await valuesOf(two.all), await valuesOf(one.all));
        const [ofA, ofB] = [await a.stateDict(), await b.stateDict()];
        const numbers = ({ mean, m2, deviations, ...rest }: SWAGStateDict) => [
          [mean, m2, ...deviations].map((list) => list.map(({ values }) => [...values])),
          rest.count,
          rest.placed?.swapped,
        ];
        assert.deepEqual(numbers(ofB), numbers(ofA));
        if (a.swapped) {
          a.swap();
          b.swap();
          assert.deepEqual(await valuesOf(two.all), await valuesOf(one.all));
        }
        a.dispose();
        b.dispose();
        x.dispose();
      }),
      { numRuns: shareOf(60) },
    );
  });

  it('is saved and loaded as any checkpoint, before the first update and with a sample in place', async () => {
    const { model } = unnamedNet();
    const swag = own(new SWAG(model));
    for (const step of ['none', 'update', 'sample']) {
      if (step === 'update') for (let i = 0; i < 3; i++) swag.update();
      if (step === 'sample') swag.sample({ seed: 1 });
      const state = await swag.stateDict();
      let file: tf.io.ModelArtifacts | null = null;
      const save = async (artifacts: tf.io.ModelArtifacts) => {
        file = artifacts;
        return {
          modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const },
        };
      };
      await saveStateDict({ save }, state);
      const load = async () => file!;
      assert.deepEqual(await loadStateDict<SWAGStateDict>({ load }), state);
    }
  });

  it('is taken by name, in another order, and with another maxRank', async () => {
    const [a, b] = [variable([0], 'swag_order_a'), variable([0], 'swag_order_b')];
    const swag = own(new SWAG([a, b], { maxRank: 3 }));
    for (const [one, two] of [
      [1, 10],
      [3, 20],
      [8, 60],
    ] as const) {
      set(a, one);
      set(b, two);
      swag.update();
    }
    const state = await swag.stateDict();
    const fewer = own(new SWAG([b, a], { maxRank: 2 }));
    await fewer.loadStateDict(state);
    assert.equal(fewer.rank, 2);
    const loaded = await fewer.stateDict();
    // 3 - 2, 8 - 4 and 20 - 15, 60 - 30
    const columns = loaded.deviations.map((column) => column.map(({ values }) => values[0]!));
    assertClose(columns.flat(), [5, 1, 30, 4], 1e-5);
    assertClose(
      loaded.mean.map(({ values }) => values[0]!),
      [30, 4],
      1e-5,
    );
    const more = own(new SWAG([a, b]));
    await more.loadStateDict(state);
    assert.equal(more.rank, 3);
    more.update();
    assert.deepEqual([more.count, more.rank], [4, 4]);
    await more.loadStateDict(await own(new SWAG([a, b])).stateDict());
    assert.deepEqual([more.count, more.rank], [0, 0]);
  });

  it('brings back the weights and statistics of training, where it was swapped', async () => {
    const [one, two] = [unnamedNet(), unnamedNet()];
    const [a, b] = [one, two].map(({ model }) => own(new SWAG(model))) as [SWAG, SWAG];
    a.update();
    for (const v of one.all) set(v, 2);
    a.update();
    a.sample({ seed: 1 });
    set(one.all[4]!, 9); // a statistic, after the sample
    one.all.forEach((v, i) => two.all[i]!.assign(v));
    await b.loadStateDict(await a.stateDict());
    const sample = await valuesOf(one.all);
    await assertFails(() => b.update(), /^Cannot update while swapped/);
    await assertFails(() => own(new SWAG(two.model)).update(), /averages of another wrapper/);
    b.swap();
    assert.deepEqual(
      await valuesOf(two.all),
      two.all.map(({ size }) => Array<number>(size).fill(2)),
    );
    b.swap();
    assert.deepEqual(await valuesOf(two.all), sample);
  });

  it('that does not fit or makes no sense is refused, and nothing changes', async () => {
    const w = variable([0], 'swag_state_fit');
    const swag = own(new SWAG([w]));
    take(swag, w, [1, 3]);
    swag.mean();
    swag.swap();
    const state = await swag.stateDict();
    const placed = state.placed!;
    const bad: [unknown, RegExp][] = [
      [null, /^Invalid state.count: undefined \(expected an integer >= 0\)$/],
      [{ ...state, count: 1.5 }, /^Invalid state.count: 1.5 /],
      [{ ...state, max_rank: -1 }, /^Invalid state.max_rank: -1 /],
      [{ ...state, mean: 3 }, /^Invalid state.mean: 3 \(expected a list of tensor data\)/],
      [{ ...state, mean: [1] }, /^Invalid state.mean\[0\].name/],
      [{ ...state, mean: [] }, /^The weights do not fit; missing: /],
      [{ ...state, m2: undefined }, /^Invalid state.m2: undefined /],
      [{ ...state, m2: [floats(w.name, 1, 2)] }, /^The weights do not fit; of the wrong shape/],
      [
        { ...state, deviations: 1 },
        /^Invalid state.deviations: 1 \(expected a list of at most 2\)/,
      ],
      [{ ...state, deviations: [[], [], []] }, /^Invalid state.deviations: a list of 3 /],
      [{ ...state, deviations: [[]] }, /^The weights do not fit; missing: /],
      [{ ...state, deviations: [1] }, /^Invalid state.deviations\[0\]: 1 /],
      [{ ...state, count: 0 }, /^Invalid state.mean: a list of 1 \(expected an empty list\)/],
      [{ ...state, placed: undefined }, /^Invalid state.placed.swapped: undefined /],
      [{ ...state, placed: { ...placed, swapped: 0 } }, /^Invalid state.placed.swapped: 0 /],
      [{ ...state, placed: { ...placed, weights: [] } }, /^The weights do not fit; missing: /],
      [{ ...state, placed: { ...placed, statistics: 1 } }, /^Invalid state.placed.statistics: 1 /],
      [
        { ...state, placed: { ...placed, statistics: [floats('mean', 1)] } },
        /^The weights do not fit; unexpected: mean$/,
      ],
    ];
    const { numTensors } = tf.memory();
    for (const [broken, message] of bad) {
      await assertFails(() => swag.loadStateDict(broken as SWAGStateDict), message);
    }
    assert.equal(tf.memory().numTensors, numTensors);
    assert.deepEqual(await swag.stateDict(), state);
    swag.swap();
    await assertFails(
      () => swag.loadStateDict(state),
      'Cannot load a state that was not swapped while swapped: call swap() first',
    );
    const swapped = await swag.stateDict();
    await assertFails(
      () => own(new SWAG([w])).loadStateDict(swapped),
      /^Cannot load a state: variable .* holds the averages of another wrapper/,
    );
    await swag.loadStateDict(swapped);
    swag.swap();
    assert.equal(await read(w), 3);
  });
});

describe('SWAG.merge', () => {
  /** The state after a run of one weight of this shape. */
  const stateOf = async (run: readonly number[][], maxRank = 4): Promise<SWAGStateDict> => {
    const w = tf.tidy(() => tf.variable(tf.tensor1d(run[0]!), true));
    const swag = new SWAG([w], { maxRank });
    for (const values of run) {
      tf.tidy(() => w.assign(tf.tensor1d(values)));
      swag.update();
    }
    const state = await swag.stateDict();
    swag.dispose();
    w.dispose();
    return state;
  };

  it('has the mean and variance of one pass over all runs', async () => {
    const numbers = fc.double({ min: -3, max: 3, noNaN: true });
    const update = fc.tuple(numbers, numbers).map((values) => values.map(Math.fround));
    const run = fc.array(update, { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(run, { minLength: 1, maxLength: 5 }), async (runs) => {
        const merged = SWAG.merge(await Promise.all(runs.map((each) => stateOf(each))));
        const all = runs.flat();
        const { mean, m2 } = referenceOf(
          all.map((values) => [values]),
          0,
        );
        assert.deepEqual([merged.count, merged.max_rank, merged.placed], [all.length, 4, null]);
        assertClose(merged.mean[0]!.values, mean[0]!, 1e-6, 'mean');
        const variance = (values: ArrayLike<number>) =>
          Array.from(values, (value) => value / all.length);
        // At most 36, of which float32 keeps 2e-6.
        assertClose(variance(merged.m2[0]!.values), variance(m2[0]!), 5e-6, 'variance');
      }),
      { numRuns: shareOf(100) },
    );
  });

  it('keeps the newest columns of each, and is loaded as any state', async () => {
    const runs = [
      [[1], [3], [8]],
      [[5], [7]],
    ];
    const states = await Promise.all(runs.map((run) => stateOf(run, 5)));
    const merged = SWAG.merge(states);
    // floor(5 / 2) = 2 of each: 3 - 2, 8 - 4; 5 - 5, 7 - 6
    const columns = merged.deviations.map(([column]) => column!.values[0]!);
    assertClose(columns, [1, 4, 0, 1], 1e-6);
    assert.deepEqual(structuredClone(merged), merged);
    const w = variable([0]);
    const swag = own(new SWAG([w], { maxRank: 5 }));
    await swag.loadStateDict(merged);
    swag.mean();
    // (1 + 3 + 8 + 5 + 7) / 5
    assertClose([await read(w)], [4.8], 1e-6);
    swag.swap();
    swag.update();
    assert.deepEqual([swag.count, swag.rank], [6, 5]);
    merged.mean[0]!.values[0] = 100;
    merged.deviations[0]![0]!.values[0] = 100;
    assert.notEqual(states[0]!.deviations[1]![0]!.values[0], 100);
    assert.lengthOf(SWAG.merge([...states, ...states, ...states]).deviations, 0);
  });

  it('matches by name, and refuses what does not fit', async () => {
    const one = await stateOf([
      [1, 2],
      [3, 4],
    ]);
    const renamed = (state: SWAGStateDict, names: string[]): SWAGStateDict => {
      const named = (list: SWAGStateDict['mean']) =>
        names.map((name, i) => ({ ...list[0]!, name, values: list[0]!.values.map((v) => v + i) }));
      const { mean, m2, deviations } = state;
      return { ...state, mean: named(mean), m2: named(m2), deviations: deviations.map(named) };
    };
    const [ab, ba] = [renamed(one, ['a', 'b']), renamed(one, ['b', 'a'])];
    const { mean } = SWAG.merge([ab, ba]);
    // a: (2, 3) and (3, 4); b the same
    assert.deepEqual(
      mean.map(({ name, values }) => [name, ...values]),
      [
        ['a', 2.5, 3.5],
        ['b', 2.5, 3.5],
      ],
    );
    const other = await stateOf([[1], [2]]);
    const empty = { ...one, count: 0, mean: [], m2: [], deviations: [] };
    await assertFails(() => SWAG.merge([]), 'There are no states to merge');
    await assertFails(
      () => SWAG.merge([one, other]),
      /^The weights do not fit; of the wrong shape/,
    );
    await assertFails(() => SWAG.merge([one, ab]), /^The weights do not fit; /);
    await assertFails(
      () => SWAG.merge([one, empty]),
      'Invalid states[1].count: 0 (expected an integer >= 1)',
    );
    await assertFails(
      () => SWAG.merge([one, { ...one, m2: 1 as never }]),
      'Invalid states[1].m2: 1 (expected a list of tensor data)',
    );
  });
});
