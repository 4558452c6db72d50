/** Which neighbours are merged, and that no cut into segments and no merge changes an average. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { WeightHistory } from '../../lib/index.js';
import { spared } from '../../lib/history/segments.js';
import { shareOf } from '../support/backends.js';
import { assertClose, own, random, variable } from '../support/support.js';

/** The lengths of all windows, shortest first. */
function windowsOf(counts: readonly number[]): number[] {
  let length = 0;
  return [...counts].reverse().map((count) => (length += count));
}

describe('the segments of a WeightHistory', () => {
  it('merge where (the window just longer) / (the window just shorter) is least', () => {
    // Windows of 1, 2, 3, 4. Without that of 2: 3 / 1 = 3; without that of 3: 4 / 2 = 2.
    assert.equal(spared([1, 1, 1, 1]), 0);
    // Windows of 1, 3, 4, 12. Without 3: 4 / 1; without 4: 12 / 3 = 4 as well, which is older.
    assert.equal(spared([8, 1, 2, 1]), 0);
    // Windows of 2, 3, 4, 12. Without 3: 4 / 2 = 2; without 4: 12 / 3 = 4.
    assert.equal(spared([8, 1, 1, 2]), 1);
    // Windows of 9, 10, 11: the newest stays alone, whatever it holds.
    assert.equal(spared([1, 1, 9]), 0);
  });

  it('has by default a window within a factor of 1.5 of every length, after 1 to 300 segments', () => {
    let counts: number[] = [];
    for (let updates = 1; updates <= 300; updates++) {
      counts.push(1);
      if (counts.length > 16) {
        const i = spared(counts);
        counts = [...counts.slice(0, i), counts[i]! + counts[i + 1]!, ...counts.slice(i + 2)];
      }
      const windows = windowsOf(counts);
      assert.equal(windows.at(-1), updates);
      for (let length = 1; length <= updates; length++) {
        const factor = Math.min(...windows.map((w) => Math.max(w / length, length / w)));
        assert.isAtMost(factor, 1.5, `a window of ${length} after ${updates} segments`);
      }
    }
  });

  it('are those that the merges leave, one update after another', function () {
    this.timeout(240_000);
    const w = variable([1]);
    const history = own(new WeightHistory([w]));
    let counts: number[] = [];
    for (let i = 0; i < shareOf(300); i++) {
      history.update();
      history.closeSegment();
      counts.push(1);
      if (counts.length > 16) {
        const at = spared(counts);
        counts = [...counts.slice(0, at), counts[at]! + counts[at + 1]!, ...counts.slice(at + 2)];
      }
      assert.deepEqual(
        history.segments.map(({ count }) => count),
        counts,
      );
    }
  });

  it('have the average of the updates in them, however they are cut and merged', async function () {
    this.timeout(240_000);
    const cuts = fc.record({
      seed: fc.integer(),
      maxSegments: fc.integer({ min: 2, max: 5 }),
      lengths: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 12 }),
      lastIsOpen: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(cuts, async ({ seed, maxSegments, lengths, lastIsOpen }) => {
        const next = random(seed);
        const [a, b] = tf.tidy(() => [
          tf.variable(tf.zeros([3])),
          tf.variable(tf.zeros([2, 2])),
        ]) as [tf.Variable, tf.Variable];
        const history = new WeightHistory([a, b], { maxSegments });
        const updates: number[][] = [];
        lengths.forEach((length, i) => {
          for (let n = 0; n < length; n++) {
            const values = Float32Array.from({ length: 7 }, () => 1 + next());
            updates.push([...values]);
            tf.tidy(() => {
              a.assign(tf.tensor(values.slice(0, 3), [3]));
              b.assign(tf.tensor(values.slice(3), [2, 2]));
            });
            history.update();
          }
          if (i < lengths.length - 1 || !lastIsOpen) history.closeSegment();
        });
        const counts = history.segments.map(({ count }) => count);
        assert.isAtMost(counts.length, maxSegments + (lastIsOpen ? 1 : 0));
        for (const [k, length] of windowsOf(counts).entries()) {
          const { count, weights } = await history.average(k + 1);
          assert.equal(count, length);
          const last = updates.slice(-length);
          // Values in [1, 2): relative and absolute are alike.
          const mean = last[0]!.map((_, i) => last.reduce((sum, u) => sum + u[i]!, 0) / length);
          const found = weights.flatMap(({ values }) => [...values]);
          assertClose(found, mean, 1e-6, `window ${k + 1} of ${counts.join()}`);
        }
        history.dispose();
        tf.dispose([a, b]);
      }),
      { numRuns: shareOf(60) },
    );
  });
});
