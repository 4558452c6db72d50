import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  loadCheckpoint,
  newState,
  saveCheckpoint,
  type DemoState,
  type Setting,
} from '../../examples/demo/checkpoint.js';
import { spreadLabels } from '../../examples/demo/chart_parts.js';
import { errorChart, rateChart } from '../../examples/demo/charts.js';
import { noisyLabels, splitImages, uploaded, type Images } from '../../examples/demo/data.js';
import { METHODS, type Method } from '../../examples/demo/method.js';
import {
  createModel,
  evaluate,
  l2Regularizer,
  reestimate,
  setFlatWeights,
  snapshot,
} from '../../examples/demo/model.js';
import {
  commandOf,
  parseOptions,
  UsageError,
  type DemoOptions,
} from '../../examples/demo/options.js';
import { writeFiles } from '../../examples/demo/output.js';
import {
  coordinatesOf,
  gridAround,
  gridPoints,
  planeThrough,
  pointAt,
} from '../../examples/demo/plane.js';
import { contourLevels, planeChart } from '../../examples/demo/plane_chart.js';
import { loadImages } from '../../examples/demo/read_images.js';
import { sentenceOf, summarize, tableOf, wrapped } from '../../examples/demo/report.js';
import { makeSchedule } from '../../examples/demo/schedule.js';
import { startChart } from '../../examples/demo/start_chart.js';
import { interval95, mean, standardDeviation } from '../../examples/demo/statistics.js';
import {
  planOf,
  runSeed,
  type EpochReport,
  type SeedRun,
  type SeedState,
} from '../../examples/demo/training.js';
import { chosenOf, type Window } from '../../examples/demo/windows.js';
import { saveStateDict } from '../../lib/index.js';
import { fileSystem } from '../../lib/node.js';
import { assertClose, assertFails, own, random, variable } from '../support/support.js';

describe('demo: statistics', () => {
  it('takes mean, standard deviation and interval of 1, 2, 6', () => {
    // mean 3; squares 4 + 1 + 9 = 14, sd = sqrt(14 / 2) = 2.645751;
    // t(2) = 4.302653, half = 4.302653 * 2.645751 / sqrt(3) = 6.572408
    assert.equal(mean([1, 2, 6]), 3);
    assertClose([standardDeviation([1, 2, 6])!], [Math.sqrt(7)], 1e-12);
    assertClose(interval95([1, 2, 6])!, [-3.572408, 9.572408], 1e-5);
  });

  it("has the quantiles of Student's t that tables print", () => {
    const dfs = [1, 2, 3, 4, 5, 9, 10, 30, 99];
    const table = [12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.26216, 2.22814, 2.04227, 1.98422];
    const quantiles = dfs.map((df) => {
      // Half of the interval is t sd / sqrt(n).
      const values = Array.from({ length: df + 1 }, (_, i) => i);
      const [low, high] = interval95(values)!;
      return (((high - low) / 2) * Math.sqrt(values.length)) / standardDeviation(values)!;
    });
    assertClose(quantiles, table, 5e-5);
  });

  it('gives one number neither a standard deviation nor an interval', () => {
    assert.isNull(standardDeviation([3]));
    assert.isNull(interval95([3]));
  });
});

describe('demo: plane', () => {
  // From (1, 1, 1): the second point is 3 away along the first axis, the third 2 along that axis
  // and 4 at right angles to it.
  const points = [
    [1, 1, 1],
    [4, 1, 1],
    [3, 5, 1],
  ] as const;
  const plane = planeThrough(...points);

  it('gives the three points their coordinates', () => {
    const places = points.flatMap((point) => {
      const { x, y } = coordinatesOf(plane, point);
      return [x, y];
    });
    assertClose(places, [0, 0, 3, 0, 2, 4], 1e-12);
  });

  it('projects what lies beside it, and keeps distances on it', () => {
    const { x, y } = coordinatesOf(plane, [3, 2, 9]);
    assertClose([x, y], [2, 1], 1e-12);
    const next = random(1);
    const far = (): number[] => Array.from({ length: 50 }, next);
    const skew = planeThrough(far(), far(), far());
    const a = pointAt(skew, { x: 1, y: -2 });
    const b = pointAt(skew, { x: 4, y: 2 });
    // 3 along and 4 across: 5
    assertClose([Math.hypot(...a.map((value, i) => value - b[i]!))], [5], 1e-5);
    const back = coordinatesOf(skew, b);
    assertClose([back.x, back.y], [4, 2], 1e-5);
  });

  it('refuses three points on one line', () => {
    assert.throws(() => planeThrough([0, 0], [1, 1], [3, 3]), /one line/);
    assert.throws(() => planeThrough([0, 0], [0, 0], [3, 3]), /one line/);
  });

  it('lays a square grid around points, from the lowest row up', () => {
    // Extents 10 and 4, with half of that on each side 20 and 8: steps 20 / 4 and 8 / 2, the larger
    // is taken, and the grid is centred on (5, 2).
    const corners = [
      { x: 0, y: 0 },
      { x: 10, y: 4 },
    ];
    const grid = gridAround(corners, { columns: 5, rows: 3, margin: 0.5 });
    assert.deepEqual(grid, { columns: 5, rows: 3, step: 5, x: -5, y: -3 });
    const all = gridPoints(grid);
    assert.equal(all.length, 15);
    assert.deepEqual(
      [all[0], all[4], all[5], all[14]],
      [
        { x: -5, y: -3 },
        { x: 15, y: -3 },
        { x: -5, y: 2 },
        { x: 15, y: 7 },
      ],
    );
  });

  it('puts the levels of contours at doubling heights above the least error', () => {
    // Range 0.81 holds 2^3 bands of 0.1; range 51.2 would hold 2^9, and 8 doublings are the most.
    assertClose(contourLevels([10.81, 10, 10.3]), [10, 10.10125, 10.2025, 10.405], 1e-9);
    const wide = [10, 10.2, 10.4, 10.8, 11.6, 13.2, 16.4, 22.8, 35.6];
    assertClose(contourLevels([61.2, 10]), wide, 1e-9);
    assertClose(contourLevels([10, 10]), [10, 10], 0);
  });
});

describe('demo: labels, rates and charts', () => {
  it('draws the asked-for share of labels anew, the same for one seed', () => {
    const labels = new Uint8Array(5000).fill(3);
    const noisy = noisyLabels(labels, 0.2, random(5));
    const changed = noisy.filter((label) => label !== 3).length;
    // 1000 are drawn, of which a tenth come out as 3 again: 900, sd sqrt(1000 * 0.09) = 9.5
    assert.approximately(changed, 900, 40);
    assert.isTrue(noisy.every((label) => label < 10));
    assert.deepEqual(noisyLabels(labels, 0.2, random(5)), noisy);
    assert.notDeepEqual(noisyLabels(labels, 0.2, random(6)), noisy);
    assert.deepEqual(noisyLabels(labels, 0, random(5)), labels);
    assert.equal(labels.indexOf(0), -1, 'the labels handed over are left alone');
    assert.equal(new Set(noisyLabels(labels, 1, random(5))).size, 10);
  });

  it('splits images into the first ones and the others, each with its labels', () => {
    const some = images(7, 1);
    const [first, others] = splitImages(some, 5);
    assert.deepEqual([first.count, others.count], [5, 2]);
    assert.deepEqual([...first.labels, ...others.labels], [...some.labels]);
    assert.deepEqual(others.pixels, some.pixels.slice(5 * 196));
    assert.deepEqual(first.pixels, some.pixels.slice(0, 5 * 196));
  });

  it('reads 4,000 and 10,000 images whose classes are balanced', async () => {
    const { train, test } = await loadImages();
    assert.deepEqual([train.count, train.labels.length, train.pixels.length], [4000, 4000, 784000]);
    assert.deepEqual([test.count, test.labels.length], [10000, 10000]);
    const counts = new Array<number>(10).fill(0);
    for (const label of test.labels) counts[label]! += 1;
    assert.deepEqual(counts, new Array(10).fill(1000));
    // Trousers (1) are darker than pullovers (2) on the whole: images and labels belong together.
    const brightness = (label: number) => {
      let [sum, n] = [0, 0];
      test.labels.forEach((other, i) => {
        if (other === label)
          [sum, n] = [sum + mean([...test.pixels.subarray(i * 196, i * 196 + 196)]), n + 1];
      });
      return sum / n;
    };
    assert.isBelow(brightness(1), brightness(2) - 0.1);
  });

  it('decays from half of the run to 1 % at 90 %', () => {
    const { decayingRate, stepsPerEpoch, half } = makeSchedule(10, 4000);
    assert.deepEqual([stepsPerEpoch, half], [63, 5]);
    const rates = [0, 5, 7, 9, 10].map((epoch) => decayingRate(epoch * 63));
    // At 7 of 10 epochs half of the way from 0.1 to 0.001: 0.0505.
    assertClose(rates, [0.1, 0.1, 0.0505, 0.001, 0.001], 1e-12);
  });

  it('keeps the rate, or falls from below 0.1 to 0.01 in each cycle of the second half', () => {
    // 4 steps an epoch; 12 epochs; cycles of 3 epochs, that is 12 steps, from step 24 on: the k-th
    // rate of a cycle is 0.1 - 0.09 k / 12 = 0.1 - 0.0075 k.
    const { averagedRate, stepsPerEpoch, swaEpochs } = makeSchedule(12, 250, 'cyclic');
    assert.deepEqual([stepsPerEpoch, swaEpochs], [4, 3]);
    const steps = [0, 23, 24, 25, 29, 35, 36, 46, 47];
    const rates = [0.1, 0.1, 0.0925, 0.085, 0.055, 0.01, 0.0925, 0.0175, 0.01];
    assertClose(steps.map(averagedRate), rates, 1e-12);
    for (const method of ['swa', 'ema'] as const) {
      const constant = makeSchedule(12, 250, method);
      assert.deepEqual(steps.map(constant.averagedRate), new Array<number>(9).fill(0.1));
      assert.equal(constant.swaEpochs, 1);
    }
    // Second halves of 1, 2, 3, 4, 5, 15 epochs, each filled by cycles.
    const cycles = [2, 4, 6, 8, 10, 30].map((n) => makeSchedule(n, 250, 'cyclic').swaEpochs);
    assert.deepEqual(cycles, [1, 2, 3, 2, 1, 3]);
  });

  it('gives EMA the decay at which its values are as old as those of an equal average', () => {
    // 3 steps in the second half: 1 - 2 / 4; 15 epochs of 63 steps: 1 - 2 / 946.
    assertClose([makeSchedule(2, 150).emaDecay], [0.5], 1e-12);
    assertClose([makeSchedule(30, 4000).emaDecay], [0.997885835], 1e-9);
    // Ages 0, 1, 2, ... have the weights (1 - d) d^age: mean d / (1 - d), here (945 - 1) / 2.
    const { emaDecay } = makeSchedule(30, 4000);
    assertClose([emaDecay / (1 - emaDecay)], [472], 1e-6);
  });

  /** The points that layers with a field `rate` draw: the lines, then the moments. */
  function ratePoints(method: Method): [epoch: number, rate: number][][] {
    const spec = rateChart(makeSchedule(12, 250, method), 0.1) as unknown as {
      data: { values: { epoch: number; rate: number; colour?: string }[] };
      layer: { data?: { values: { epoch: number; rate?: number }[] } }[];
    };
    const black = spec.data.values.filter(({ colour }) => colour === '#000000');
    const moments = spec.layer.find(({ data }) => data?.values[0]?.rate !== undefined);
    return [black, moments!.data!.values].map((points) =>
      points.map(({ epoch, rate }) => [epoch, Number(rate!.toFixed(6))]),
    );
  }

  it('draws the rates by their corners and the averages where they are taken', () => {
    const line = [
      [0, 0.1],
      [12, 0.1],
    ];
    // At every step, drawn as one line: from the first of all, or from the first of epoch 7 on.
    assert.deepEqual(ratePoints('swa'), [
      line,
      [
        [0.25, 0.1],
        [12, 0.1],
      ],
    ]);
    assert.deepEqual(ratePoints('ema'), [
      line,
      [
        [6.25, 0.1],
        [12, 0.1],
      ],
    ]);
    // Step 24, the first of a cycle, is 0.0075 below step 23, as 25 is below 24: no corner. Steps
    // 35 and 47 end a cycle, and the last rate holds to the end.
    assert.deepEqual(ratePoints('cyclic'), [
      [
        [0, 0.1],
        [5.75, 0.1],
        [8.75, 0.01],
        [9, 0.0925],
        [11.75, 0.01],
        [12, 0.01],
      ],
      [
        [9, 0.01],
        [12, 0.01],
      ],
    ]);
  });

  it('names on every picture the method that was run', () => {
    const score = { epoch: 1, loss: 1, error: 20, nll: 1 };
    const at = { x: 0, y: 0 };
    const run = {
      curves: { iterates: [score, score], decay: [score], average: [score] },
      windows: { list: [{ start: 0, validation: score, test: score }], chosen: 0 },
    } as unknown as SeedRun;
    const grid = { columns: 2, rows: 1, step: 1, x: 0, y: 0 };
    const plane = { seed: 1, grid, errors: [1, 2], average: at, decay: at, start: at, path: [at] };
    for (const method of METHODS) {
      const schedule = makeSchedule(2, 250, method);
      const error = JSON.stringify(errorChart([run], schedule, ''));
      const start = JSON.stringify(startChart([run], schedule, ''));
      const rate = JSON.stringify(rateChart(schedule, 0.1));
      const map = JSON.stringify(planeChart(plane, method, ''));
      const all = start + error + rate + map;
      const [name, other] = method === 'ema' ? ['EMA', 'SWA'] : ['SWA', 'EMA'];
      assert.include(rate, `${name} averages`);
      assert.notInclude(all, other);
      const full = method === 'cyclic' ? 'SWA at a cyclic rate' : name;
      const line = {
        ...{ swa: 'SWA, once an epoch', ema: 'EMA: running average' },
        cyclic: full,
      }[method];
      const mark = { swa: line, ema: 'EMA', cyclic: 'SWA, where a cycle ends' }[method];
      assert.include(start.replaceAll('\\n', ' '), `◆ ${mark}`);
      assert.include(error.replaceAll('\\n', ' '), line);
      assert.include(map, `from ${full} towards SGD with decay`);
      assert.include(map, `"label":"${full}"`);
      assert[method === 'cyclic' ? 'notInclude' : 'include'](all, 'constant');
      assert[method === 'cyclic' ? 'include' : 'notInclude'](all, 'cyclic');
    }
  });

  it('draws what each start is worth, what was chosen and the second half', () => {
    const at = (error: number) => ({ epoch: 4, loss: 1, error, nll: 1 });
    /** Test errors by start, 0 to 3, and the chosen start; of SWA over the second half, and of SGD. */
    const run = (errors: number[], chosen: number, half: number, decay: number) =>
      ({
        curves: { iterates: [], decay: [at(50), at(decay)], average: [at(60), at(half)] },
        windows: {
          list: errors.map((error, start) => ({ start, validation: at(0), test: at(error) })),
          chosen,
        },
      }) as unknown as SeedRun;
    const runs = [run([20, 19, 18, 25], 2, 19, 30), run([22, 15, 16, 21], 1, 20, 34)];
    for (const method of METHODS) {
      const schedule = makeSchedule(4, 250, method);
      const spec = startChart(runs, schedule, '') as unknown as {
        data: { values: object[] };
        layer: {
          data?: { values: object[] };
          mark: { type: string; shape?: string; color: string };
        }[];
      };
      assert.deepEqual(spec.data.values, [
        { start: 0, mean: 21, low: 20, high: 22 },
        { start: 1, mean: 17, low: 15, high: 19 },
        { start: 2, mean: 17, low: 16, high: 18 },
        { start: 3, mean: 23, low: 21, high: 25 },
      ]);
      const points = spec.layer.filter(({ mark }) => mark.type === 'point');
      assert.deepEqual(
        points.map(({ data, mark: { shape } }) => [shape, data!.values]),
        [
          [
            undefined,
            [
              { start: 2, error: 18 },
              { start: 1, error: 15 },
            ],
          ],
          ['diamond', [{ start: 2, error: 19.5 }]],
        ],
      );
      // The method's own average has its colour in every picture.
      const own = points[method === 'swa' ? 0 : 1]!.mark.color;
      assert.equal(own, '#D55E00');
      assert.equal(points.filter(({ mark: { color } }) => color === own).length, 1);
      const rules = spec.layer.filter(({ mark }) => mark.type === 'rule');
      assert.deepEqual(rules.map(({ data }) => data!.values), [[{ start: 2 }], [{ y: 32 }]]); // prettier-ignore
    }
  });

  it('moves labels apart, and those that have room not at all', () => {
    const moved = spreadLabels([{ y: 10 }, { y: 0 }, { y: 1 }], 2);
    assertClose(
      moved.map(({ y }) => y),
      [-0.5, 1.5, 10],
      1e-12,
    );
  });
});

/** What `f` gives, which is called the first time only. */
function once<T>(f: () => T): () => T {
  let result: { value: T } | undefined;
  return () => (result ??= { value: f() }).value;
}

/** Images that a little net can learn. */
const images = (count: number, seed: number): Images => {
  const next = random(seed);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  // A bright row tells the class.
  const pixels = Float32Array.from({ length: count * 196 }, (_, i) => {
    const row = Math.floor((i % 196) / 14);
    return 0.5 * next() + (row === labels[Math.floor(i / 196)] ? 0.5 : 0);
  });
  return { count, labels, pixels };
};
/** A seed of tiny nets. */
const TASK = {
  seed: 1,
  width: 6,
  noise: 0.1,
  train: images(150, 1),
  validation: images(40, 3),
  test: images(80, 2),
  onEpoch: () => {},
};

/** Of a snapshot of these nets what is trained: kernel, scale and offset of two layers, the last layer. */
const trainedOf = (snapshot: readonly Float32Array[]): number[] => {
  const model = createModel(TASK.width, 1);
  const trainable = new Set(model.trainableWeights.map(({ originalName }) => originalName));
  const kept = snapshot.filter((_, i) => trainable.has(model.weights[i]!.originalName));
  model.dispose();
  return kept.flatMap((values) => [...values]);
};

describe('demo: net', () => {
  it('scores logits: the share of wrong answers, and the likelihood', async () => {
    const logits = Array.from({ length: 4 }, () => new Array<number>(10).fill(0));
    logits[1]![7] = Math.log(9); // against nine ones: a half
    logits[2]![3] = 800; // no overflow: 1, all but
    const labels = Uint8Array.of(0, 7, 3, 2);
    const model = { apply: () => tf.tensor2d(logits) } as unknown as tfl.LayersModel;
    const four = { ...images(4, 1), labels };
    // A tenth where all are the same, of which the first counts as the answer: wrong for label 2.
    const { error, nll } = await evaluate(model, four);
    assertClose([error, nll], [25, (Math.log(10) + Math.LN2 + 0 + Math.log(10)) / 4], 1e-6);
    logits[2]![5] = NaN;
    assert.equal((await evaluate(model, four)).error, 50, 'what is no number is no right answer');
  });

  it('scores the batches that it is handed as the images they were cut from', async () => {
    const model = own(createModel(5, 1));
    const some = images(50, 1);
    const batches = uploaded(some, 20);
    assert.deepEqual(
      batches.map(({ shape }) => shape),
      [
        [20, 14, 14],
        [20, 14, 14],
        [10, 14, 14],
      ],
    );
    await reestimate(model, some);
    const statistics = await snapshot(model);
    const score = await evaluate(model, some);
    assert.deepEqual(await evaluate(model, some, batches), score);
    await reestimate(model, some, batches);
    // The second layer sees what the first one makes of each batch: not quite the same.
    const again = await snapshot(model);
    assertClose(
      again.flatMap((values) => [...values]),
      statistics.flatMap((v) => [...v]),
      0.5,
    );
    assertClose(again[2]!, statistics[2]!, 1e-6);
    tf.dispose(batches);
  });

  it("has tfjs's l2 penalty, with the same gradient", () => {
    const weights = variable([[1, -2, 0.5]]);
    // 0.1 (1 + 4 + 0.25) and 0.2 w, three times of each.
    for (const regularizer of [l2Regularizer(0.1), tfl.regularizers.l2({ l2: 0.1 })]) {
      const { value, grads } = tf.variableGrads(
        () => tf.mul(3, regularizer.apply(weights)) as tf.Scalar,
        [weights],
      );
      const gradient = grads[weights.name]!;
      assertClose([...value.dataSync(), ...gradient.dataSync()], [1.575, 0.6, -1.2, 0.3], 1e-6);
      tf.dispose([value, gradient]);
    }
  });
});

describe('demo: training', () => {
  it('branches exactly: without decay both runs are the same', async () => {
    const schedule = { ...makeSchedule(4, 150), decayingRate: () => 0.1 };
    const run = await runSeed({ ...TASK, schedule });
    assert.deepEqual(run.curves.decay, run.curves.iterates.slice(2));
    assert.deepEqual(run.weights.decay, run.weights.path[1]);
    assert.notDeepEqual(run.weights.start, run.weights.path[0]);
  });

  it('averages the weights at the ends of the epochs of the second half', async () => {
    const reports: EpochReport[] = [];
    const schedule = makeSchedule(6, 150);
    let state: SeedState | null = null;
    const run = await runSeed({
      ...TASK,
      schedule,
      onEpoch: (report) => reports.push(report),
      onState: async (get) => void (state = await get()),
    });
    assert.equal(run.averaged, 3);
    const { swa_state: buffers } = state!.swa;
    const average = Object.values(buffers).flatMap(({ swa_buffer }) => [...swa_buffer.values]);
    const { path } = run.weights;
    const means = Array.from(average, (_, i) => mean(path.map((weights) => weights[i]!)));
    assert.lengthOf(average, path[0]!.length);
    assertClose(average, means, 1e-6);
    assert.deepEqual(
      reports.map(({ phase }) => phase),
      [
        ...new Array<string>(3).fill('shared'),
        ...new Array<string>(3).fill('averaged'),
        ...new Array<string>(3).fill('decay'),
      ],
    );
    assert.deepEqual(
      reports.map(({ epoch }) => epoch),
      [1, 2, 3, 4, 5, 6, 4, 5, 6],
    );
    assert.isBelow(reports[5]!.loss, reports[0]!.loss);
    assert.deepEqual(reports[8]!.error, run.curves.decay[2]!.error);
    // Re-estimated statistics are not the last iterate's.
    assert.notEqual(run.averageOldStatistics.nll, chosenOf(run.windows).test.nll);
  });

  it('averages every step from every start, and chooses on validation', async () => {
    for (const method of METHODS) {
      // With 40 images an epoch is one step, so what is kept after each is every value averaged.
      const schedule = makeSchedule(8, 40, method);
      const iterates: number[][] = [];
      // Labels of other classes: what is best there is not what is best on the test images.
      const others = images(30, 5);
      const wrong = { ...others, labels: others.labels.map((label) => (label + 3) % 10) };
      const data = { train: images(40, 1), validation: wrong, noise: 0.3 };
      const told: Window[] = [];
      const run = await runSeed({
        ...{ ...TASK, ...data, schedule },
        onWindow: (window) => told.push(window),
        onEpoch: () => {},
        onState: async (get) => {
          const { record, model } = await get();
          if (record.trained < 8) iterates.push(trainedOf(model));
        },
      });
      iterates.push([...run.weights.path.at(-1)!]); // after the last the state is that of going back
      const { list, chosen } = run.windows;
      assert.deepEqual(list.map(({ start }) => start), [0, 1, 2, 3, 4, 5, 6, 7]); // prettier-ignore
      assert.deepEqual(told, [...list].reverse());
      const least = Math.min(...list.map(({ validation }) => validation.nll));
      assert.equal(list[chosen]!.validation.nll, least);
      assert.isAbove(list[chosen]!.test.nll, Math.min(...list.map(({ test }) => test.nll)));

      const labels = random(TASK.seed);
      const noisy = (some: Images) => ({ ...some, labels: noisyLabels(some.labels, 0.3, labels) });
      noisy(data.train);
      const validation = noisy(data.validation); // as wrong as those that were learned
      const model = own(createModel(TASK.width, 9));
      for (const { start, validation: score, test } of list) {
        const means = Float32Array.from(iterates[0]!, (_, i) =>
          mean(iterates.slice(start).map((weights) => weights[i]!)),
        );
        setFlatWeights(model, means);
        await reestimate(model, data.train);
        assertClose([test.nll], [(await evaluate(model, TASK.test)).nll], 1e-4, `from ${start}`);
        assertClose([score.nll], [(await evaluate(model, validation)).nll], 1e-4);
        if (method === 'swa' && start === list[chosen]!.start) {
          assertClose(run.weights.average, means, 1e-6);
        }
      }
    }
  });

  it('has thirty windows at most, the longest all of the run', async () => {
    const schedule = makeSchedule(40, 40);
    const { windows } = await runSeed({ ...TASK, train: images(40, 1), schedule });
    const starts = windows.list.map(({ start }) => start);
    assert.lengthOf(starts, 30);
    assert.deepEqual([starts[0], starts.at(-1)], [0, 39]);
    assert.deepEqual(starts, [...new Set(starts)].sort((a, b) => a - b)); // prettier-ignore
  });

  it('averages exponentially as by hand, at every step of the second half', async () => {
    // With 40 images an epoch is one step, so the path holds every value that is averaged.
    const schedule = makeSchedule(8, 40, 'ema');
    const run = await runSeed({ ...TASK, train: images(40, 1), schedule });
    assert.deepEqual([run.averaged, run.otherAveraged], [4, 4]);
    // 4 steps: decay 1 - 2 / 5 = 0.6; the first value is taken as it is.
    const { path, average } = run.weights;
    const expected = Array.from(average, (_, i) => {
      const [first, ...later] = path.map((weights) => weights[i]!);
      return later.reduce((ema, value) => 0.6 * ema + 0.4 * value, first!);
    });
    assertClose(average, expected, 1e-6);
    const equal = Array.from(average, (_, i) => mean(path.map((weights) => weights[i]!)));
    assert.isAbove(Math.max(...equal.map((value, i) => Math.abs(value - average[i]!))), 1e-3);
  });

  it('measures with SWA the EMA that --method ema gives, and the other way round', async () => {
    const swa = await runSeed({ ...TASK, schedule: makeSchedule(6, 150, 'swa') });
    const ema = await runSeed({ ...TASK, schedule: makeSchedule(6, 150, 'ema') });
    const final = ({ curves }: SeedRun) => {
      const { error, nll } = curves.average[2]!;
      return { error, nll };
    };
    assert.deepEqual(swa.otherAverage, final(ema));
    assert.deepEqual(ema.otherAverage, final(swa));
    assert.notEqual(swa.otherAverage.nll, ema.otherAverage.nll);
    // 3 epochs of 3 steps.
    assert.deepEqual([swa.averaged, swa.otherAveraged], [3, 9]);
    assert.deepEqual([ema.averaged, ema.otherAveraged], [9, 3]);
    assert.deepEqual(ema.curves.iterates, swa.curves.iterates);
    assert.deepEqual(ema.curves.decay, swa.curves.decay);
  });

  it('averages at a cyclic rate where the cycles end', async () => {
    const schedule = makeSchedule(8, 150, 'cyclic');
    const run = await runSeed({ ...TASK, schedule });
    // 4 epochs of 3 steps in two cycles.
    assert.deepEqual([run.averaged, run.otherAveraged], [2, 12]);
    assert.deepEqual(
      run.curves.average.map(({ epoch }) => epoch),
      [6, 8],
    );
    const { path, average } = run.weights;
    const means = Array.from(average, (_, i) => (path[1]![i]! + path[3]![i]!) / 2);
    assertClose(average, means, 1e-6);
    // The rate reaches the run: a run that follows the same rates with SGD with decay is the same,
    // and the shared half is that of the other methods.
    const decayingRate = schedule.averagedRate;
    const same = await runSeed({ ...TASK, schedule: { ...schedule, decayingRate } });
    assert.deepEqual(same.curves.decay, same.curves.iterates.slice(4));
    const constant = await runSeed({ ...TASK, schedule: makeSchedule(8, 150) });
    assert.deepEqual(run.curves.iterates.slice(0, 4), constant.curves.iterates.slice(0, 4));
    assert.notDeepEqual(run.curves.iterates[4], constant.curves.iterates[4]);
    assert.deepEqual(run.curves.decay, constant.curves.decay);
  });

  it('gives the same numbers again, and keeps no tensor from epoch to epoch', async () => {
    const counts: number[] = [];
    const onEpoch = () => void counts.push(tf.memory().numTensors);
    const schedule = makeSchedule(8, 150);
    const run = await runSeed({ ...TASK, schedule, onEpoch });
    // Within a phase only the segments grow, by one copy of the 8 weights an epoch, until a window
    // is chosen: slots come at the first step, averages after the first epoch of the second phase.
    for (const [from, to, more] of [
      [0, 4, 8],
      [5, 8, 8],
      [8, 12, 0],
    ] as const) {
      const grown = counts.slice(from, to).map((count) => count - counts[from]!);
      assert.deepEqual(grown, grown.map((_, i) => i * more), String(counts)); // prettier-ignore
    }
    assert.deepEqual((await runSeed({ ...TASK, schedule })).curves, run.curves);
  });
});

describe('demo: checkpoint', () => {
  let [folder, file] = ['', ''];
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-demo-'));
    file = path.join(folder, 'new', 'run.swa');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const setting: Setting = {
    ...{ seeds: 2, epochs: 6, width: 6, noise: 0.1, method: 'swa' },
    ...{ grid: 3, backend: 'cpu', running: 'cpu' },
  };

  for (const method of METHODS) {
    it(`goes on bit for bit from the end of any epoch, with ${method}`, async () => {
      // 6 epochs; with cyclic one cycle of 3, so that some ends are in the middle of it.
      const schedule = makeSchedule(6, 150, method);
      const task = { ...TASK, schedule };
      const states: DemoState[] = [];
      const whole = await runSeed({
        ...task,
        onState: async (state) => {
          await saveCheckpoint(file, setting, { ...newState(), current: await state() });
          states.push((await loadCheckpoint(file, setting))!);
        },
      });
      assert.lengthOf(states, 8, 'after each of 9 epochs but the last');
      for (const [i, { current }] of states.entries()) {
        const reports: EpochReport[] = [];
        const onEpoch = (report: EpochReport) => reports.push(report);
        const rest = await runSeed({ ...task, onEpoch, from: current });
        assert.deepEqual(rest, whole, `after ${i + 1} epochs`);
        const order = reports.map(({ phase, epoch }) => ({ phase, epoch }));
        assert.deepEqual(order, planOf(schedule).slice(i + 1));
      }
    });
  }

  it('keeps every field of a state', async () => {
    assert.isNull(await loadCheckpoint(file, setting));
    let current: SeedState | null = null;
    const { weights, ...scores } = await runSeed({
      ...TASK,
      schedule: makeSchedule(2, 150),
      onState: async (state) => void (current = await state()),
    });
    const at = { x: -0, y: 1e-300 };
    const grid = { columns: 2, rows: 1, step: 1, x: 0, y: 0 };
    const state: DemoState = {
      finished: [scores],
      weights,
      current,
      landscape: { seed: 1, grid, errors: [NaN, 2], average: at, decay: at, start: at, path: [at] },
      seconds: 1.5,
    };
    await saveCheckpoint(file, setting, state);
    assert.deepEqual(await loadCheckpoint(file, setting), state);
  });

  it('refuses the file of a run with other options, and says which differ', async () => {
    await saveCheckpoint(file, setting, newState());
    const hint = ' (give those options, or another --checkpoint, or remove the file)';
    const differs: [change: Partial<Setting>, text: string][] = [
      [{ seeds: 3 }, '--seeds 2, not 3'],
      [{ noise: 0.2, epochs: 8 }, '--epochs 6, not 8; --noise 0.1, not 0.2'],
      [{ method: 'ema', width: 64 }, '--width 6, not 64; --method swa, not ema'],
      [{ grid: 4 }, '--grid 3, not 4'],
      [{ backend: 'wasm' }, '--backend cpu, not wasm'],
      [{ running: 'wasm' }, 'run on the backend cpu, not wasm'],
    ];
    for (const [change, text] of differs) {
      await refuses(
        { ...setting, ...change },
        `is the checkpoint of another run: it has ${text}`,
        hint,
      );
    }
  });

  it('refuses a file that is damaged, or something else', async () => {
    await saveCheckpoint(file, setting, newState());
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(file, bytes);
    await refusesMatching(/^Cannot load .*run\.swa: it is damaged/);
    writeFileSync(file, bytes.subarray(0, 10));
    await refusesMatching(
      /^Cannot load .*run\.swa: its header has \d+ bytes, and the file only 10: it is cut off/,
    );
    writeFileSync(file, 'a text of some other program');
    await refusesMatching(
      /^Cannot load .*run\.swa: its header has \d+ bytes.*it is cut off, or no safetensors file/,
    );
    for (const [other, is] of [
      [{ epoch: 3 }, 'something else'],
      [null, 'something else'],
      [{ kind: 'tfjs-swa demo 2' }, 'tfjs-swa demo 2'],
    ] as const) {
      await saveStateDict(fileSystem(file), other);
      await refuses(
        setting,
        'is no checkpoint of this demo',
        ` (expected tfjs-swa demo 3, not ${is})`,
      );
    }
  });

  it('that cannot be saved is an error in one line', async () => {
    writeFileSync(path.join(folder, 'new'), '');
    const error = await failure(() => saveCheckpoint(file, setting, newState()));
    assert.match(error.message, /^Cannot save .*run\.swa: [^\n]+$/);
  });

  async function failure(f: () => unknown): Promise<UsageError> {
    let caught: unknown;
    await assertFails(async () => {
      try {
        await f();
      } catch (error) {
        caught = error;
        throw error;
      }
    }, /./);
    assert.instanceOf(caught, UsageError);
    return caught as UsageError;
  }

  async function refuses(other: Setting, what: string, hint: string): Promise<void> {
    const { message } = await failure(() => loadCheckpoint(file, other));
    assert.equal(message, `${file} ${what}${hint}`);
  }

  async function refusesMatching(pattern: RegExp): Promise<void> {
    const { message } = await failure(() => loadCheckpoint(file, setting));
    assert.match(message, pattern);
    assert.notInclude(message, '\n');
  }
});

describe('demo: report', () => {
  /** A run whose chosen average, and average over the second half, have these test errors. */
  const run = (seed: number, decay: number, swa: number, half = swa + 0.5): SeedRun => {
    const score = (error: number) => ({ error, nll: error / 10 });
    const curve = (error: number) => [{ epoch: 2, loss: 1, ...score(error) }];
    const window = (start: number, error: number) => ({
      ...{ start, validation: score(40), test: score(error) },
    });
    return {
      seed,
      curves: { iterates: curve(30), decay: curve(decay), average: curve(half) },
      windows: { list: [window(0, 1), window(1, swa), window(2, 2)], chosen: 1 },
      averageOldStatistics: { error: 25, nll: 2.5 },
      otherAverage: { error: 21, nll: 2.1 },
      decayReestimated: { error: 20, nll: 2 },
      weights: {} as SeedRun['weights'],
      averaged: 1,
      otherAveraged: 1,
    };
  };

  it('pairs the difference by seed', () => {
    // -1, -2, -6: mean -3, interval as in the statistics above
    const summary = summarize([run(1, 20, 19), run(2, 22, 20), run(3, 26, 20)], 'swa');
    const { error, nll } = summary.difference;
    assertClose(error.values, [-1, -2, -6], 1e-12);
    assertClose([error.mean, ...error.interval!], [-3, -9.572408, 3.572408], 1e-5);
    assertClose([nll.mean], [-0.3], 1e-12);
    const table = tableOf(summary);
    assert.match(table, /^SGD with decay +22\.67 ± 3\.06 +2\.267 ± 0\.306$/m);
    assert.match(table, /-3\.00 \[-9\.57, \+3\.57\] +-0\.300 \[-0\.957, \+0\.357\]$/m);
    assert.isTrue(table.split('\n').every((line) => line.length <= 80));
    assert.match(
      sentenceOf(summary, { epochs: 30, noise: 0.2, method: 'swa' }),
      /cannot be told from/,
    );
  });

  it('says which is lower only where the interval does not hold 0', () => {
    const lower = summarize([run(1, 20, 19), run(2, 22, 20.9), run(3, 26, 25)], 'swa');
    const higher = summarize([run(1, 19, 20), run(2, 20.9, 22), run(3, 25, 26)], 'swa');
    const setting = { epochs: 30, noise: 0.2, method: 'swa' } as const;
    assert.match(sentenceOf(lower, setting), /30 epochs.*1\.03 points lower.*ten epochs of SGD/);
    assert.match(sentenceOf(higher, setting), /1\.03 points higher/);
    assert.notMatch(sentenceOf(lower, { ...setting, noise: 0 }), /wrong labels/);
  });

  it('has neither NaN nor an interval for one seed', () => {
    const table = tableOf(summarize([run(1, 20, 19)], 'swa'));
    assert.notMatch(table, /NaN|null|±|\[/);
    assert.match(table, /one seed has no sd and no interval/);
  });

  for (const [method, labels] of [
    [
      'swa',
      [
        "SWA, last iterate's BN statistics",
        'SWA after bnUpdate',
        'SWA, once an epoch, second half',
        'EMA after bnUpdate',
        'SWA after bnUpdate - SGD with decay',
      ],
    ],
    [
      'ema',
      [
        "EMA, last iterate's BN statistics",
        'EMA after bnUpdate',
        'SWA, every step, start chosen',
        'SWA, once an epoch, second half',
        'EMA after bnUpdate - SGD with decay',
      ],
    ],
    [
      'cyclic',
      [
        'SWA at cyclic rate, last BN stats',
        'SWA at cyclic rate after bnUpdate',
        'SWA, every step, start chosen',
        'EMA at cyclic rate after bnUpdate',
        'SWA at cyclic rate - SGD with decay',
      ],
    ],
  ] as const) {
    it(`has a row for each average, named truly, with ${method}`, () => {
      // The method's average; the other of the chosen one and that over the second half has 0.5 more.
      const errors = [19, 20.9, 25].map((error): [number, number] =>
        method === 'swa' ? [error, error + 0.5] : [error + 0.5, error],
      );
      const runs = [20, 22, 26].map((decay, i) => run(i + 1, decay, ...errors[i]!));
      const summary = summarize(runs, method);
      const lines = tableOf(summary)
        .split('\n')
        .map((line) => [line.slice(0, 36).trimEnd(), line.slice(36, 48).trimEnd()]);
      const [old, average, second, other, difference] = labels;
      const rate = method === 'cyclic' ? 'cyclic' : 'constant';
      assert.deepEqual(lines.slice(3, 11), [
        ['SGD with decay', '22.67 ± 3.06'], // of 20, 22, 26
        [`SGD at the ${rate} rate`, '30.00 ± 0.00'],
        [old, '25.00 ± 0.00'],
        [average, '21.63 ± 3.07'], // of 19, 20.9, 25
        [second, '22.13 ± 3.07'], // 0.5 more
        [other, '21.00 ± 0.00'],
        ['-'.repeat(36), '-'.repeat(12)],
        [difference, '-1.03 [-1.18'], // of -1, -1.1, -1: sd 0.0577, half 4.3027 * 0.0577 / 1.7321
      ]);
      assert.isTrue(lines.every((line) => line.join('').length <= 80));
      const [first, last] = {
        swa: ["SWA's test error is 1.03 points lower", 'that SWA beats SGD'],
        ema: ["EMA's test error is 1.03 points lower", 'that EMA beats SGD'],
        cyclic: [
          'the test error of SWA at a cyclic rate is 1.03 points lower',
          'that SWA at a cyclic rate beats SGD',
        ],
      }[method] as [string, string];
      const sentence = sentenceOf(summary, { epochs: 30, noise: 0.2, method });
      assert.include(sentence, first);
      assert.include(sentence, last);
      const start = 'with the start of averaging chosen on validation, and neither the decay';
      assert[method === 'swa' ? 'include' : 'notInclude'](sentence, start);
    });
  }

  it('wraps at words', () => {
    assert.equal(wrapped('aa bb cc dddddd', 5), 'aa bb\ncc\ndddddd');
  });
});

describe('demo: options', () => {
  it('has defaults, and a command that gives the same options back', () => {
    const options = parseOptions([]);
    assert.propertyVal(parseOptions(['--noise', '.5']), 'noise', 0.5);
    for (const method of METHODS) {
      assert.propertyVal(parseOptions(['--method', method]), 'method', method);
    }
    assert.deepEqual(options, {
      seeds: 3,
      epochs: 30,
      width: 64,
      noise: 0.2,
      method: 'swa',
      grid: 21,
      backend: 'wasm',
      out: 'demo-output',
    });
    assert.equal(
      commandOf({ ...(options as DemoOptions), noise: 0.5, out: "a b'c" }),
      `npm run demo -- --seeds 3 --epochs 30 --width 64 --noise 0.5 --method swa --grid 21 --backend wasm --out 'a b'\\''c'`,
    );
  });

  const file = fileURLToPath(import.meta.url);
  const wrong: [args: string[], message: string][] = [
    [['--seeds', '0'], 'Invalid --seeds: "0" (expected an integer from 1 to 100)'],
    [['--seeds', '1.5'], 'Invalid --seeds: "1.5" (expected an integer from 1 to 100)'],
    [['--seeds', ''], 'Invalid --seeds: "" (expected an integer from 1 to 100)'],
    [['--epochs', '3'], 'Invalid --epochs: "3" (expected an even integer from 2 to 1000)'],
    [
      ['--epochs', 'Infinity'],
      'Invalid --epochs: "Infinity" (expected an even integer from 2 to 1000)',
    ],
    [['--width', '-4'], 'Invalid --width: "-4" (expected an integer from 1 to 1024)'],
    [['--width=-4'], 'Invalid --width: "-4" (expected an integer from 1 to 1024)'],
    [['--width', '4000'], 'Invalid --width: "4000" (expected an integer from 1 to 1024)'],
    [['--noise', '1.01'], 'Invalid --noise: "1.01" (expected a number from 0 to 1)'],
    [['--noise', 'NaN'], 'Invalid --noise: "NaN" (expected a number from 0 to 1)'],
    [['--method', 'SWA'], 'Invalid --method: "SWA" (expected swa, ema or cyclic)'],
    [['--method', ''], 'Invalid --method: "" (expected swa, ema or cyclic)'],
    [['--method', 'toString'], 'Invalid --method: "toString" (expected swa, ema or cyclic)'],
    [['--grid', '2'], 'Invalid --grid: "2" (expected an integer from 3 to 100)'],
    [['--backend', 'webgl'], 'Invalid --backend: "webgl" (expected wasm or cpu)'],
    [['--out', ''], 'Invalid --out: "" (expected the name of a folder)'],
    [
      ['--out', file],
      `Invalid --out: ${JSON.stringify(file)} (expected a folder, but it is a file)`,
    ],
    [
      ['--out', `${file}/x`],
      `Invalid --out: ${JSON.stringify(`${file}/x`)} (expected a folder, but a part of it is a file)`,
    ],
    [['--checkpoint', ''], 'Invalid --checkpoint: "" (expected the name of a file)'],
    [
      ['--checkpoint', path.dirname(file)],
      `Invalid --checkpoint: ${JSON.stringify(path.dirname(file))} (expected a file, but it is a folder)`,
    ],
    [
      ['--checkpoint', `${file}/x`],
      `Invalid --checkpoint: ${JSON.stringify(`${file}/x`)} (expected a file, but a part of it is a file)`,
    ],
    [['--frob'], "Unknown option '--frob' (--help lists the options)"],
    [['3'], "Unexpected argument '3' (--help lists the options)"],
    [['--seeds'], "Option '--seeds <value>' argument missing (--help lists the options)"],
  ];
  for (const [args, message] of wrong) {
    it(`refuses ${args.join(' ').replace(file, 'FILE').replace(path.dirname(file), 'FOLDER') || 'nothing'}`, () => {
      try {
        parseOptions(args);
      } catch (error) {
        assert.instanceOf(error, UsageError);
        assert.equal((error as Error).message, message);
        return;
      }
      assert.fail('no error');
    });
  }
});

describe('demo: files', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-demo-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are written whole, over older ones', () => {
    const out = path.join(folder, 'a', 'b');
    writeFiles(out, { 'x.txt': 'old' });
    writeFiles(out, { 'x.txt': 'new', 'y.bin': Uint8Array.of(1, 2) });
    assert.deepEqual(readdirSync(out).sort(), ['x.txt', 'y.bin']);
    assert.equal(readFileSync(path.join(out, 'x.txt'), 'utf8'), 'new');
  });

  it('leave nothing half-written when one of them fails', () => {
    writeFileSync(path.join(folder, 'x.txt'), 'old');
    assert.throws(() => writeFiles(folder, { 'x.txt': 'new', 'no/such/folder.txt': '' }), /ENOENT/);
    assert.deepEqual(readdirSync(folder), ['x.txt']);
    assert.equal(readFileSync(path.join(folder, 'x.txt'), 'utf8'), 'old');
  });
});

describe('demo: the command', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const main = path.join(root, 'examples', 'demo', 'main.ts');
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-demo-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs the demo; `onLine` sees what it writes to stderr and can end it. */
  function run(
    args: string[],
    onLine: (text: string, kill: (s: NodeJS.Signals) => void) => void = () => {},
  ) {
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], { cwd: root });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data) => (stdout += String(data)));
    child.stderr.on('data', (data) => {
      stderr += String(data);
      onLine(stderr, (signal) => child.kill(signal));
    });
    return new Promise<{ code: number | null; stdout: string; stderr: string }>(
      (resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => resolve({ code, stdout, stderr }));
      },
    );
  }

  it('explains itself with --help', async () => {
    const { code, stdout, stderr } = await run(['--help']);
    assert.deepEqual([code, stderr], [0, '']);
    for (const name of [
      ...['seeds', 'epochs', 'width', 'noise', 'method', 'grid', 'backend', 'out'],
      ...['checkpoint', 'help'],
    ]) {
      assert.include(stdout, `--${name} `);
    }
  });

  it('refuses a bad option in one line, with exit code 2, and writes nothing', async () => {
    const out = path.join(folder, 'out');
    const { code, stdout, stderr } = await run(['--epochs', '7', '--out', out]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.equal(stderr, 'demo: Invalid --epochs: "7" (expected an even integer from 2 to 1000)\n');
    assert.isFalse(existsSync(out));
  });

  /** A little run from its start to its end, which two specs look at. */
  const little = ['--seeds', '2', '--epochs', '2', '--width', '4', '--grid', '3'];
  const unbrokenRun = once(async () => {
    const out = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-demo-'));
    return { out, ...(await run([...little, '--out', out])) };
  });
  after(async () => rmSync((await unbrokenRun()).out, { recursive: true, force: true }));

  it('trains, shows and writes everything', async function () {
    this.timeout(300_000);
    const { out, code, stdout, stderr } = await unbrokenRun();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /this takes about \d/);
    assert.match(
      stderr,
      /^ +\d+% \| seed 1\/2 SWA, epoch 2\/2, loss \d\.\d{3}, test error \d+\.\d\d %$/m,
    );
    assert.deepEqual(readdirSync(out).sort(), [
      'averaging-start.png',
      'averaging-start.svg',
      'error-plane.png',
      'error-plane.svg',
      'learning-rate.png',
      'learning-rate.svg',
      'results.json',
      'test-error.png',
      'test-error.svg',
    ]);
    for (const name of readdirSync(out)) {
      const bytes = readFileSync(path.join(out, name));
      if (name.endsWith('.png')) {
        assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
        assert.equal(bytes.readUInt32BE(16), 1200, `${name}: pixels across`);
      }
      if (name.endsWith('.svg')) {
        assert.match(bytes.toString(), /^<svg[^]*<\/svg>$/);
        assert.notInclude(bytes.toString(), root);
        assert.notInclude(bytes.toString(), 'NaN');
      }
    }

    const results = JSON.parse(readFileSync(path.join(out, 'results.json'), 'utf8'));
    assert.equal(
      results.command,
      `npm run demo -- --seeds 2 --epochs 2 --width 4 --noise 0.2 --method swa --grid 3 --backend wasm --out ${out}`,
    );
    assert.include(stdout, tableOf(results.summary));
    assert.include(stdout, wrapped(results.sentence));
    assert.include(stdout, `Took ${results.seconds.taken.toFixed(1)} s`);
    // The summary's numbers are the seeds' own.
    const swa = results.seeds.map((seed: SeedRun) => chosenOf(seed.windows).test.error);
    const overHalf = results.seeds.map((seed: SeedRun) => seed.curves.average[0]!.error);
    const decay = results.seeds.map((seed: SeedRun) => seed.curves.decay[0]!.error);
    assert.deepEqual(results.summary.rows[3].error.values, swa);
    assert.deepEqual(results.summary.rows[4].error.values, overHalf);
    for (const { windows } of results.seeds as SeedRun[]) {
      assert.deepEqual(windows.list.map(({ start }) => start), [0, 1]); // prettier-ignore
    }
    assertClose([results.summary.difference.error.mean], [mean(swa) - mean(decay)], 1e-9);
    assert.isTrue(
      swa.every((error: number) => error > 10 && error < 80),
      String(swa),
    );
    // On the plane: SWA at the origin, SGD on the first axis, the start above it.
    const { plane } = results;
    assertClose([plane.average.x, plane.average.y, plane.decay.y], [0, 0, 0], 1e-5);
    assert.isTrue(plane.decay.x > 0 && plane.start.y > 0);
    assert.deepEqual([plane.grid.columns, plane.grid.rows, plane.errors.length], [3, 2, 6]);
    assert.deepEqual(plane.path[0], plane.start);
  });

  it('killed and stopped, goes on with the same command to the same numbers', async function () {
    this.timeout(600_000);
    const out = path.join(folder, 'out');
    const file = path.join(folder, 'kept', 'run.swa');
    const args = [...little, '--out', out, '--checkpoint', file];
    const upTo = (text: string, signal: NodeJS.Signals) => {
      // Twice, as a terminal and npm may: the second one ends nothing half-way.
      let sent = 0;
      return run(args, (stderr, kill) => {
        if (sent > 0 || !stderr.includes(text)) return;
        for (; sent < 2; sent++) kill(signal);
      });
    };

    const killed = await upTo('seed 1/2 decay', 'SIGKILL');
    assert.isNull(killed.code);
    assert.isTrue(existsSync(file));
    const stopped = await upTo('seed 2/2 SWA', 'SIGINT');
    assert.equal(stopped.code, 130);
    const goesOn = '; the same command goes on from ' + file;
    assert.match(stopped.stderr, new RegExp(`\\nStopped by SIGINT${goesOn}\\.\\n$`));
    assert.deepEqual(readdirSync(path.dirname(file)), ['run.swa'], 'no stray file');
    assert.isFalse(existsSync(out), 'no results yet');
    // The epoch in which the kill came is trained again, or was just saved.
    const text = stopped.stdout.replaceAll('\n', ' ');
    const from = `Resumed from ${file}: done up to (seed 1/2 SWA, epoch 2/2|the end of seed 1/2); `;
    assert.match(text, new RegExp(`${from}about .* are left\\.`));
    const percent = (text: string) => Number(/\d+(?=% \| seed)/.exec(text)![0]);
    assert.isAbove(percent(stopped.stderr), percent(killed.stderr));

    const different = await run([...args, '--width', '5']);
    assert.deepEqual([different.code, different.stdout], [2, '']);
    assert.equal(
      different.stderr,
      `demo: ${file} is the checkpoint of another run: it has --width 4, not 5 ` +
        '(give those options, or another --checkpoint, or remove the file)\n',
    );

    const ended = await run(args);
    assert.equal(ended.code, 0, ended.stderr);
    assert.notMatch(ended.stderr, /seed 1\/2/);
    const whole = numbers((await unbrokenRun()).out);
    assert.deepEqual(numbers(out), whole);

    // And once more: nothing is trained or measured, the same is shown.
    rmSync(out, { recursive: true });
    const again = await run(args);
    assert.equal(again.code, 0, again.stderr);
    assert.include(again.stdout.replaceAll('\n', ' '), 'all is done but for the pictures');
    assert.notMatch(again.stderr, /seed|row/);
    assert.deepEqual(numbers(out), whole);
  });

  /** All of results.json but for the seconds and the folder. */
  function numbers(out: string): unknown {
    const results = JSON.parse(readFileSync(path.join(out, 'results.json'), 'utf8'));
    delete results.seconds;
    delete results.options.out;
    results.command = results.command.replace(out, 'OUT');
    return results;
  }

  it('refuses a checkpoint that is none, in one line, with exit code 2', async () => {
    const file = path.join(folder, 'notes.txt');
    writeFileSync(file, 'not a checkpoint');
    const { code, stdout, stderr } = await run([...little, '--checkpoint', file]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^demo: Cannot load .*notes\.txt: [^\n]+\n$/);
    assert.equal(readFileSync(file, 'utf8'), 'not a checkpoint');
  });

  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`stops at ${signal}, says so and leaves no file`, async () => {
      const out = path.join(folder, 'out');
      let sent = false;
      const { code, stderr } = await run(
        ['--seeds', '1', '--epochs', '20', '--width', '4', '--out', out],
        (text, kill) => {
          if (!sent && text.includes('epoch 1/20')) {
            sent = true;
            kill(signal);
          }
        },
      );
      assert.equal(code, expected);
      assert.match(stderr, new RegExp(`\\nStopped by ${signal}; nothing was written\\.\\n$`));
      assert.isFalse(existsSync(out));
    });
  }

  it('runs on cpu, with a notice, where wasm does not start', async () => {
    // A folder without the .wasm files stands for a machine without WebAssembly.
    const script = path.join(folder, 'start.mts');
    const backend = path.join(root, 'examples', 'demo', 'backend.ts');
    writeFileSync(
      script,
      `const { startBackend } = await import(${JSON.stringify(backend)});
       const ran = await startBackend('wasm', console.log, ${JSON.stringify(folder + path.sep)});
       console.log('ran on', ran);`,
    );
    const child = spawn(process.execPath, ['--import', 'tsx', script], { cwd: root });
    let text = '';
    child.stdout.on('data', (data) => (text += String(data)));
    await new Promise((resolve) => child.on('close', resolve));
    assert.match(
      text,
      /^Notice: the wasm backend does not start here; running on cpu.*\nran on cpu\n$/,
    );
  });
});
