/** The parts of `npm run parallel`, without Redis: a job, the merge, the order of a run, its options. */
import { assert } from 'chai';
import fc from 'fast-check';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadStateDict, saveStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import type { Images } from '../../examples/demo/data.js';
import { UsageError } from '../../examples/demo/options.js';
import { loadImages } from '../../examples/demo/read_images.js';
import { runSeed } from '../../examples/parallel/coordinator.js';
import { OrderedMerge } from '../../examples/parallel/merge.js';
import { parseOptions, type ParallelOptions } from '../../examples/parallel/options.js';
import type { Job, JobQueue } from '../../examples/parallel/queue.js';
import { tableOf, type SeedResult } from '../../examples/parallel/report.js';
import { LocalRun, type WorkerState } from '../../examples/parallel/run.js';
import { doJob, type Listener } from '../../examples/parallel/train.js';
import { assertFails } from '../support/support.js';

const quiet: Listener = { onEpoch: async () => {}, onStep: () => {} };

/** The images, cut short. */
async function images(tests: number): Promise<{ train: Images; test: Images }> {
  const { train, test } = await loadImages();
  const pixels = test.pixels.subarray(0, tests * 196);
  return { train, test: { count: tests, labels: test.labels.subarray(0, tests), pixels } };
}

describe('parallel: merging', () => {
  const tensor = (...values: number[]): TensorData => ({
    name: 'w',
    dtype: 'float32',
    shape: [values.length],
    values: Float32Array.from(values),
  });
  const stateOf = (id: string, x: number[], examples: number): WorkerState => ({
    ...{ version: 1, id, epoch: 1, examples, loss: 0, model: [tensor(...x)] },
    swa: {
      opt_state: { '0': [] },
      swa_state: { '0': { swa_buffer: tensor(...x) } },
      param_groups: [
        {
          ...{ params: [0], param_names: ['w'], lr: 0.1, n_avg: 1, step_counter: 1 },
          ...{ swapped: false, avg_fn: 'swa' },
        },
      ],
    },
  });
  const like = { model: [tensor(0, 0)], average: [tensor(0, 0)] };

  it('weighs by examples, and counts what comes twice once', async () => {
    const merge = new OrderedMerge(['a', 'b'], 1, like);
    for (const id of ['b', 'a', 'b', 'a']) {
      await merge.put(id, () => stateOf(id, id === 'a' ? [1, 2] : [5, 10], id === 'a' ? 3 : 1));
    }
    // (3 * 1 + 5) / 4 = 2, (3 * 2 + 10) / 4 = 4
    const { average, last, members } = await merge.result();
    assert.deepEqual([...average![0]!.values], [2, 4]);
    assert.deepEqual([...last![0]!.values], [2, 4]);
    assert.deepEqual(members, ['a', 'b']);
  });

  it('gives the same bits in whatever order they come, with one state in memory', async () => {
    const value = fc.float({ noNaN: true, noDefaultInfinity: true });
    const part = fc.record({
      x: fc.tuple(value, value),
      examples: fc.integer({ min: 1, max: 99 }),
    });
    const parts = fc.array(part, { minLength: 1, maxLength: 8 });
    const inOrder = parts.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray([...list.keys()], { minLength: list.length }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(inOrder, async ([list, order]) => {
        const ids = list.map((_, i) => `worker ${i}`);
        const merged = async (places: readonly number[]) => {
          const merge = new OrderedMerge(ids, 1, like);
          let loaded = 0;
          for (const i of places) {
            const waits = places.indexOf(i) + 1;
            await merge.put(ids[i]!, () => {
              loaded += 1;
              return stateOf(ids[i]!, list[i]!.x, list[i]!.examples);
            });
            // Loaded are those that no earlier one is missing of.
            const here = new Set(places.slice(0, waits));
            let whole = 0;
            while (here.has(whole)) whole += 1;
            assert.equal(loaded, whole);
          }
          return merge.result();
        };
        const inAnyOrder = await merged(order);
        assert.deepEqual(inAnyOrder.members, ids);
        assert.deepEqual(inAnyOrder, await merged([...list.keys()]));
      }),
    );
  });

  it('names who is left out, and why; whoever cannot be loaded too', async () => {
    const broken: Record<string, (state: WorkerState) => unknown> = {
      a: (state) => (state.version = 2),
      b: (state) => (state.model[0]!.values[1] = NaN),
      c: (state) => (state.swa.swa_state['0']!.swa_buffer.values[0] = -Infinity),
      d: (state) => (state.model = [tensor(1)]),
      e: (state) => (state.swa.swa_state = {}),
      f: (state) => (state.swa.swa_state['0']!.swa_buffer = tensor(1)),
      g: (state) => (state.id = 'h'),
      h: (state) => (state.epoch = 2),
      i: (state) => (state.examples = 0),
      j: () => assert.fail('it is lost'),
    };
    const ids = [...Object.keys(broken), 'z'];
    const merge = new OrderedMerge(ids, 1, like);
    for (const id of ids) {
      await merge.put(id, () => {
        const state = stateOf(id, [1, 2], 1);
        broken[id]?.(state);
        return state;
      });
    }
    const { members, leftOut, average } = await merge.result();
    assert.deepEqual(members, ['z']);
    assert.deepEqual([...average![0]!.values], [1, 2]);
    assert.deepEqual(
      leftOut.map(({ id, reason }) => `${id}: ${reason}`),
      [
        'a: it is of version 2, not 1',
        'b: its weights are not finite: w',
        'c: its weights are not finite: w',
        'd: the shapes of its weights are others: float32 [1], not float32 [2]',
        'e: Invalid state.swa_state[0]: undefined (expected a record)',
        'f: the shapes of its average are others: float32 [1], not float32 [2]',
        'g: it is the state of h',
        'h: it has 2 epochs, not 1',
        'i: it has 0 examples',
        'j: it is lost',
      ],
    );
  });

  it('says who has not come, and refuses a stranger', async () => {
    const merge = new OrderedMerge(['a', 'b'], 1, like);
    await merge.put('b', () => stateOf('b', [1, 2], 1));
    await assertFails(() => merge.result(), 'Not all are there: a, b');
    assert.throws(() => void merge.put('c', () => stateOf('c', [1, 2], 1)), /^Invalid id: c /);
  });
});

describe('parallel: a job', () => {
  let out: string;
  beforeEach(() => (out = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-job-'))));
  afterEach(() => rmSync(out, { recursive: true }));

  const job: Job = {
    ...{ id: 'job', seed: 1, order: 7, part: [0, 128], epochs: 3, from: null, kill: null },
  };
  const stateIn = (name = 'epoch-0003.safetensors') =>
    loadStateDict<WorkerState>(fileSystem(path.join(out, 'job', name)));
  /** Without the variables' names, which tfjs-layers numbers through from model to model. */
  const values = ({ model, swa, ...rest }: WorkerState) => ({
    ...rest,
    model: model.map((weight) => weight.values),
    averages: Object.values(swa.swa_state).map(({ swa_buffer }) => swa_buffer.values),
    slots: Object.values(swa.opt_state).map((list) => list.map((slot) => slot.values)),
    groups: swa.param_groups.map(({ param_names: _, ...group }) => group),
  });

  /** Does the job as far as a step, as a process that is killed there does. */
  async function killedAt(epoch: number, step: number): Promise<void> {
    const { train } = await images(1);
    const onStep = (e: number, s: number) => {
      if (e === epoch && s === step) throw new Error('killed');
    };
    await assertFails(() => doJob(job, out, train, { ...quiet, onStep }), 'killed');
  }

  it('ends the same, bit for bit, wherever a process was killed', async () => {
    const { train } = await images(1);
    assert.equal((await doJob(job, out, train, quiet)).resumed, 0);
    const unbroken = values(await stateIn());
    assert.equal(unbroken.groups[0]!.n_avg, 6, '128 images are 2 steps an epoch');
    for (const [epoch, step] of [
      [1, 1],
      [2, 1],
      [3, 2],
    ] as const) {
      rmSync(path.join(out, 'job'), { recursive: true });
      await killedAt(epoch, step);
      const { file, resumed } = await doJob(job, out, train, quiet);
      assert.equal(resumed, epoch - 1);
      assert.equal(file, 'job/epoch-0003.safetensors');
      assert.deepEqual(values(await stateIn()), unbroken, `killed in epoch ${epoch}`);
    }
    assert.deepEqual(readdirSync(path.join(out, 'job')), ['epoch-0003.safetensors']);
  });

  it('begins anew where a checkpoint is damaged, of another job or of another version', async () => {
    const { train } = await images(1);
    await doJob(job, out, train, quiet);
    const unbroken = values(await stateIn());
    writeFileSync(path.join(out, 'job/epoch-0003.safetensors'), 'nothing');
    assert.equal((await doJob(job, out, train, quiet)).resumed, 0);
    assert.deepEqual(values(await stateIn()), unbroken);
    const place = fileSystem(path.join(out, 'job/epoch-0003.safetensors'));
    for (const other of [{ id: 'another' }, { version: 0 }]) {
      await saveStateDict(place, { ...(await stateIn()), ...other });
      assert.equal((await doJob(job, out, train, quiet)).resumed, 0);
      assert.deepEqual(values(await stateIn()), unbroken);
    }
  });

  it('has a data order of its own', async () => {
    const { train } = await images(1);
    await doJob({ ...job, epochs: 1 }, out, train, quiet);
    const first = values(await stateIn('epoch-0001.safetensors'));
    rmSync(path.join(out, 'job'), { recursive: true });
    await doJob({ ...job, epochs: 1, order: 8 }, out, train, quiet);
    assert.notDeepEqual(values(await stateIn('epoch-0001.safetensors')), first);
  });

  it('begins with the weights that it is given', async () => {
    const { train } = await images(1);
    const first = new LocalRun(job, train, null);
    await first.advance();
    const { model } = await first.state();
    first.dispose();
    const second = new LocalRun({ ...job, seed: 2 }, train, model);
    const given = (await second.state()).model;
    second.dispose();
    assert.deepEqual(
      given.map((weight) => weight.values),
      model.map((weight) => weight.values),
    );
  });
});

describe('parallel: the order of a run', () => {
  let out: string;
  beforeEach(() => (out = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-run-'))));
  afterEach(() => rmSync(out, { recursive: true }));

  /** Runs a seed with a queue that does each job at once. */
  async function runWith(options: Partial<ParallelOptions>) {
    const { train, test } = await images(100);
    const jobs: Job[] = [];
    const queue: Pick<JobQueue, 'finish'> = {
      async finish(list, _, __, onEnd) {
        jobs.push(...list);
        for (const job of [...list].reverse()) {
          const result = await doJob(job, out, train, quiet);
          await onEnd({ id: job.id, result, started: 1000, ended: 3000 });
        }
      },
    };
    const all = { ...(parseOptions(['--quick']) as ParallelOptions), images: 192, ...options };
    const task = { options: all, out, train, test, queue, killed: 'seed1-round1-worker2' };
    const { signal } = new AbortController();
    const result = await runSeed(1, { ...task, signal, onNews: () => {} });
    return { jobs, result };
  }

  it('is a start, rounds that begin where the one before was merged, and one alone', async () => {
    const { jobs, result } = await runWith({ workers: 2, rounds: 2, epochs: 1 });
    const start = 'seed1-start/epoch-0001.safetensors';
    const told = jobs.map(({ id, from, epochs, part, kill }) => [id, from, epochs, part, kill]);
    const all: Job['part'] = [0, 192];
    assert.deepEqual(told, [
      ['seed1-start', null, 1, all, null],
      ['seed1-round1-worker1', start, 1, all, null],
      ['seed1-round1-worker2', start, 1, all, { epoch: 2, step: 2 }],
      ['seed1-round2-worker1', 'seed1-round1.safetensors', 1, all, null],
      ['seed1-round2-worker2', 'seed1-round1.safetensors', 1, all, null],
      ['seed1-alone', start, 4, all, null],
    ]);
    assert.lengthOf(new Set(jobs.map(({ order }) => order)), jobs.length, 'orders of their own');
    // In the order of ids, though the second ended first.
    assert.deepEqual(
      result.members,
      jobs.slice(1, 5).map(({ id }) => id),
    );
    // Each round from 1 s to 3 s.
    assert.deepEqual(result.seconds, { parallel: 4, alone: 2 });
  });

  it('gives each worker its share, and the one alone as many steps as all have together', async () => {
    const { jobs } = await runWith({ workers: 2, split: true, epochs: 1 });
    assert.deepEqual(
      jobs.map(({ part, epochs }) => [...part, epochs]),
      [
        [0, 192, 1],
        [0, 64, 1],
        [64, 192, 1],
        [0, 192, 1],
      ],
    );
  });
});

describe('parallel: options and table', () => {
  it('takes what is asked for, and else what is usual or quick', () => {
    const read = (...args: string[]) => parseOptions(args) as ParallelOptions;
    assert.equal(parseOptions(['--help']), 'help');
    assert.include(read(), { workers: 8, start: 10, epochs: 2, seeds: 3, images: 4000 });
    const quick = read('--quick', '--workers', '5', '--kill', '--out', 'x');
    assert.include(quick, { workers: 5, epochs: 2, seeds: 1, kill: true, split: false, out: 'x' });
  });

  it('refuses the rest in words', () => {
    for (const [args, message] of [
      [['--epochs', '0'], /^Invalid --epochs: "0" \(expected an integer from 1 to 1000\)$/],
      [
        ['--kill', '--epochs', '1'],
        /^Invalid --epochs: "1" \(expected an integer from 2 to 1000\)$/,
      ],
      [['--split', '--workers', '9', '--images', '500'], /^Invalid --images: "500" .* from 576 to/],
      [['--rounds', '-1'], /^Invalid --rounds: "-1" /],
      [['--worker', '3'], /^Unknown option '--worker' /],
    ] as const) {
      assert.throws(() => parseOptions(args), UsageError, message);
    }
  });

  it('shows means over seeds, and who was left out', () => {
    const result = (seed: number, error: number, there: boolean): SeedResult => ({
      ...{ seed, merged: { last: 3, average: error }, members: [], leftOut: [], digest: '' },
      workers: [{ last: error + 4, average: error + 1 }, there ? { last: 1, average: 2 } : null],
      alone: { last: error + 3, average: error + 2 },
      seconds: { parallel: 1.5, alone: 2.5 },
    });
    // Means and sample standard deviations: 16, 18 are 17 ± 1.41.
    const table = tableOf([result(1, 16, true), result(2, 18, false)], {
      ...{ workers: 2, concurrency: 2 },
    });
    assert.deepEqual(table.split('\n'), [
      'test error (%), 2 seeds                 last weights      average',
      '-'.repeat(72),
      'worker 1                                21.00 ± 1.41      18.00 ± 1.41',
      'worker 2                                1.00              2.00',
      'merged, 2 workers                       3.00 ± 0.00       17.00 ± 1.41',
      'one worker, as many epochs              20.00 ± 1.41      19.00 ± 1.41',
      '',
      'training, 2 at a time: 3.0 s; the same epochs one after another: 5.0 s',
    ]);
  });
});
