import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  METHODS,
  splitOf,
  tuningOf,
  type Experiment,
  type Tuning,
} from '../../benchmarks/accuracy/experiments.js';
import {
  execute,
  rateOf,
  type Outcome,
  type Run,
  type RunState,
} from '../../benchmarks/accuracy/run.js';
import type { Images } from '../../examples/demo/data.js';
import { evaluate, reestimate, restore } from '../../examples/demo/model.js';
import { assignWeights, type TensorData } from '../../lib/index.js';
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
    const rates = (schedule: Run['schedule']) => steps.map(rateOf(schedule, 0.4, 8));
    assert.deepEqual(rates('constant'), new Array<number>(9).fill(0.4));
    // Constant for 4 steps, then down by a quarter of 0.4 each.
    assertClose(rates('decayed'), [0.4, 0.4, 0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0], 1e-12);
    // Constant for 2 steps, in the next two down to a quarter of it.
    assertClose(
      rates('annealed 0.25'),
      [0.4, 0.4, 0.4, 0.25, ...Array<number>(5).fill(0.1)],
      1e-12,
    );
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
  const images = splitOf(EXPERIMENT, 3, ALL);
  const run: Run = {
    experiment: EXPERIMENT,
    seed: 3,
    schedule: 'constant',
    rate: 0.1,
    takes: ['last', 'best', 'swa', 'ema 0.5'],
    on: 'test',
  };

  /** An outcome, and the states after the epochs. */
  async function statesOf(of: Run, from: RunState | null = null) {
    const states: RunState[] = [];
    const onEpoch = async (_: number, __: number, state: () => Promise<RunState>) => {
      states.push(structuredClone(await state()));
    };
    return { outcome: await execute({ run: of, images, from, onEpoch }), states };
  }
  const weightsOf = ({ model }: Pick<RunState, 'model'>): Float32Array[] =>
    model.map(({ values }) => values as Float32Array);

  const isData = (weights: Float32Array[] | TensorData[]): weights is TensorData[] =>
    'name' in weights[0]!;

  it('scores the last weights, the best ones, and the averages after bnUpdate', async () => {
    const { outcome, states } = await statesOf(run);
    assert.equal(states.length, 4);
    const model = createNet(EXPERIMENT, 3);
    const at = async (weights: Float32Array[] | TensorData[], on: Images, anew = false) => {
      if (isData(weights)) assignWeights(model, weights);
      else restore(model, weights);
      if (anew) await reestimate(model, images.train);
      return evaluate(model, on);
    };

    assert.deepEqual(outcome.scores['last'], await at(weightsOf(states[3]!), images.test));

    const errors: number[] = [];
    for (const state of states) {
      errors.push((await at(weightsOf(state), images.validation)).error);
    }
    const best = errors.indexOf(Math.min(...errors));
    assert.equal(outcome.bestEpoch, best + 1);
    assert.deepEqual(outcome.scores['best'], await at(weightsOf(states[best]!), images.test));

    // The ends of the third and the fourth epoch of four.
    const [third, fourth] = [weightsOf(states[2]!), weightsOf(states[3]!)];
    const average = third.map((w, i) => w.map((value, j) => (value + fourth[i]![j]!) / 2));
    const swa = await at(average, images.test, true);
    assert.equal(outcome.scores['swa']!.error, swa.error);
    assertClose([outcome.scores['swa']!.nll], [swa.nll], 1e-5);
    assert.notEqual(swa.nll, outcome.scores['last']!.nll);

    const { module, n_averaged } = states[3]!.averages['ema 0.5']!;
    assert.equal(n_averaged, 4 * 3, 'every step: 3 of up to 64 images an epoch');
    const ema = await at(module, images.test, true);
    assertClose([outcome.scores['ema 0.5']!.nll], [ema.nll], 1e-5);
    model.dispose();
  });

  for (const schedule of ['constant', 'decayed', 'cosine', 'annealed 0.2'] as const) {
    it(`is the same from any epoch on, ${schedule}`, async () => {
      const whole = await statesOf({ ...run, schedule });
      for (const [i, state] of whole.states.entries()) {
        const { outcome } = await statesOf({ ...run, schedule }, state);
        assert.deepEqual(outcome.scores, whole.outcome.scores, `from epoch ${i + 1}`);
        assert.equal(outcome.bestEpoch, whole.outcome.bestEpoch);
      }
    });
  }

  it('keeps the first of weights that are equally good', async () => {
    const bests: number[] = [];
    // Labels of a class that the net does not know: 100 % wrong, always.
    const labels = new Uint8Array(50).fill(10);
    const validation = { ...images.validation, labels };
    await execute({
      run: { ...run, takes: ['best'] },
      images: { ...images, validation },
      from: null,
      onEpoch: async (_, __, state) => void bests.push((await state()).best!.epoch),
    });
    assert.deepEqual(bests, [1, 1, 1, 1]);
  });

  it('is the same whatever is asked for, and on validation where that is asked for', async () => {
    const whole = await statesOf(run);
    const { outcome } = await statesOf({ ...run, takes: ['last'] });
    assert.deepEqual(outcome.scores, { last: whole.outcome.scores['last']! });
    assert.isNull(outcome.bestEpoch);
    const tuning = await statesOf({ ...run, takes: ['best'], on: 'validation' });
    // 50 images: the best error is one of multiples of 2 %, and that which was kept.
    const { error } = tuning.outcome.scores['best']!;
    assert.equal(error, tuning.states[3]!.best!.error);
    const decayed = await statesOf({ ...run, schedule: 'decayed', takes: ['last'] });
    assert.deepEqual(weightsOf(decayed.states[1]!), weightsOf(whole.states[1]!), 'shared half');
    assert.notDeepEqual(weightsOf(decayed.states[2]!), weightsOf(whole.states[2]!));
  });

  it('leaves no tensor behind, and counts its processor time', async () => {
    const before = tf.memory().numTensors;
    const { outcome } = await statesOf(run);
    assert.equal(tf.memory().numTensors, before);
    assert.hasAllKeys(outcome.seconds, ['training', 'last', 'best', 'swa', 'ema 0.5']);
    assert.isTrue(Object.values(outcome.seconds).every((seconds) => seconds >= 0));
    assert.equal(outcome.seconds['last'], 0);
  });
});

describe('accuracy benchmark: comparison', () => {
  const tuning: Tuning = {
    seeds: [1001, 1002],
    rates: [0.1, 0.3],
    decays: [0.9, 0.99],
    lengths: [2, 4],
  };

  /**
   * Errors that follow from length, schedule, rate, take and seed; here the best candidates are decayed
   * 0.1, cosine 0.3, stopped early cosine 0.3, sooner 2 epochs 0.3, EMA 0.3 with 0.99, SWA 0.3, and
   * annealed 0.1 to a fifth.
   */
  const errorOf = (run: Run, take: string): number => {
    const candidates: Record<string, number> = {
      '4 decayed 0.1 last': 20,
      '4 cosine 0.3 last': 21,
      '4 cosine 0.3 best': 19,
      '2 decayed 0.3 last': 18.5,
      '4 constant 0.3 ema 0.99': 18,
      '4 constant 0.3 swa': 17,
      '4 annealed 0.2 0.1 swa': 16,
    };
    const what = [run.experiment.epochs, run.schedule, run.rate, take].join(' ');
    const base = candidates[what] ?? 30;
    // Of the two tuning seeds, the two test seeds, and SWA's own on the second of those.
    if (run.on === 'validation') return base + (run.seed - 1001.5) * 4;
    return base + run.seed + (take === 'swa' && run.seed === 2 ? 1 : 0);
  };
  const outcomes = (run: Run): Outcome => ({
    scores: Object.fromEntries(
      run.takes.map((take) => [take, { error: errorOf(run, take), nll: errorOf(run, take) / 10 }]),
    ),
    bestEpoch: run.takes.includes('best') ? run.seed + 5 : null,
    seconds: Object.fromEntries([['training', 60], ...run.takes.map((take) => [take, 6])]),
  });

  it('runs once what methods share', () => {
    const runs = tuningRuns(EXPERIMENT, tuning);
    // 5 schedules and a shorter one, 2 rates, 2 seeds.
    assert.equal(runs.length, 24);
    const constant = runs.find(({ schedule }) => schedule === 'constant')!;
    assert.sameMembers(constant.takes, ['best', 'swa', 'ema 0.9', 'ema 0.99']);
    assert.isTrue(runs.every(({ on, seed }) => on === 'validation' && seed > 1000));
    const test = finalRuns(EXPERIMENT, choose(EXPERIMENT, tuning, outcomes), [1, 2]);
    // decayed 0.1, cosine 0.3, decayed sooner 0.3 and 0.1, constant 0.3, annealed 0.1: of two seeds.
    assert.equal(test.length, 12);
    assert.isTrue(test.every(({ on, seed }) => on === 'test' && seed < 3));
    assert.sameMembers(test.find(({ schedule }) => schedule === 'cosine')!.takes, ['last', 'best']);
  });

  it('chooses on validation, the last iterate at the rate of SWA', () => {
    const choices = choose(EXPERIMENT, tuning, outcomes);
    assert.deepEqual(
      choices.map(({ epochs, schedule, rate, take, validationError }) => {
        return [epochs, schedule, rate, take, validationError];
      }),
      [
        [4, 'decayed', 0.1, 'last', 20],
        [4, 'cosine', 0.3, 'last', 21],
        [4, 'cosine', 0.3, 'best', 19],
        [2, 'decayed', 0.3, 'last', 18.5],
        [2, 'decayed', 0.1, 'last', null],
        [4, 'constant', 0.3, 'ema 0.99', 18],
        [4, 'constant', 0.3, 'swa', 17],
        [4, 'annealed 0.2', 0.1, 'swa', 16],
        [4, 'constant', 0.3, 'last', null],
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
    const [decayed, , early, sooner, , ema, swa] = methods;
    // SWA: 17 + 1 and 17 + 2 + 1; decayed: 20 + 1 and 20 + 2; so 3 and 2 more.
    assert.deepEqual(swa!.error.values, [18, 20]);
    assert.deepEqual(decayed!.error.values, [21, 22]);
    assert.deepEqual(decayed!.minusSwa!.error.values, [3, 2]);
    assert.equal(decayed!.minusSwa!.error.mean, 2.5);
    // sd sqrt(1 / 2), t(1) = 12.7062: 2.5 ± 12.7062 * 0.707107 / sqrt(2) = 2.5 ± 6.3531.
    assertClose(decayed!.minusSwa!.error.interval!, [-3.8531, 8.8531], 1e-4);
    assertClose(decayed!.minusSwa!.nll.values, [0.3, 0.2], 1e-12);
    assert.isNull(swa!.minusSwa);
    assert.deepEqual([early!.bestEpochs, ema!.bestEpochs], [[6, 7], null]);
    assert.deepEqual(sooner!.error.values, [19.5, 20.5]);
  });

  it('counts the minutes of a method as if it were alone, a shared run once', () => {
    const { methods } = compare(EXPERIMENT, tuning, [1, 2], outcomes);
    const minutes = Object.fromEntries(methods.map(({ method, minutes }) => [method, minutes]));
    // A run 60 s, what is taken from it 6 s each: two seeds 2 (60 + 6) s; tuning of SWA two rates and
    // two seeds; EMA's with two decays; that of early stopping with three schedules.
    assertClose([minutes['SWA']!.seeds, minutes['SWA']!.tuning], [2.2, 4.4], 1e-12);
    assertClose([minutes['EMA']!.seeds, minutes['EMA']!.tuning], [2.2, 4.8], 1e-12);
    assertClose([minutes['SGD, stopped early']!.tuning], [13.2], 1e-12);
    assertClose([minutes['SGD, decayed sooner']!.tuning], [8.8], 1e-12); // two lengths
    assertClose([minutes['SWA, annealed']!.tuning], [8.8], 1e-12); // to two fractions
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
        const { seeds, lengths } = tuningOf(net, quick);
        assert.isTrue(
          seeds.every((seed) => seed > 100),
          '--seeds goes to 100',
        );
        assert.isTrue(lengths.every((length) => length % 2 === 0 && length <= epochs));
        assert.equal(lengths.at(-1), epochs);
        assert.isAtMost(images.train + images.validation, 4000);
      }
    }
  });
});

describe('accuracy benchmark: the command', () => {
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

  it('refuses a checkpoint that is none, in one line, with exit code 2', async () => {
    const file = path.join(folder, 'accuracy.checkpoint');
    writeFileSync(file, 'not a checkpoint');
    const { code, stdout, stderr } = await run(['--quick', '--net', 'dense', '--out', folder]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^accuracy: Cannot load .*accuracy\.checkpoint: [^\n]+\n$/);
    assert.equal(readFileSync(file, 'utf8'), 'not a checkpoint');
  });

  it('killed and stopped, goes on with the same command to the same numbers', async function () {
    this.timeout(300_000);
    const quick = ['--quick', '--net', 'dense', '--out'];
    const whole = path.join(folder, 'whole');
    const unbroken = await run([...quick, whole]);
    assert.equal(unbroken.code, 0, unbroken.stderr);

    const out = path.join(folder, 'out');
    const checkpoint = path.join(out, 'accuracy.checkpoint');
    const killed = await run([...quick, out], {
      text: 'run 3/10: cosine 0.03, seed 1001, epoch 1/2',
      signal: 'SIGKILL',
    });
    assert.isNull(killed.code);
    const stopped = await run([...quick, out], {
      text: 'clean labels: test\n',
      signal: 'SIGINT',
    });
    assert.equal(stopped.code, 130);
    assert.include(
      stopped.stderr,
      `\nStopped by SIGINT; the same command goes on from ${checkpoint}.\n`,
    );
    const [noisy] = stopped.stderr.split('clean labels');
    assert.notInclude(noisy, 'run 2/10: decayed 0.1, seed 1001', 'it was finished');
    // The epoch in which the kill came is trained again, or was just saved.
    assert.match(stopped.stderr, /resumed after epoch [12]\n/);
    const ended = await run([...quick, out]);
    assert.equal(ended.code, 0, ended.stderr);
    assert.notInclude(ended.stderr, '20 % random labels', 'it was finished');
    assert.deepEqual(numbersIn(out), numbersIn(whole));
    assert.deepEqual(readdirSync(out), ['accuracy.checkpoint', 'accuracy.json'], 'no stray file');

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
    assert.equal(command, 'npm run bench:accuracy -- --seeds 10');
    for (const { methods } of comparisons) assert.lengthOf(methods[0]!.error.values, 10);
    checkTable(comparisons);
  });

  /** Forms every cell of the table again, from the values of the seeds alone. */
  function checkTable(comparisons: Comparison[]): void {
    const rows = tableOf(comparisons)
      .split('\n')
      .slice(2)
      .map((line) => line.split('|').map((cell) => cell.trim()));
    assert.equal(rows.length, comparisons.length * METHODS.length);
    const signed = (value: number, digits: number) =>
      `${value > 0 ? '+' : ''}${value.toFixed(digits)}`;
    for (const [i, { methods }] of comparisons.entries()) {
      const swa = methods.find(({ method }) => method === 'SWA')!;
      for (const [j, result] of methods.entries()) {
        const [, , method, , error, errorMinus, nll, nllMinus, verdict] =
          rows[i * METHODS.length + j]!;
        assert.equal(method, METHODS[j]!.name);
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
    assert.isTrue(existsSync(path.join(folder, 'accuracy.checkpoint')));
  });
});
