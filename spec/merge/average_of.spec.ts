import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  assignWeights,
  averageOf,
  AveragedModel,
  emaAvgFn,
  Lookahead,
  ScheduleFree,
  SWA,
  weightedAvgFn,
  WeightHistory,
  type AveragedModelStateDict,
  type AvgFn,
  type SWAStateDict,
  type WeightAverage,
  type WeightHistoryState,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { netOf, randomizeNet } from '../support/nets.js';
import { assertClose, assertFails, own, valuesOf, variable } from '../support/support.js';
import { set } from '../support/values.js';
/** Count, then each weight's name and values. */
const told = ({ count, weights }: WeightAverage) => [
  count,
  ...weights.map(({ name, values }) => [name, ...values]),
];
/** Two groups of one variable each, which were averaged so often. */
async function swaState(
  [a, b]: [number[], number[]],
  avgFn?: AvgFn,
): Promise<{ swa: SWA; state: SWAStateDict }> {
  const vs = [variable([0], `of/a${Math.random()}`), variable([0, 0], `of/b${Math.random()}`)];
  const paramGroups = vs.map((params) => ({ params }));
  const swa = own(new SWA(tf.train.sgd(0.1), { paramGroups, ...(avgFn && { avgFn }) }));
  for (const [g, values] of [a, b].entries()) {
    for (const value of values) {
      set(vs[g]!, value);
      swa.updateSwaGroup(swa.paramGroups[g]!);
    }
  }
  return { swa, state: await swa.stateDict() };
}
const params = (swa: SWA): tf.Variable[] => swa.paramGroups.flatMap((group) => [...group.params]);

describe('averageOf', () => {
  it('gives what an SWA averaged, under the names of its variables, to be assigned to them', async () => {
    // (1 + 2 + 6) / 3 = 3, (4 + 5 + 0) / 3 = 3
    const { swa, state } = await swaState([[1, 2, 6], [4, 5, 0]]); // prettier-ignore
    const [a, b] = params(swa);
    const average = averageOf(state);
    assert.deepEqual(told(average), [3, [a!.name, 3], [b!.name, 3, 3]]);
    assignWeights([b!, a!], average.weights);
    assert.deepEqual(await valuesOf([a!, b!]), [[3], [3, 3]]);
  });

  it('gives copies', async () => {
    const { state } = await swaState([[1], [2]]);
    const before = structuredClone(state);
    const { weights } = averageOf(state);
    weights[0]!.values[0] = 9;
    weights[1]!.shape[0] = 9;
    assert.deepEqual(state, before);
  });

  it('leaves out groups without an average, and takes no two counts for one', async () => {
    const { swa, state } = await swaState([[], [1, 5]]);
    assert.deepEqual(told(averageOf(state)), [2, [params(swa)[1]!.name, 3, 3]]);
    const { state: uneven } = await swaState([[1], [1, 5]]);
    await assertFails(
      () => averageOf(uneven),
      'The groups hold averages of different numbers of values, 1, 2: no one count says that; ' +
        'mergeStateDicts() merges each group by its own',
    );
    const { state: none } = await swaState([[], []]);
    await assertFails(() => averageOf(none), 'The state holds no average yet');
  });

  it('takes an EMA, and an average of the caller’s own weights', async () => {
    // 0.5 * 8 + 0.5 * 4 = 6, exact also where TensorFlow keeps it as a scaled sum
    const ema = await swaState([[8, 4], [8, 4]], emaAvgFn(0.5)); // prettier-ignore
    assert.deepEqual(told(averageOf(ema.state)).slice(0, 2), [2, [params(ema.swa)[0]!.name, 6]]);
    const last = await swaState([[8, 4], [8, 4]], weightedAvgFn(() => 1)); // prettier-ignore
    assert.deepEqual(told(averageOf(last.state)).slice(0, 2), [2, [params(last.swa)[0]!.name, 4]]);
  });

  it('refuses what holds no average, in words', async () => {
    const { swa } = await swaState([[1], [2]]);
    swa.swapSwaSgd();
    const swapped = await swa.stateDict();
    swa.swapSwaSgd();
    await assertFails(
      () => averageOf(swapped),
      'The state was saved while swapped: it holds the weights, and the model the averages; swap ' +
        'back before you save',
    );
    for (const [wrapper, name] of [
      [new ScheduleFree(tf.train.sgd(0.1)), 'schedule_free(beta 0.9, warmup_steps 0, '],
      [new Lookahead(tf.train.sgd(0.1)), 'lookahead(k 5, alpha 0.5)'],
    ] as const) {
      own(wrapper);
      const v = variable([1]);
      wrapper.minimize(() => tf.tidy(() => tf.sum(tf.square(v))), false, [v]);
      const state = await wrapper.stateDict();
      await assertFails(
        () => averageOf(state),
        new RegExp(
          `^The state is one of ${name.replace(/[()]/g, '\\$&')}.*, which keeps no average`,
        ),
      );
    }
  });

  it('refuses what is broken', async () => {
    const { state } = await swaState([[1], [2]]);
    const bad = structuredClone(state);
    bad.swa_state[1]!.swa_buffer.values = new Float32Array(3);
    await assertFails(
      () => averageOf(bad),
      /^Invalid state\.swa_state\[1\]\.swa_buffer\.values: .* \(expected a Float32Array of 2\)$/,
    );
    for (const value of [null, {}, 3, [], 'state']) {
      await assertFails(
        () => averageOf(value as unknown as SWAStateDict),
        /^Invalid state: .* \(expected that of an SWA, an AveragedModel or a WeightHistory\)$/,
      );
    }
    await assertFails(
      () => averageOf({ n_averaged: 1, avg_fn: 'swa', module: [{}] } as never),
      /^Invalid state\.module\[0\]\.name: /,
    );
    await assertFails(
      () => averageOf({ segments: [{}], open: false, chosen: null } as never),
      /^Invalid state\.segments\[0\]\.count: /,
    );
    await assertFails(
      () => averageOf(state, 1),
      'Invalid window: 1 (expected nothing: only a WeightHistory has windows)',
    );
  });

  it('gives what an AveragedModel holds, its statistics included', async () => {
    const model = netOf([{ kind: 'dense' }, { kind: 'bn' }]);
    const averaged = own(new AveragedModel(model, { avgFn: emaAvgFn(0.5) }));
    await assertFails(
      async () => averageOf(await averaged.stateDict()),
      'The state holds no average yet',
    );
    for (const seed of [1, 2, 3]) {
      randomizeNet(model, seed);
      averaged.updateParameters();
    }
    const average = averageOf(await averaged.stateDict());
    assert.equal(average.count, 3);
    const other = netOf([{ kind: 'dense' }, { kind: 'bn' }]);
    assignWeights(other, average.weights);
    assert.deepEqual(await valuesOf(other.getWeights()), await valuesOf(averaged.module.getWeights())); // prettier-ignore
  });

  it('leaves out the weights of an AveragedModel whose average has not begun', async () => {
    const [a, b] = [variable([2], 'of/begun'), variable([3], 'of/late')];
    const averaged = own(new AveragedModel([a]));
    averaged.updateParameters();
    const both = own(new AveragedModel([a, b]));
    await both.loadStateDict(await averaged.stateDict(), { strict: false });
    assert.deepEqual(told(averageOf(await both.stateDict())), [1, ['of/begun', 2]]);
    set(a, 4);
    both.updateParameters();
    // (2 + 4) / 2, and the first value of the other.
    assert.deepEqual(told(averageOf(await both.stateDict())), [2, ['of/begun', 3], ['of/late', 3]]);
    const nothing: AveragedModelStateDict = { ...(await both.stateDict()), starts: [2, 2] };
    await assertFails(() => averageOf(nothing), 'The state holds no average yet');
  });

  describe('of a WeightHistory', () => {
    /** Segments 1; 2, 4; 5 (open) of one weight. */
    function trained(): { w: tf.Variable; history: WeightHistory } {
      const w = variable([0], `of/w${Math.random()}`);
      const history = own(new WeightHistory([w]));
      for (const value of [1, 2, 4, 5]) {
        set(w, value);
        history.update();
        if (value === 1 || value === 4) history.closeSegment();
      }
      return { w, history };
    }
    const average = (state: WeightHistoryState, window?: number): [number, number] => {
      const { count, weights } = averageOf(state, window);
      return [count, weights[0]!.values[0]!];
    };

    it('merges the segments of a window; all of them by default', async () => {
      const { history } = trained();
      const state = await history.stateDict();
      assert.deepEqual(average(state, 1), [1, 5]);
      assert.deepEqual(average(state, 2), [3, Math.fround(11 / 3)]); // (2 + 4 + 5) / 3
      assert.deepEqual(average(state, 3), [4, 3]); // (1 + 2 + 4 + 5) / 4
      assert.deepEqual(average(state), [4, 3]);
      for (const window of [0, -1, 1.5, '1', 4]) {
        await assertFails(
          () => averageOf(state, window as number),
          window === 4
            ? 'Invalid window: 4 (expected at most the number of segments, 3)'
            : /^Invalid window: .+ \(expected an integer >= 1\)$/,
        );
      }
      const empty = own(new WeightHistory([variable([0])]));
      const nothing = await empty.stateDict();
      await assertFails(() => averageOf(nothing), 'The state holds no average yet');
    });

    it('gives what was chosen, swapped in or not, unless a window is asked for', async () => {
      const { w, history } = trained();
      const near = async () => Math.abs((await w.data())[0]! - 3.5); // windows: 5, 11/3, 3
      assert.equal((await history.choose(near)).window, 2);
      const swapped = await history.stateDict();
      assert.isTrue(swapped.chosen!.swapped);
      history.swap();
      const state = await history.stateDict();
      for (const saved of [swapped, state]) {
        assertClose(average(saved), [3, 11 / 3], 1e-6); // what was chosen was formed in float32
        assert.deepEqual(average(saved, 1), [1, 5]);
      }
      const thinned = structuredClone(swapped);
      thinned.segments[1]!.count = 7;
      await assertFails(
        () => averageOf(thinned),
        'The average that was chosen was swapped into the model, and the segments were merged ' +
          'since: give a window',
      );
    });

    it('weighs each weight by its own count, and leaves out what has none', async () => {
      const [a, b, c] = ['a', 'b', 'c'].map((name) => variable([0], `of/late_${name}`)) as [
        tf.Variable,
        tf.Variable,
        tf.Variable,
      ];
      const before = own(new WeightHistory([a]));
      for (const value of [1, 3]) {
        set(a, value);
        before.update();
      }
      before.closeSegment();
      const history = own(new WeightHistory([a, b]));
      await history.loadStateDict(await before.stateDict(), { strict: false });
      assert.deepEqual(told(averageOf(await history.stateDict())), [2, ['of/late_a', 2]]);
      for (const [x, y] of [
        [5, 10],
        [8, 20],
        [8, 60],
      ] as const) {
        set(a, x);
        set(b, y);
        history.update();
      }
      // (1 + 3 + 5 + 8 + 8) / 5 = 5, (10 + 20 + 60) / 3 = 30
      const state = await history.stateDict();
      assert.deepEqual(told(averageOf(state)), [5, ['of/late_a', 5], ['of/late_b', 30]]);
      const three = own(new WeightHistory([c, b, a]));
      await three.loadStateDict(state, { strict: false });
      // c is in none of them; of the newest segment's order.
      assert.deepEqual(told(averageOf(await three.stateDict())), [5, ['of/late_b', 30], ['of/late_a', 5]]); // prettier-ignore
      const { late } = (await three.stateDict()).segments[0]!;
      assert.deepEqual(late, [2, 2, 0]);
      const none = structuredClone(await three.stateDict());
      for (const segment of none.segments) segment.late = segment.weights.map(() => segment.count);
      await assertFails(() => averageOf(none), 'The state holds no average yet');
    });

    it('equals what the history itself gives, whatever the segments', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.double({ min: -10, max: 10, noNaN: true }), fc.boolean()), {
            minLength: 1,
            maxLength: 30,
          }),
          fc.integer({ min: 2, max: 5 }),
          async (updates, maxSegments) => {
            const w = tf.tidy(() => tf.variable(tf.zeros([2])));
            const history = new WeightHistory([w], { maxSegments });
            for (const [value, close] of updates) {
              tf.tidy(() => w.assign(tf.tensor1d([value, value * value])));
              history.update();
              if (close) history.closeSegment();
            }
            const state = await history.stateDict();
            for (const [i] of history.segments.entries()) {
              const { count, weights } = averageOf(state, i + 1);
              const direct = await history.average(i + 1);
              assert.equal(count, direct.count);
              assertClose(weights[0]!.values, direct.weights[0]!.values, 1e-4);
              // In float64, of all values: each is off by less than 1e-6 of the largest, 100.
              const last = updates.slice(-count).map(([value]) => value);
              const mean = last.reduce((sum, value) => sum + value * value, 0) / count;
              assertClose([weights[0]!.values[1]!], [mean], 1e-4);
            }
            history.dispose();
            w.dispose();
          },
        ),
        { numRuns: shareOf(40) },
      );
    });
  });
});
