import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  choose,
  compare,
  finalRuns,
  tableOf,
  tuningRuns,
  verdictOf,
  type Comparison,
} from '../../benchmarks/accuracy/comparison.js';
import {
  createNet,
  experimentsOf,
  methodsOf,
  seedsOf,
  splitOf,
  SWA_NAME,
  titleOf,
  tuningOf,
  type Experiment,
  type Tuning,
} from '../../benchmarks/accuracy/experiments.js';
import {
  bestOf,
  execute,
  rateOf,
  type Outcome,
  type Run,
  type Window,
} from '../../benchmarks/accuracy/run.js';
import type { Images } from '../../examples/demo/data.js';
import { evaluate, reestimate, setFlatWeights } from '../../examples/demo/model.js';
import { interval95, mean, standardDeviation } from '../../examples/demo/statistics.js';
import { assertClose, random } from '../support/support.js';

const EXPERIMENT: Experiment = {
  net: 'dense',
  width: 4,
  noise: 0.2,
  epochs: 4,
  images: { train: 130, validation: 50, test: 60 },
};

/** Images of which a bright row tells the class, and whose last pixel is unlike all others'. */
function imagesOf(count: number, seed: number): Images {
  const next = random(seed);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  const pixels = Float32Array.from({ length: count * 196 }, (_, i) => {
    if (i % 196 === 195) return Math.floor(i / 196) / count;
    const row = Math.floor((i % 196) / 14);
    return 0.5 * next() + (row === labels[Math.floor(i / 196)] ? 0.5 : 0);
  });
  return { count, labels, pixels };
}
const ALL = { train: imagesOf(200, 1), test: imagesOf(80, 2) };

describe('accuracy benchmark: data and rates', () => {
  /** The places of images in the list that they were picked from. */
  const placesOf = ({ pixels }: Images, of: number): number[] =>
    Array.from(pixels)
      .filter((_, i) => i % 196 === 195)
      .map((value) => Math.round(value * of));

  it('holds validation out of the training images, with noisy labels in both', () => {
    const { train, validation, test } = splitOf(EXPERIMENT, 7, ALL);
    assert.deepEqual([train.count, validation.count, test.count], [130, 50, 60]);
    const places = [...placesOf(train, 200), ...placesOf(validation, 200)];
    assert.equal(new Set(places).size, 180, 'no image is in both');
    const wrong = (images: Images, of: number): number =>
      placesOf(images, of).filter((place, i) => images.labels[i] !== place % 10).length;
    // 40 of 200 are drawn anew, of which a tenth stay right by chance: some 18 %.
    assert.isTrue(wrong(train, 200) > 10 && wrong(train, 200) < 40, String(wrong(train, 200)));
    assert.isTrue(wrong(validation, 200) > 2, 'as a practitioner would have it');
    assert.deepEqual([...test.labels], [...ALL.test.labels.subarray(0, 60)], 'test is clean');
    assert.deepEqual(
      placesOf(test, 80),
      Array.from({ length: 60 }, (_, i) => i),
    );
  });

  it('splits by the seed alone', () => {
    const split = splitOf(EXPERIMENT, 7, ALL);
    assert.deepEqual(splitOf(EXPERIMENT, 7, ALL), split);
    assert.notDeepEqual(
      placesOf(splitOf(EXPERIMENT, 8, ALL).train, 200),
      placesOf(split.train, 200),
    );
    const clean = splitOf({ ...EXPERIMENT, noise: 0 }, 7, ALL);
    assert.deepEqual(clean.train.pixels, split.train.pixels, 'the same images without noise');
    assert.notDeepEqual(clean.train.labels, split.train.labels);
  });

  it('has the rates that it names', () => {
    const steps = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    const rates = (way: Run['way']) => steps.map(rateOf(way, 0.4, 8));
    for (const way of ['constant', 'schedule-free'] as const) {
      assert.deepEqual(rates(way), new Array<number>(9).fill(0.4));
    }
    // Constant for 4 steps, then down by a quarter of 0.4 each.
    for (const way of ['decayed', 'lookahead'] as const) {
      assertClose(rates(way), [0.4, 0.4, 0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0], 1e-12);
    }
    // 0.2 (1 + cos(pi i / 8)): at 4 half, at 8 none, at 2 0.2 (1 + sqrt(1 / 2)).
    const cosine = rates('cosine');
    assertClose([cosine[0]!, cosine[4]!, cosine[8]!], [0.4, 0.2, 0], 1e-12);
    assertClose([cosine[2]!], [0.2 * (1 + Math.SQRT1_2)], 1e-12);
  });

  it('makes for each net one that takes images, with batch normalization', () => {
    for (const net of ['dense', 'conv'] as const) {
      const model = createNet({ ...EXPERIMENT, net }, 1);
      assert.deepEqual(model.outputs[0]!.shape, [null, 10]);
      assert.isAbove(model.nonTrainableWeights.length, 2, 'moving statistics');
      model.dispose();
    }
  });
});

describe('accuracy benchmark: a run', () => {
  // One step an epoch, so that the iterates that are kept are all there are.
  const experiment = { ...EXPERIMENT, images: { ...EXPERIMENT.images, train: 60 } };
  const images = splitOf(experiment, 3, ALL);
  const run: Run = {
    experiment,
    seed: 3,
    way: 'constant',
    rate: 0.1,
    takes: ['last', 'window', 'window by error', 'second half', 'ema 0.5'],
    on: 'test',
  };
  const several: Run = { ...run, experiment: EXPERIMENT, takes: ['last'] };
  const severalImages = splitOf(EXPERIMENT, 3, ALL);

  /** How good these weights are, with statistics of batch normalization of their own. */
  async function scoreOf(weights: ArrayLike<number>, on: Images) {
    const model = createNet(experiment, 3);
    setFlatWeights(model, Float32Array.from(weights));
    await reestimate(model, images.train);
    const score = await evaluate(model, on);
    model.dispose();
    return score;
  }

  /** `sum of weight * iterate`, in float64. */
  function combined(iterates: readonly Float32Array[], weights: readonly number[]): Float64Array {
    const sum = new Float64Array(iterates[0]!.length);
    iterates.forEach((values, k) => values.forEach((value, i) => (sum[i]! += weights[k]! * value)));
    return sum;
  }

  it('scores the last weights and the averages, after bnUpdate', async () => {
    const { outcome, kept } = await execute({ run, images });
    const { iterates } = kept;
    assert.equal(iterates.length, 4);
    const expected = {
      last: iterates[3]!,
      'second half': combined(iterates, [0, 0, 1 / 2, 1 / 2]), // the third and the fourth of four
      'ema 0.5': combined(iterates, [1 / 8, 1 / 8, 1 / 4, 1 / 2]), // the first update copies
    };
    const likelihoods = new Set<string>();
    for (const [take, weights] of Object.entries(expected)) {
      const { error, nll } = await scoreOf(weights, images.test);
      assert.equal(outcome.scores[take]!.error, error, take);
      assertClose([outcome.scores[take]!.nll], [nll], 1e-5);
      likelihoods.add(nll.toFixed(4));
    }
    assert.equal(likelihoods.size, 3, 'all differ');
  });

  it('measures every window, and takes the one that is best on validation', async () => {
    const { outcome, kept } = await execute({ run, images });
    const windows = outcome.windows!;
    assert.deepEqual(
      windows.map(({ segments, count }) => [segments, count]),
      [1, 2, 3, 4].map((k) => [k, k]),
    );
    const averages = [1, 2, 3, 4].map((k) =>
      combined(
        kept.iterates,
        [4, 3, 2, 1].map((age) => (age <= k ? 1 / k : 0)),
      ),
    );
    for (const [i, average] of averages.entries()) {
      for (const on of ['validation', 'test'] as const) {
        const { error, nll } = await scoreOf(average, images[on]);
        const found = windows[i]![on === 'test' ? 'score' : 'validation'];
        assert.equal(found.error, error);
        assertClose([found.nll], [nll], 1e-5);
      }
    }
    const by = (of: 'nll' | 'error') => bestOf(windows, ({ validation }) => validation[of]);
    assert.deepEqual(outcome.scores['window'], by('nll').score);
    assert.deepEqual(outcome.scores['window by error'], by('error').score);
    // What is kept is the one with the lowest loss.
    assertClose(kept.window!, averages[by('nll').segments - 1]!, 1e-6);
  });

  it('takes the lowest, of equal windows the longest, and NaN last', () => {
    const windows = [3, 1, 1, NaN, 2].map((nll, i): Window => {
      const validation = { error: 0, nll };
      return { segments: i + 1, count: i + 1, validation, score: validation };
    });
    const nllOf = ({ validation }: Window): number => validation.nll;
    assert.equal(bestOf(windows, nllOf).segments, 3);
    assert.equal(bestOf(windows.slice(0, 1), nllOf).segments, 1);
    assert.equal(bestOf(windows.slice(3), nllOf).segments, 5);
    assert.equal(bestOf(windows, ({ validation }) => validation.error).segments, 5);
  });

  it("takes ScheduleFree's average, not where it is in training", async () => {
    const free: Run = { ...run, way: 'schedule-free', rate: 1, takes: ['last'] };
    const { outcome, kept } = await execute({ run: free, images });
    // y = 0.1 z + 0.9 x and x = (1 - 1 / n) x' + z / n; from y and x' that gives z, and so x.
    let x = new Float64Array(kept.iterates[0]!.length);
    for (const [i, y] of kept.iterates.entries()) {
      const c = 1 / (i + 1);
      x = x.map((before, k) => {
        const z = (y[k]! - 0.9 * (1 - c) * before) / (0.1 + 0.9 * c);
        return (1 - c) * before + c * z;
      });
    }
    const { error, nll } = await scoreOf(x, images.test);
    assert.equal(outcome.scores['last']!.error, error);
    assertClose([outcome.scores['last']!.nll], [nll], 1e-4);
    const training = await scoreOf(kept.iterates[3]!, images.test);
    assert.isAbove(Math.abs(training.nll - nll), 1e-3);
  });

  it('trains in the way that it names', async () => {
    const iterates = async (way: Run['way'], rate = 0.1) => {
      const of = { ...several, way, rate };
      return (await execute({ run: of, images: severalImages })).kept.iterates;
    };
    const constant = await iterates('constant');
    const decayed = await iterates('decayed');
    const lookahead = await iterates('lookahead');
    assert.deepEqual(decayed.slice(0, 2), constant.slice(0, 2), 'the first half is the same');
    assert.notDeepEqual(decayed[2], constant[2]);
    assert.deepEqual(lookahead[0], decayed[0], '3 steps');
    assert.notDeepEqual(lookahead[1], decayed[1], '6 steps, after the fifth it goes half-way back');
    assert.notDeepEqual((await iterates('cosine'))[0], constant[0], 'falls from the first step on');
    assert.notDeepEqual(await iterates('constant', 0.3), constant);
  });

  it('is the same whatever is asked for, and on validation where that is asked for', async () => {
    const whole = await execute({ run, images });
    const { outcome, kept } = await execute({ run: { ...run, takes: ['last'] }, images });
    assert.deepEqual(outcome.scores, { last: whole.outcome.scores['last']! });
    assert.isNull(outcome.windows);
    assert.isNull(kept.window);
    assert.deepEqual(kept.iterates, whole.kept.iterates);
    const tuning = await execute({ run: { ...run, on: 'validation' }, images });
    for (const { validation, score } of tuning.outcome.windows!)
      assert.deepEqual(score, validation);
    const scores = Object.values(tuning.outcome.scores);
    // 50 images: errors are multiples of 2 %.
    assert.isTrue(scores.every(({ error }) => error % 2 === 0));
    assert.notDeepEqual(tuning.outcome.scores, whole.outcome.scores);
  });

  it('leaves no tensor behind, tells its epochs and counts its processor time', async () => {
    const before = tf.memory().numTensors;
    const epochs: number[] = [];
    const onEpoch = (epoch: number): void => void epochs.push(epoch);
    const { outcome } = await execute({ run, images, onEpoch });
    assert.deepEqual(epochs, [1, 2, 3, 4]);
    assert.equal(tf.memory().numTensors, before);
    assert.hasAllKeys(outcome.seconds, ['training', ...run.takes]);
    assert.isTrue(Object.values(outcome.seconds).every((seconds) => seconds > 0));
  });
});

describe('accuracy benchmark: comparison', () => {
  const tuning: Tuning = { seeds: [1001, 1002], rates: [0.1, 0.3], decays: [0.9, 0.99] };

  /**
   * Errors that follow from way, rate, take and seed; here the best candidates are SWA's window 0.3, by
   * error 0.1, second half 0.1, EMA 0.3 with 0.99, decayed 0.1, cosine 0.3, ScheduleFree 1, Lookahead 0.3.
   */
  const errorOf = (run: Run, take: string): number => {
    const candidates: Record<string, number> = {
      'constant 0.3 window': 17,
      'constant 0.1 window by error': 17.5,
      'constant 0.1 second half': 19,
      'constant 0.3 ema 0.99': 18,
      'decayed 0.1 last': 20,
      'cosine 0.3 last': 21,
      'schedule-free 1 last': 18.5,
      'lookahead 0.3 last': 20.5,
    };
    const base = candidates[[run.way, run.rate, take].join(' ')] ?? 30;
    // Of the two tuning seeds, the two test seeds, and the window's own on the second of those.
    if (run.on === 'validation') return base + (run.seed - 1001.5) * 4;
    return base + run.seed + (take === 'window' && run.seed === 2 ? 1 : 0);
  };
  /** By loss the window of 100 updates is best with seed 1, that of 200 with seed 2; by error 300. */
  const windowsOf = (seed: number): Window[] =>
    [100, 200, 300].map((count, i) => {
      const validation = { error: 30 - i, nll: i + 1 === seed ? 0.5 : 1 };
      return { segments: i + 1, count, validation, score: validation };
    });
  const outcomes = (run: Run): Outcome => ({
    scores: Object.fromEntries(
      run.takes.map((take) => [take, { error: errorOf(run, take), nll: errorOf(run, take) / 10 }]),
    ),
    windows: run.way === 'constant' ? windowsOf(run.seed) : null,
    seconds: Object.fromEntries([['training', 60], ...run.takes.map((take) => [take, 6])]),
  });

  it('runs once what methods share', () => {
    const runs = tuningRuns(EXPERIMENT, tuning);
    // 5 ways, 2 rates, 2 seeds.
    assert.equal(runs.length, 20);
    const constant = runs.find(({ way }) => way === 'constant')!;
    const windows = ['window', 'window by error'];
    assert.sameMembers(constant.takes, [...windows, 'second half', 'ema 0.9', 'ema 0.99']);
    assert.isTrue(runs.every(({ on, seed }) => on === 'validation' && seed > 1000));
    assert.sameMembers(
      runs.filter(({ way, seed }) => way === 'schedule-free' && seed === 1001).map((r) => r.rate),
      [1, 3],
    );
    const test = finalRuns(EXPERIMENT, choose(EXPERIMENT, tuning, outcomes), [1, 2]);
    // constant 0.3 and 0.1, decayed, cosine, ScheduleFree, Lookahead: of two seeds.
    assert.equal(test.length, 12);
    assert.isTrue(test.every(({ on, seed }) => on === 'test' && seed < 3));
    const [first] = test.filter(({ way, rate }) => way === 'constant' && rate === 0.3);
    assert.sameMembers(first!.takes, ['window', 'ema 0.99', 'last']);
  });

  it('chooses on validation, the last iterate at the rate of SWA', () => {
    const choices = choose(EXPERIMENT, tuning, outcomes);
    assert.deepEqual(
      choices.map(({ way, rate, take, validationError }) => [way, rate, take, validationError]),
      [
        ['constant', 0.3, 'window', 17],
        ['constant', 0.1, 'window by error', 17.5],
        ['constant', 0.1, 'second half', 19],
        ['constant', 0.3, 'ema 0.99', 18],
        ['decayed', 0.1, 'last', 20],
        ['cosine', 0.3, 'last', 21],
        ['schedule-free', 1, 'last', 18.5],
        ['lookahead', 0.3, 'last', 20.5],
        ['constant', 0.3, 'last', null],
      ],
    );
    assert.equal(choices[8]!.method, "SWA's last iterate");
  });

  it('never sees test while it chooses', () => {
    const seen: string[] = [];
    choose(EXPERIMENT, tuning, (run) => {
      seen.push(run.on);
      return outcomes(run);
    });
    assert.deepEqual([...new Set(seen)], ['validation']);
  });

  it('compares with SWA, seed by seed', () => {
    const { methods } = compare(EXPERIMENT, tuning, [1, 2], outcomes);
    const [swa, byError, , ema, decayed] = methods;
    // SWA: 17 + 1 and 17 + 2 + 1; decayed: 20 + 1 and 20 + 2; so 3 and 2 more.
    assert.deepEqual(swa!.error.values, [18, 20]);
    assert.deepEqual(decayed!.error.values, [21, 22]);
    assert.deepEqual(decayed!.minusSwa!.error.values, [3, 2]);
    assert.equal(decayed!.minusSwa!.error.mean, 2.5);
    // sd sqrt(1 / 2), t(1) = 12.7062: 2.5 ± 12.7062 * 0.707107 / sqrt(2) = 2.5 ± 6.3531.
    assertClose(decayed!.minusSwa!.error.interval!, [-3.8531, 8.8531], 1e-4);
    assertClose(decayed!.minusSwa!.nll.values, [0.3, 0.2], 1e-12);
    assert.isNull(swa!.minusSwa);
    assert.deepEqual(
      [swa, byError, ema].map((each) => each!.updates),
      [[100, 200], [300, 300], null],
    );
  });

  it('counts the minutes of a method as if it were alone, a shared run once', () => {
    const { methods } = compare(EXPERIMENT, tuning, [1, 2], outcomes);
    const minutes = Object.fromEntries(methods.map(({ method, minutes }) => [method, minutes]));
    // A run 60 s, what is taken from it 6 s each: two seeds 2 (60 + 6) s; tuning of SWA two rates and
    // two seeds; EMA's with two decays.
    const swa = minutes[SWA_NAME]!;
    assertClose([swa.seeds, swa.tuning], [2.2, 4.4], 1e-12);
    assertClose([minutes['EMA']!.seeds, minutes['EMA']!.tuning], [2.2, 4.8], 1e-12);
    assert.equal(minutes["SWA's last iterate"]!.tuning, 0);
  });

  it('says of SWA that it is worse or tied where it is', () => {
    const difference = (...interval: [number, number]) => ({ values: [], mean: 0, interval });
    assert.equal(verdictOf(difference(0.1, 2)), 'better', 'the other one has the higher error');
    assert.equal(verdictOf(difference(-0.1, 2)), 'tied');
    assert.equal(verdictOf(difference(-2, -0.1)), 'worse');
  });

  it('trains with ten seeds none of which it is tuned on', () => {
    for (const quick of [true, false]) {
      for (const { net, epochs, images } of experimentsOf(['dense', 'conv'], quick)) {
        const { seeds } = tuningOf(net, quick);
        assert.isTrue(
          seeds.every((seed) => seed > 100),
          '--seeds goes to 100',
        );
        assert.equal(epochs % 2, 0);
        assert.isAtMost(images.train + images.validation, 4000);
      }
    }
  });

  it('has both kinds of labels, and a budget of three times the other', () => {
    const titles = experimentsOf(['conv'], false).map(titleOf);
    assert.deepEqual(titles, [
      'conv, 20 % random labels, 16 epochs',
      'conv, clean labels, 16 epochs',
      'conv, 20 % random labels, 48 epochs',
      'conv, clean labels, 48 epochs',
    ]);
    assert.equal(new Set(experimentsOf(['dense', 'conv'], false).map(titleOf)).size, 6);
  });
});

describe('accuracy benchmark: the command', () => {
  const RUNS = 'accuracy.runs.jsonl';
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const main = path.join(root, 'benchmarks', 'accuracy.ts');
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-accuracy-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs it, up to where a text is written to stderr, if that is asked for. */
  function run(args: string[], until?: { text: string; signal: NodeJS.Signals }) {
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], { cwd: root });
    let [stdout, stderr, sent] = ['', '', false];
    child.stdout.on('data', (data) => (stdout += String(data)));
    child.stderr.on('data', (data) => {
      stderr += String(data);
      if (!until || sent || !stderr.includes(until.text)) return;
      sent = true;
      child.kill(until.signal);
    });
    return new Promise<{ code: number | null; stdout: string; stderr: string }>(
      (resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => resolve({ code, stdout, stderr }));
      },
    );
  }
  const resultsIn = (out: string) =>
    JSON.parse(readFileSync(path.join(out, 'accuracy.json'), 'utf8')) as {
      command: string;
      machine: { cpu: string; date: string };
      comparisons: Comparison[];
    };
  /** All of them but how long they took. */
  const numbersIn = (out: string) =>
    resultsIn(out).comparisons.map(({ methods, ...others }) => ({
      ...others,
      methods: methods.map(({ minutes: _, ...numbers }) => numbers),
    }));

  it('explains itself with --help', async () => {
    const { code, stdout, stderr } = await run(['--help']);
    assert.deepEqual([code, stderr], [0, '']);
    for (const name of ['seeds', 'net', 'quick', 'out', 'help'])
      assert.include(stdout, `--${name} `);
    assert.isTrue(stdout.split('\n').every((line) => line.length <= 100));
  });

  it('refuses a bad option in one line, with exit code 2, and writes nothing', async () => {
    const out = path.join(folder, 'out');
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    const cases: [string[], string][] = [
      [['--seeds', '1'], 'Invalid --seeds: "1" (expected an integer from 2 to 100)'],
      [['--net', 'lstm'], 'Invalid --net: "lstm" (expected dense or conv)'],
      [['--sneeds', '3'], "Unknown option '--sneeds' (--help lists the options)"],
      [
        ['--out', file],
        `Invalid --out: ${JSON.stringify(file)} (expected a folder, but it is a file)`,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await run(['--net', 'dense', '--out', out, ...args]);
      assert.deepEqual([code, stdout, stderr], [2, '', `accuracy: ${message}\n`]);
    }
    assert.deepEqual(readdirSync(folder), ['file']);
  });

  it('refuses a file of runs that is none, in one line, with exit code 2', async () => {
    const file = path.join(folder, RUNS);
    writeFileSync(file, 'no run\n');
    const { code, stdout, stderr } = await run(['--quick', '--net', 'dense', '--out', folder]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.equal(stderr, `accuracy: ${file} is no file of this benchmark's runs (line 1)\n`);
    assert.equal(readFileSync(file, 'utf8'), 'no run\n');
  });

  it('killed and stopped, goes on with the same command to the same numbers', async function () {
    this.timeout(300_000);
    const quick = ['--quick', '--net', 'dense', '--out'];
    const whole = path.join(folder, 'whole');
    const unbroken = await run([...quick, whole]);
    assert.equal(unbroken.code, 0, unbroken.stderr);

    const out = path.join(folder, 'out');
    const killed = await run([...quick, out], {
      text: 'decayed 0.03, seed 1001',
      signal: 'SIGKILL',
    });
    assert.isNull(killed.code);
    // As a kill in the midst of writing would leave it.
    appendFileSync(path.join(out, RUNS), '{"run":{"experiment":');
    const stopped = await run([...quick, out], { text: ': test\n', signal: 'SIGINT' });
    assert.equal(stopped.code, 130);
    assert.include(
      stopped.stderr,
      '\nStopped by SIGINT; the same command goes on with the run that it was in.\n',
    );
    assert.notInclude(stopped.stderr, 'constant 0.1, seed 1001', 'it was finished');
    const ended = await run([...quick, out]);
    assert.equal(ended.code, 0, ended.stderr);
    assert.notInclude(ended.stderr, 'tuning', 'it was finished');
    assert.deepEqual(numbersIn(out), numbersIn(whole));
    assert.deepEqual(readdirSync(out), ['accuracy.json', RUNS, 'weights'], 'no stray file');

    // And once more: nothing is trained, the same is shown.
    const again = await run([...quick, out]);
    assert.deepEqual([again.code, again.stderr], [0, '']);
    assert.deepEqual(numbersIn(out), numbersIn(whole));

    // What is shown adds up from the numbers of the seeds.
    const { comparisons, command, machine } = resultsIn(whole);
    assert.equal(command, 'npm run bench:accuracy -- --quick --seeds 2 --net dense');
    assert.match(machine.date, /^\d{4}-\d\d-\d\d$/);
    assert.include(unbroken.stdout, tableOf(comparisons));
    checkTable(comparisons);
  });

  it('has recorded results whose table adds up', () => {
    const out = path.join(root, 'benchmarks', 'results');
    const { comparisons, command } = resultsIn(out);
    assert.equal(command, 'npm run bench:accuracy');
    assert.deepEqual(
      comparisons.map(({ experiment }) => experiment),
      experimentsOf(['dense', 'conv'], false),
    );
    for (const { experiment, methods } of comparisons) {
      assert.lengthOf(methods[0]!.error.values, seedsOf(experiment));
    }
    checkTable(comparisons);
  });

  /** Forms every cell of the table again, from the values of the seeds alone. */
  function checkTable(comparisons: Comparison[]): void {
    const rows = tableOf(comparisons)
      .split('\n')
      .slice(2)
      .map((line) => line.split('|').map((cell) => cell.trim()));
    const signed = (value: number, digits: number) =>
      `${value > 0 ? '+' : ''}${value.toFixed(digits)}`;
    for (const { experiment, methods } of comparisons) {
      const names = methods.map(({ method }) => method);
      assert.deepEqual(
        names,
        methodsOf(experiment).map(({ name }) => name),
      );
      const swa = methods.find(({ method }) => method === SWA_NAME)!;
      for (const result of methods) {
        const [, , method, , error, errorMinus, nll, nllMinus, verdict] = rows.shift()!;
        assert.equal(method, result.method);
        const verdicts: string[] = [];
        for (const [of, digits, cell, minus] of [
          ['error', 2, error, errorMinus],
          ['nll', 3, nll, nllMinus],
        ] as const) {
          const { values } = result[of];
          const text = `${mean(values).toFixed(digits)} ± ${standardDeviation(values)!.toFixed(digits)}`;
          assert.equal(cell, text);
          if (result === swa) continue;
          const differences = values.map((value, k) => value - swa[of].values[k]!);
          const [low, high] = interval95(differences)!;
          const ends = `[${signed(low, digits)}, ${signed(high, digits)}]`;
          assert.equal(minus, `${signed(mean(differences), digits)} ${ends}`);
          verdicts.push(low > 0 ? 'better' : high < 0 ? 'worse' : 'tied');
        }
        assert.equal(verdict, verdicts.join(', '));
      }
    }
    assert.deepEqual(rows, []);
  }

  it('keeps what was finished out of the way of another number of seeds', async function () {
    this.timeout(120_000);
    const args = ['--quick', '--net', 'dense', '--out', folder];
    const two = await run(args);
    assert.equal(two.code, 0, two.stderr);
    const first = resultsIn(folder).comparisons[0]!.methods[0]!.error.values;
    const three = await run([...args, '--seeds', '3']);
    assert.equal(three.code, 0, three.stderr);
    assert.notInclude(three.stderr, 'seed 2,');
    assert.include(three.stderr, 'seed 3,');
    const values = resultsIn(folder).comparisons[0]!.methods[0]!.error.values;
    assert.deepEqual(values.slice(0, 2), first);
    assert.lengthOf(values, 3);
    assert.isTrue(existsSync(path.join(folder, RUNS)));
  });
});
