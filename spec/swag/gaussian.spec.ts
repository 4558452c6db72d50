/**
 * The Gaussian and its samples: worked numbers, a reference in float64, and the closed form of mean
 * and covariance.
 */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWAG, type SWAGSampleOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertClose, own, random, valuesOf, variable } from '../support/support.js';
import { normals, referenceOf, sampleOf, weightKey } from './reference.js';

function set(v: tf.Variable, values: ArrayLike<number>): void {
  tf.tidy(() => v.assign(tf.tensor(Float32Array.from(values), v.shape)));
}

/** A SWAG over one variable after it had these values. */
function after(runs: readonly (readonly number[])[], maxRank = 20) {
  const w = variable([...runs[0]!]);
  const swag = own(new SWAG([w], { maxRank }));
  for (const values of runs) {
    set(w, values);
    swag.update();
  }
  return { w, swag };
}

describe('the Gaussian of SWAG', () => {
  it('has the mean, the squared deviations from it and the last deviations of a run', async () => {
    const { swag, w } = after([
      [1, 5],
      [3, 5],
      [8, 2],
    ]);
    const { mean, m2, deviations, count } = await swag.stateDict();
    const flat = (list: typeof mean) => list.flatMap(({ values }) => [...values]);
    assert.deepEqual([count, swag.count, swag.rank], [3, 3, 3]);
    // (1 + 3 + 8) / 3 = 4; (5 + 5 + 2) / 3 = 4
    assertClose(flat(mean), [4, 4], 1e-6);
    // 3^2 + 1^2 + 4^2 = 26; 1^2 + 1^2 + 2^2 = 6
    assertClose(flat(m2), [26, 6], 1e-5);
    // 1 - 1; 3 - (1 + 3) / 2; 8 - 4 -- 5 - 5; 5 - 5; 2 - 4
    assertClose(deviations.flatMap(flat), [0, 0, 1, 0, 4, -2], 1e-6);
    swag.mean();
    assertClose((await valuesOf([w]))[0]!, [4, 4], 1e-6);
  });

  it('keeps the last maxRank deviations', async () => {
    const { swag } = after([[1], [3], [8], [0]], 2);
    const { deviations } = await swag.stateDict();
    assert.equal(swag.rank, 2);
    // 8 - (1 + 3 + 8) / 3; 0 - (1 + 3 + 8 + 0) / 4
    assertClose(
      deviations.map(([column]) => column!.values[0]!),
      [4, -3],
      1e-6,
    );
  });

  it('keeps a small variance beside a large mean', async () => {
    // 1024 less or more a 64th, in float32 exact: their variance is 2^-12, their squares some 2^20,
    // of which float32 keeps 2^-3.
    const values = Array.from({ length: 100 }, (_, i) => [1024 + (i % 2 ? 1 : -1) / 64]);
    const { m2 } = await after(values).swag.stateDict();
    const variance = m2[0]!.values[0]! / 100;
    assert.isAtMost(Math.abs(variance / 2 ** -12 - 1), 0.02);
  });

  it('is that of the formulas in float64, whatever the run, and so are its samples', async function () {
    this.timeout(120_000);
    const runs = fc.record({
      seed: fc.integer(),
      updates: fc.integer({ min: 2, max: 9 }),
      maxRank: fc.integer({ min: 0, max: 5 }),
      sampleSeed: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.maxSafeNat()),
      scale: fc.constantFrom(0, 0.5, 1, 3),
      diagonal: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(runs, async ({ seed, updates, maxRank, sampleSeed, scale, diagonal }) => {
        const next = random(seed);
        const shapes = [[2, 3], [4], []];
        const variables = shapes.map((shape) => tf.tidy(() => tf.variable(tf.zeros(shape))));
        const swag = new SWAG(variables, { maxRank });
        const trajectory: number[][][] = []; // of each update of each variable the values
        for (let n = 0; n < updates; n++) {
          for (const v of variables)
            set(
              v,
              Array.from({ length: v.size }, () => 4 * next() - 2),
            );
          trajectory.push(await valuesOf(variables));
          swag.update();
        }
        const reference = referenceOf(trajectory, maxRank);
        const state = await swag.stateDict();
        assert.deepEqual([state.count, swag.rank], [updates, Math.min(updates, maxRank)]);
        // Sums of squares below 9 * 16, of numbers rounded to some 2^-23.
        variables.forEach((_, i) => {
          assertClose(state.mean[i]!.values, reference.mean[i]!, 1e-6, 'mean');
          assertClose(state.m2[i]!.values, reference.m2[i]!, 1e-5, 'm2');
          state.deviations.forEach((column, k) => {
            assertClose(column[i]!.values, reference.deviations[k]![i]!, 1e-6, 'deviation');
          });
        });
        const before = await valuesOf(variables);
        swag.sample({ scale, seed: sampleSeed, diagonal });
        const expected = sampleOf(reference, { scale, seed: sampleSeed, diagonal });
        (await valuesOf(variables)).forEach((values, i) => {
          assertClose(values, expected[i]!, 2e-5, 'sample');
        });
        swag.swap();
        assert.deepEqual(await valuesOf(variables), before);
        swag.dispose();
        tf.dispose(variables);
      }),
      { numRuns: shareOf(100) },
    );
  });

  const cases: [string, SWAGSampleOptions, number][] = [
    ['diagonal and low rank', {}, 20],
    ['scale 2', { scale: 2 }, 20],
    ['diagonal', { scale: 1, diagonal: true }, 20],
    ['the last two deviations', {}, 2],
    ['one deviation, which makes no low rank', {}, 1],
    ['none', {}, 0],
  ];
  for (const [name, options, maxRank] of cases) {
    it(`has samples with its mean and covariance: ${name}`, async function () {
      this.timeout(120_000);
      const count = shareOf(2000);
      const run = [
        [1, 5, 0],
        [3, 4, 0],
        [8, 0, 3],
        [4, 3, 1],
      ];
      const { swag, w } = after(run, maxRank);
      const { mean, m2, deviations } = referenceOf(
        run.map((values) => [values]),
        maxRank,
      );
      const { scale = 0.5, diagonal = false } = options;
      const rank = deviations.length;
      const covariance = (i: number, j: number): number => {
        const variance = i === j ? m2[0]![i]! / run.length : 0;
        if (diagonal || rank < 2) return scale * variance;
        const products = deviations.map(([column]) => column![i]! * column![j]!);
        return scale * (variance + products.reduce((a, b) => a + b, 0) / (rank - 1));
      };
      const sums = [0, 0, 0];
      const products = sums.map(() => [0, 0, 0]);
      for (let seed = 0; seed < count; seed++) {
        swag.sample({ ...options, seed });
        const [values] = (await valuesOf([w])) as [number[]];
        const deviation = values.map((value, i) => value - mean[0]![i]!);
        deviation.forEach((a, i) => {
          sums[i]! += a;
          deviation.forEach((b, j) => (products[i]![j]! += a * b));
        });
      }
      // Four standard errors: of a mean sd / sqrt(n), of a covariance at most sqrt(2) sd sd / sqrt(n).
      const sd = [0, 1, 2].map((i) => Math.sqrt(covariance(i, i)));
      for (let i = 0; i < 3; i++) {
        assertClose([sums[i]! / count], [0], (4 * sd[i]!) / Math.sqrt(count), `mean ${i}`);
        for (let j = 0; j < 3; j++) {
          const error = (4 * Math.SQRT2 * sd[i]! * sd[j]!) / Math.sqrt(count);
          assertClose(
            [products[i]![j]! / count],
            [covariance(i, j)],
            error,
            `covariance ${i} ${j}`,
          );
        }
      }
    });
  }

  it('draws the same by a seed, seed 0 and one beyond 32 bits too, and others without one', async () => {
    const { swag, w } = after([
      [1, 2],
      [3, -1],
    ]);
    const draw = async (options: SWAGSampleOptions): Promise<number[]> => {
      swag.sample(options);
      return (await valuesOf([w]))[0]!;
    };
    const seen = new Set<string>();
    const seeds = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    for (const seed of seeds) {
      const values = await draw({ seed });
      assert.deepEqual(await draw({ seed }), values);
      seen.add(values.join());
    }
    for (let i = 0; i < 3; i++) seen.add((await draw({})).join());
    assert.lengthOf([...seen], seeds.length + 3);
  });

  it('draws different numbers for each weight of equal shape', async () => {
    const [a, b] = [variable([0, 0]), variable([0, 0])];
    const swag = own(new SWAG([a, b], { maxRank: 0 }));
    for (const value of [-1, 1]) {
      for (const v of [a, b]) set(v, [value, value]);
      swag.update();
    }
    // The mean is 0, the variance 1, so that a sample of scale 1 is z1 itself.
    swag.sample({ scale: 1, seed: 3 });
    const values = await valuesOf([a, b]);
    [0, 1].forEach((i) => assertClose(values[i]!, normals([2], weightKey(3, i)), 1e-6));
    assert.notDeepEqual(values[0], values[1]);
  });
});
