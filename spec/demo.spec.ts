import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spreadLabels } from '../examples/demo/charts.js';
import { loadImages, noisyLabels, type Images } from '../examples/demo/data.js';
import { commandOf, parseOptions, UsageError, type DemoOptions } from '../examples/demo/options.js';
import { writeFiles } from '../examples/demo/output.js';
import {
  coordinatesOf,
  gridAround,
  gridPoints,
  planeThrough,
  pointAt,
} from '../examples/demo/plane.js';
import { contourLevels } from '../examples/demo/plane_chart.js';
import { sentenceOf, summarize, tableOf, wrapped } from '../examples/demo/report.js';
import { makeSchedule } from '../examples/demo/schedule.js';
import { interval95, mean, standardDeviation, tQuantile } from '../examples/demo/statistics.js';
import { runSeed, type EpochReport, type SeedRun } from '../examples/demo/training.js';
import { assertClose, random } from './support.js';

describe('demo: statistics', () => {
  it('takes mean, standard deviation and interval of 1, 2, 6', () => {
    // mean 3; squares 4 + 1 + 9 = 14, sd = sqrt(14 / 2) = 2.645751;
    // t(2) = 4.302653, half = 4.302653 * 2.645751 / sqrt(3) = 6.572408
    assert.equal(mean([1, 2, 6]), 3);
    assertClose([standardDeviation([1, 2, 6])!], [Math.sqrt(7)], 1e-12);
    assertClose(interval95([1, 2, 6])!, [-3.572408, 9.572408], 1e-5);
  });

  it("has the quantiles of Student's t that tables print", () => {
    const dfs = [1, 2, 3, 4, 5, 9, 10, 30];
    const table = [12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.26216, 2.22814, 2.04227];
    assertClose(
      dfs.map((df) => tQuantile(df)),
      table,
      5e-5,
    );
    assertClose([tQuantile(4, 0.99), tQuantile(7, 0.99)], [4.60409, 3.49948], 5e-5);
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

  it('moves labels apart, and those that have room not at all', () => {
    const moved = spreadLabels([{ y: 10 }, { y: 0 }, { y: 1 }], 2);
    assertClose(
      moved.map(({ y }) => y),
      [-0.5, 1.5, 10],
      1e-12,
    );
  });
});

describe('demo: training', () => {
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
  const task = {
    seed: 1,
    width: 6,
    noise: 0.1,
    train: images(150, 1),
    test: images(80, 2),
    onEpoch: () => {},
  };

  it('branches exactly: without decay both runs are the same', async () => {
    const schedule = { ...makeSchedule(4, 150), decayingRate: () => 0.1 };
    const run = await runSeed({ ...task, schedule });
    assert.deepEqual(run.curves.decay, run.curves.constant.slice(2));
    assert.deepEqual(run.weights.decay, run.weights.path[1]);
    assert.notDeepEqual(run.weights.start, run.weights.path[0]);
  });

  it('averages the weights at the ends of the epochs of the second half', async () => {
    const reports: EpochReport[] = [];
    const schedule = makeSchedule(6, 150);
    const run = await runSeed({ ...task, schedule, onEpoch: (report) => reports.push(report) });
    assert.equal(run.averaged, 3);
    const { path, average } = run.weights;
    const means = Array.from(average, (_, i) => mean(path.map((weights) => weights[i]!)));
    assertClose(average, means, 1e-6);
    assert.deepEqual(
      reports.map(({ phase }) => phase),
      [
        ...new Array<string>(3).fill('shared'),
        ...new Array<string>(3).fill('SWA'),
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
    assert.notEqual(run.averageOldStatistics.nll, run.curves.average[2]!.nll);
  });

  it('gives the same numbers again, and keeps no tensor from epoch to epoch', async () => {
    const counts: number[] = [];
    const onEpoch = () => void counts.push(tf.memory().numTensors);
    const schedule = makeSchedule(8, 150);
    const run = await runSeed({ ...task, schedule, onEpoch });
    // Within a phase nothing grows once it has begun: slots come at the first step, averages after
    // the first epoch of the second phase.
    for (const [from, to] of [
      [0, 4],
      [5, 8],
      [8, 12],
    ] as const) {
      assert.equal(new Set(counts.slice(from, to)).size, 1, String(counts));
    }
    assert.deepEqual((await runSeed({ ...task, schedule })).curves, run.curves);
  });
});

describe('demo: report', () => {
  const run = (seed: number, decay: number, swa: number): SeedRun => {
    const curve = (error: number) => [{ epoch: 2, loss: 1, error, nll: error / 10 }];
    return {
      seed,
      curves: { constant: curve(30), decay: curve(decay), average: curve(swa) },
      averageOldStatistics: { error: 25, nll: 2.5 },
      decayReestimated: { error: 20, nll: 2 },
      weights: {} as SeedRun['weights'],
      averaged: 1,
    };
  };

  it('pairs the difference by seed', () => {
    // -1, -2, -6: mean -3, interval as in the statistics above
    const summary = summarize([run(1, 20, 19), run(2, 22, 20), run(3, 26, 20)]);
    const { error, nll } = summary.difference;
    assertClose(error.values, [-1, -2, -6], 1e-12);
    assertClose([error.mean, ...error.interval!], [-3, -9.572408, 3.572408], 1e-5);
    assertClose([nll.mean], [-0.3], 1e-12);
    const table = tableOf(summary);
    assert.match(table, /^SGD with decay +22\.67 ± 3\.06 +2\.267 ± 0\.306$/m);
    assert.match(table, /-3\.00 \[-9\.57, \+3\.57\] +-0\.300 \[-0\.957, \+0\.357\]$/m);
    assert.isTrue(table.split('\n').every((line) => line.length <= 80));
    assert.match(sentenceOf(summary, { epochs: 30, noise: 0.2 }), /cannot be told from/);
  });

  it('says which is lower only where the interval does not hold 0', () => {
    const lower = summarize([run(1, 20, 19), run(2, 22, 20.9), run(3, 26, 25)]);
    const higher = summarize([run(1, 19, 20), run(2, 20.9, 22), run(3, 25, 26)]);
    const setting = { epochs: 30, noise: 0.2 };
    assert.match(sentenceOf(lower, setting), /30 epochs.*1\.03 points lower.*stopped early/);
    assert.match(sentenceOf(higher, setting), /1\.03 points higher/);
    assert.notMatch(sentenceOf(lower, { epochs: 30, noise: 0 }), /wrong labels/);
  });

  it('has neither NaN nor an interval for one seed', () => {
    const table = tableOf(summarize([run(1, 20, 19)]));
    assert.notMatch(table, /NaN|null|±|\[/);
    assert.match(table, /one seed has no sd and no interval/);
  });

  it('wraps at words', () => {
    assert.equal(wrapped('aa bb cc dddddd', 5), 'aa bb\ncc\ndddddd');
  });
});

describe('demo: options', () => {
  it('has defaults, and a command that gives the same options back', () => {
    const options = parseOptions([]);
    assert.propertyVal(parseOptions(['--noise', '.5']), 'noise', 0.5);
    assert.deepEqual(options, {
      seeds: 3,
      epochs: 30,
      width: 64,
      noise: 0.2,
      backend: 'wasm',
      out: 'demo-output',
    });
    assert.equal(
      commandOf({ ...(options as DemoOptions), noise: 0.5, out: "a b'c" }),
      `npm run demo -- --seeds 3 --epochs 30 --width 64 --noise 0.5 --backend wasm --out 'a b'\\''c'`,
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
    [['--frob'], "Unknown option '--frob' (--help lists the options)"],
    [['3'], "Unexpected argument '3' (--help lists the options)"],
    [['--seeds'], "Option '--seeds <value>' argument missing (--help lists the options)"],
  ];
  for (const [args, message] of wrong) {
    it(`refuses ${args.join(' ').replace(file, 'FILE') || 'nothing'}`, () => {
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
  const root = fileURLToPath(new URL('..', import.meta.url));
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
    for (const name of ['seeds', 'epochs', 'width', 'noise', 'backend', 'out', 'help']) {
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

  it('trains, shows and writes everything', async () => {
    const out = path.join(folder, 'out');
    const { code, stdout, stderr } = await run([
      ...['--seeds', '2', '--epochs', '2', '--width', '4', '--out', out],
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /this takes about \d/);
    assert.match(
      stderr,
      /^ +\d+% \| seed 1\/2 SWA, epoch 2\/2, loss \d\.\d{3}, test error \d+\.\d\d %$/m,
    );
    assert.deepEqual(readdirSync(out).sort(), [
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
      `npm run demo -- --seeds 2 --epochs 2 --width 4 --noise 0.2 --backend wasm --out ${out}`,
    );
    assert.include(stdout, tableOf(results.summary));
    assert.include(stdout, wrapped(results.sentence));
    assert.include(stdout, `Took ${results.seconds.taken.toFixed(1)} s`);
    // The summary's numbers are the seeds' own.
    const swa = results.seeds.map((seed: SeedRun) => seed.curves.average[0]!.error);
    const decay = results.seeds.map((seed: SeedRun) => seed.curves.decay[0]!.error);
    assert.deepEqual(results.summary.rows[3].error.values, swa);
    assertClose([results.summary.difference.error.mean], [mean(swa) - mean(decay)], 1e-9);
    assert.isTrue(
      swa.every((error: number) => error > 10 && error < 80),
      String(swa),
    );
    // On the plane: SWA at the origin, SGD on the first axis, the start above it.
    const { plane } = results;
    assertClose([plane.swa.x, plane.swa.y, plane.decay.y], [0, 0, 0], 1e-5);
    assert.isTrue(plane.decay.x > 0 && plane.start.y > 0);
    assert.equal(plane.errors.length, plane.grid.columns * plane.grid.rows);
    assert.deepEqual(plane.path[0], plane.start);
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
