import { assert } from 'chai';
import * as fc from 'fast-check';
import { greedySoup, type TensorData } from '../../lib/index.js';
import { assertFails } from '../support/support.js';

const load = (value: number): TensorData[] => [
  { name: 'w', dtype: 'float32', shape: [1], values: Float32Array.of(value) },
];
const valueOf = ([weight]: readonly TensorData[]): number => weight!.values[0]!;
/** The distance from 2. */
const evaluate = (weights: readonly TensorData[]): number => Math.abs(valueOf(weights) - 2);

describe('greedySoup', () => {
  it('keeps who makes the average strictly better, the best first', async () => {
    // Distances 2, 1, 7, 1.5: in order 3, 0.5, 0, 9. With 0.5: 1.75, 0.25 off; with 0:
    // 3.5 / 3 = 1.17, worse; with 9: 12.5 / 3 = 4.17, worse.
    const seen: number[] = [];
    const soup = await greedySoup([0, 3, 9, 0.5], {
      load,
      evaluate: (weights) => {
        seen.push(valueOf(weights));
        return evaluate(weights);
      },
    });
    assert.deepEqual(soup, { members: [3, 0.5], score: 0.25, weights: load(1.75) });
    const trials = [1.75, Math.fround(3.5 / 3), Math.fround(12.5 / 3)];
    assert.deepEqual(seen, [0, 3, 9, 0.5, ...trials]);
  });

  it('leaves out who makes it no better', async () => {
    // (1 + 3) / 2 = 2 would be best, but a score of 1 for all is no gain.
    const soup = await greedySoup([1, 3], { load, evaluate: () => 1 });
    assert.deepEqual(soup, { members: [1], score: 1, weights: load(1) });
  });

  it('is never worse than the best candidate, and has the score that it says', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 8 }),
        async (candidates) => {
          const soup = await greedySoup(candidates, { load, evaluate });
          assert.isAtMost(soup.score, Math.min(...candidates.map((c) => Math.abs(c - 2))));
          assert.equal(soup.score, evaluate(soup.weights));
          const mean = soup.members.reduce((sum, c) => sum + c, 0) / soup.members.length;
          assert.equal(valueOf(soup.weights), Math.fround(mean));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('takes NaN for worst, in any place', async () => {
    const nan = (weights: readonly TensorData[]) =>
      valueOf(weights) < 0 ? NaN : evaluate(weights);
    for (const candidates of [
      [-1, 3, -2, 4],
      [3, 4, -1, -2],
      [-2, -1, 4, 3],
    ]) {
      // With -1 it is (3 - 1) / 2 = 1, no better than 3; with -2 it is 0.5, worse.
      const soup = await greedySoup(candidates, { load, evaluate: nan });
      assert.deepEqual(soup, { members: [3], score: 1, weights: load(3) });
    }
    await assertFails(
      () => greedySoup([-1, -2], { load, evaluate: nan }),
      'greedySoup: the score of every candidate is NaN',
    );
  });

  it('waits for both functions, and lets their errors through', async () => {
    const soup = await greedySoup(['3', '1'], {
      load: (text) => Promise.resolve(load(Number(text))),
      evaluate: (weights) => Promise.resolve(evaluate(weights)),
    });
    assert.deepEqual(soup, { members: ['3', '1'], score: 0, weights: load(2) });
    const fail = (): never => {
      throw new Error('on purpose');
    };
    await assertFails(() => greedySoup([1], { load: fail, evaluate }), 'on purpose');
    await assertFails(() => greedySoup([1], { load, evaluate: fail }), 'on purpose');
  });

  it('refuses what makes no sense', async () => {
    await assertFails(
      () => greedySoup([], { load, evaluate }),
      'Invalid candidates: a list of 0 (expected a list of at least one)',
    );
    await assertFails(
      () => greedySoup([1], { load, evaluate: 1 as unknown as () => number }),
      'Invalid evaluate: 1 (expected a function)',
    );
    await assertFails(
      () => greedySoup([1], undefined as never),
      'Invalid load: undefined (expected a function)',
    );
    await assertFails(
      () => greedySoup([1], { load, evaluate: () => 'good' as unknown as number }),
      'Invalid score: "good" (expected a number)',
    );
    await assertFails(
      () =>
        greedySoup([1, 2], {
          load: (c) => (c === 1 ? load(1) : [...load(1), ...load(2)]),
          evaluate,
        }),
      /^The weights do not fit; unexpected: w \(2\)$/,
    );
  });
});
