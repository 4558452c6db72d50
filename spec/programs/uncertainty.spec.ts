import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { type Experiment, type Split } from '../../benchmarks/accuracy/experiments.js';
import { execute, type Kept } from '../../benchmarks/accuracy/run.js';
import { entropyChart, reliabilityChart } from '../../benchmarks/uncertainty/charts.js';
import {
  areaUnderCurve,
  binsOf,
  BINS,
  entropies,
  qualityOf,
} from '../../benchmarks/uncertainty/measures.js';
import { Predictions } from '../../benchmarks/uncertainty/predictions.js';
import { merged, report, tableOf } from '../../benchmarks/uncertainty/report.js';
import { METHODS, noise, studySeed, turned } from '../../benchmarks/uncertainty/study.js';
import type { Images } from '../../examples/demo/data.js';
import { render } from '../../examples/demo/render.js';
import { assertClose, own, random } from '../support/support.js';

describe('uncertainty benchmark: measures', () => {
  /** Three images and two classes: right and sure, wrong and sure, right by a hair. */
  const predicted = { values: Float32Array.of(0.75, 0.25, 0.75, 0.25, 0.375, 0.625), classes: 2 };
  const labels = [0, 1, 1];

  it('has error, likelihood, calibration and Brier score', () => {
    const { error, nll, ece, brier } = qualityOf(predicted, labels);
    assertClose([error], [100 / 3], 1e-12);
    assertClose([nll], [-(Math.log(0.75) + Math.log(0.25) + Math.log(0.625)) / 3], 1e-12);
    // 0.75 twice, in a bin of (11 / 15, 12 / 15], half of them right; 0.625 in (9 / 15, 10 / 15], right:
    // 2 / 3 |0.5 - 0.75| + 1 / 3 |1 - 0.625| = 0.2916667.
    assertClose([ece], [29.16666667], 1e-6);
    // 2 (0.25^2), 2 (0.75^2), 2 (0.375^2).
    assertClose([brier], [(0.125 + 1.125 + 0.28125) / 3], 1e-12);
  });

  it('stays finite where a right class has no probability', () => {
    const { nll } = qualityOf({ values: Float32Array.of(1, 0), classes: 2 }, [1]);
    assertClose([nll], [149 * Math.LN2], 1e-12);
  });

  it('puts each image into one bin by its highest probability, a bound below', () => {
    const bins = binsOf(predicted, labels);
    assert.equal(bins.length, BINS);
    assert.deepEqual(bins[11], { count: 2, confidence: 0.75, accuracy: 0.5 });
    assert.deepEqual(bins[9], { count: 1, confidence: 0.625, accuracy: 1 });
    assert.equal(
      bins.reduce((sum, { count }) => sum + count, 0),
      3,
    );
    const ends = binsOf({ values: Float32Array.of(1, 0, 0.5, 0.5), classes: 2 }, [0, 0]);
    assert.equal(ends[14]!.count, 1);
    assert.equal(ends[7]!.count, 1); // (7 / 15, 8 / 15]
  });

  it('has no entropy where it is sure, and ln 2 between two', () => {
    const values = Float32Array.of(1, 0, 0.5, 0.5, 0.25, 0.75);
    const mixed = -(0.25 * Math.log(0.25) + 0.75 * Math.log(0.75));
    assertClose(entropies({ values, classes: 2 }), [0, Math.LN2, mixed], 1e-7);
  });

  it('counts how often one from outside is above one from inside', () => {
    assert.equal(areaUnderCurve([1, 2], [3, 4]), 1);
    assert.equal(areaUnderCurve([3, 4], [1, 2]), 0);
    assert.equal(areaUnderCurve([1, 1], [1, 1, 1]), 0.5);
    // 2 above 1, 2 ties with 2 (a half), 0 above none: 1.5 of 2 x 2.
    assert.equal(areaUnderCurve([1, 2], [2, 0]), 1.5 / 4);
    const next = random(3);
    const draw = (n: number) => Array.from({ length: n }, () => Math.floor(8 * next()));
    for (let i = 0; i < 20; i++) {
      const [inside, outside] = [draw(7), draw(5)];
      const pairs = inside.flatMap((a) => outside.map((b) => (b > a ? 1 : b === a ? 0.5 : 0)));
      const share = pairs.reduce<number>((sum, x) => sum + x, 0) / 35;
      assertClose([areaUnderCurve(inside, outside)], [share], 1e-12);
    }
  });

  it('merges bins by how many images they hold', () => {
    const empty = { count: 0, confidence: 0, accuracy: 0 };
    const list = (first: typeof empty) => [first, ...Array<typeof empty>(BINS - 1).fill(empty)];
    const bins = merged([
      list({ count: 3, confidence: 0.5, accuracy: 1 }),
      list({ count: 1, confidence: 0.1, accuracy: 0 }),
    ]);
    assertClose(Object.values(bins[0]!), [4, 0.4, 0.75], 1e-12);
    assert.deepEqual(bins[1], empty);
  });
});

describe('uncertainty benchmark: a seed', () => {
  const experiment: Experiment = {
    net: 'dense',
    width: 4,
    noise: 0,
    epochs: 4,
    images: { train: 60, validation: 40, test: 40 },
  };
  function imagesOf(count: number, seed: number): Images {
    const next = random(seed);
    const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
    const pixels = Float32Array.from({ length: count * 196 }, (_, i) => {
      const row = Math.floor((i % 196) / 14);
      return 0.5 * next() + (row === labels[Math.floor(i / 196)] ? 0.5 : 0);
    });
    return { count, labels, pixels };
  }
  const images: Split = {
    train: imagesOf(60, 1),
    validation: imagesOf(40, 2),
    test: imagesOf(40, 3),
  };
  async function keptOf(way: 'constant' | 'decayed'): Promise<Kept> {
    const takes: ['window'] | ['last'] = way === 'constant' ? ['window'] : ['last'];
    const run = { experiment, seed: 1, way, rate: 0.1, takes, on: 'test' as const };
    return (await execute({ run, images })).kept;
  }

  it('turns an image to the right, four times to itself', () => {
    const pixels = Float32Array.from({ length: 196 }, (_, i) => i);
    const one = { count: 1, labels: Uint8Array.of(0), pixels };
    const once = turned(one).pixels;
    // The upper left corner goes to the upper right, the lower left to the upper left.
    assert.deepEqual([once[13], once[0]], [0, 13 * 14]);
    assert.deepEqual(turned(turned(turned(turned(one)))).pixels, pixels);
  });

  it('has noise that follows from the seed', () => {
    assert.deepEqual(noise(2, 5), noise(2, 5));
    assert.notDeepEqual(noise(2, 5).pixels, noise(2, 6).pixels);
    const { pixels } = noise(50, 5);
    assert.isTrue(pixels.every((value) => value >= 0 && value < 1));
  });

  it('predicts probabilities, whose mean over points is what all say together', async () => {
    const { iterates } = await keptOf('constant');
    const predictions = new Predictions(experiment, images.train);
    const xs = own(tf.tensor3d(images.test.pixels.slice(), [40, 14, 14]));
    const [a, b] = [await predictions.of(iterates[2]!, xs), await predictions.of(iterates[3]!, xs)];
    assertClose([a.values.subarray(0, 10).reduce((sum, p) => sum + p, 0)], [1], 1e-6);
    assert.notDeepEqual(a.values, b.values);
    const both = await predictions.ofAll(iterates.slice(2), xs);
    assertClose(
      both.values,
      a.values.map((value, i) => (value + b.values[i]!) / 2),
      1e-6,
    );
    // Samples of scale 0 are the mean of the points.
    const mean = iterates[2]!.map((value, i) => (value + iterates[3]![i]!) / 2);
    const average = await predictions.of(mean, xs);
    const still = await predictions.withSwag(iterates.slice(2), (predict) => predict(xs, 0, 2));
    assertClose(still.values, average.values, 1e-5);
    const moved = await predictions.withSwag(iterates.slice(2), (predict) => predict(xs, 1, 2));
    assert.notDeepEqual(moved.values, still.values);
    predictions.dispose();
  });

  it('studies every method, and says what it found in a table and in pictures', async () => {
    const before = tf.memory().numTensors;
    const [averaged, decayed] = [await keptOf('constant'), await keptOf('decayed')];
    const studies = [];
    for (const seed of [1, 2]) {
      studies.push(await studySeed({ experiment, seed, images, averaged, decayed }));
    }
    assert.equal(tf.memory().numTensors, before);
    const [{ methods, points, scale }] = studies as [(typeof studies)[0]];
    assert.equal(points, 2);
    assert.include([0.05, 0.1, 0.25, 0.5, 1], scale);
    for (const method of METHODS) {
      const { quality, bins, auc } = methods[method];
      assert.equal(
        bins.reduce((sum, { count }) => sum + count, 0),
        40,
      );
      assert.isTrue(Object.values(quality).every((value) => value >= 0 && value <= 100));
      assert.isTrue(Object.values(auc).every((value) => value >= 0 && value <= 1));
    }
    const reported = report(experiment, studies);
    const { spread } = reported.methods[2]!.measures['nll']!;
    assert.equal(spread.values[0], methods.SWAG.quality.nll);
    const rows = tableOf([reported]).split('\n');
    assert.equal(rows.length, 2 + METHODS.length);
    assert.include(rows[3], methods.SWA.quality.nll.toFixed(3));
    for (const chart of [reliabilityChart([reported]), entropyChart([reported])]) {
      const { svg } = await render(chart);
      for (const method of METHODS) assert.include(svg, `>${method}<`);
    }
  }).timeout(120_000);
});
