/** `npm run parallel` on a real Redis: nothing is lost, nothing counts twice, whoever is killed. */
import { assert } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { loadStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import type { RunResult } from '../../examples/parallel/session.js';
import type { WorkerState } from '../../examples/parallel/run.js';

const root = path.join(import.meta.dirname, '../..');
const MAIN = path.join(root, 'examples/parallel/main.ts');
const SMALL = ['--quick', '--epochs', '3', '--concurrency', '2'];

/** A coordinator in a process of its own. */
interface Coordinator {
  child: ChildProcess;
  /** What it said so far. */
  said: () => { stdout: string; stderr: string };
  /** Waits until it said something on stderr. */
  until: (text: string | RegExp) => Promise<void>;
  /** Waits for its end; the status or the signal. */
  ended: Promise<number | string>;
}

describe('npm run parallel', function () {
  this.timeout(240_000);
  let folder: string;
  let unbroken: RunResult;
  const running = new Set<ChildProcess>();

  function start(args: readonly string[], env: Record<string, string> = {}): Coordinator {
    const worker = path.join(import.meta.dirname, 'parallel_child.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...args], {
      cwd: root,
      env: { ...process.env, PARALLEL_WORKER: worker, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const said = { stdout: '', stderr: '' };
    child.stdout.on('data', (text) => (said.stdout += String(text)));
    child.stderr.on('data', (text) => (said.stderr += String(text)));
    const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number);
    void ended.then(() => running.delete(child));
    const until = async (text: string | RegExp): Promise<void> => {
      while (!(typeof text === 'string' ? said.stderr.includes(text) : text.test(said.stderr))) {
        if (!running.has(child)) assert.fail(`It ended without ${text}:\n${said.stderr}`);
        await pause(10);
      }
    };
    return { child, ended, until, said: () => said };
  }

  /** Runs it to its end, which has to be a good one. */
  async function run(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const { ended, said } = start(args, env);
    const status = await ended;
    assert.equal(status, 0, said().stderr);
    return said().stdout;
  }

  const out = (name: string) => path.join(folder, name);
  const small = (name: string) => [...SMALL, '--out', out(name)];
  const resultsIn = (name: string) =>
    JSON.parse(readFileSync(path.join(out(name), 'results.json'), 'utf8')) as RunResult;
  /** The result without what depends on the clock. */
  const numbersIn = (name: string) =>
    resultsIn(name).seeds.map(({ seconds: _, ...numbers }) => numbers);
  const last = (text: string) => text.trimEnd().split('\n').at(-1)!;
  const stateIn = (name: string, file: string) =>
    loadStateDict<WorkerState>(fileSystem(path.join(out(name), file)));

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-parallel-'));
    const said = await run(small('unbroken'));
    assert.match(last(said), /^merged 3 of 3, 0 killed; /);
    unbroken = resultsIn('unbroken');
  });

  after(() => {
    for (const child of running) child.kill('SIGKILL');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((name) => name.endsWith('redis.pid'))) {
      process.kill(Number(readFileSync(path.join(folder, file), 'utf8')), 'SIGKILL');
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const pidFile = (name: string) => path.join(out(name), 'redis/redis.pid');

  it('merges what the workers made, in float64, each with its data order', async () => {
    const [seed] = unbroken.seeds;
    assert.deepEqual(seed!.members, [1, 2, 3].map((k) => `seed1-round1-worker${k}`)); // prettier-ignore
    assert.deepEqual(seed!.leftOut, []);
    const states = await Promise.all(
      [1, 2, 3].map((k) => stateIn('unbroken', `seed1-round1-worker${k}/epoch-0003.safetensors`)),
    );
    const averages = states.map(({ swa }) =>
      Object.values(swa.swa_state).map(({ swa_buffer }) => swa_buffer.values),
    );
    assert.notDeepEqual(averages[0], averages[1]);
    // 640 images are 10 steps an epoch, all of which are averaged.
    assert.deepEqual(
      states.map(({ swa }) => swa.param_groups[0]!.n_avg),
      [30, 30, 30],
    );
    const merged = await stateIn('unbroken', 'seed1-round1.safetensors');
    const trained = merged.model.filter(({ name }) => !name.includes('moving_'));
    assert.lengthOf(trained, averages[0]!.length);
    trained.forEach(({ values }, i) => {
      const mean = Float32Array.from(
        values,
        (_, j) => averages.reduce((sum, list) => sum + list[i]![j]!, 0) / 3,
      );
      assert.deepEqual(values, mean);
    });
  });

  it('--kill: a worker killed in the middle of an epoch changes nothing', async () => {
    const { ended, said } = start([...small('kill'), '--kill']);
    assert.equal(await ended, 0, said().stderr);
    const { stdout, stderr } = said();
    assert.equal(last(stdout), 'merged 3 of 3, 1 killed, equal to the unbroken run');
    assert.match(stderr, /Worker process \d+ ended \(SIGKILL\); another takes its place/);
    assert.include(stderr, 'seed1-round1-worker2 was gone on with after epoch 1');
    // And it is what the run without --kill ends with.
    assert.include(stdout, `killed ${unbroken.seeds[0]!.digest}`);
  });

  it('goes on where it was after the coordinator was killed', async () => {
    const first = start(small('coordinator'));
    await first.until('seed1-round1-worker1: epoch 1');
    first.child.kill('SIGKILL');
    await first.ended;
    assert.isTrue(existsSync(pidFile('coordinator')), 'its Redis was left running');
    const begun = path.join(out('coordinator'), 'seed1-start/epoch-0001.safetensors');
    const { mtimeMs } = statSync(begun);

    const second = start(small('coordinator'));
    assert.equal(await second.ended, 0, second.said().stderr);
    assert.match(second.said().stderr, /seed1-round1-worker\d was gone on with after epoch \d/);
    // What Redis knew is in its file: nobody took the start up again, and found it done.
    assert.notInclude(second.said().stderr, 'seed1-start was gone on with');
    assert.deepEqual(numbersIn('coordinator'), withoutSeconds(unbroken));
    assert.equal(statSync(begun).mtimeMs, mtimeMs, 'the start was trained again');
    assert.isFalse(existsSync(pidFile('coordinator')), 'a Redis is left');
  });

  it('goes on where it was after Redis was killed', async () => {
    const { until, ended, said } = start(small('redis'));
    await until('seed1-round1-worker1: epoch 1');
    process.kill(Number(readFileSync(pidFile('redis'), 'utf8')), 'SIGKILL');
    assert.equal(await ended, 0, said().stderr);
    assert.include(said().stderr, 'Redis ended (SIGKILL); it is started again from its file');
    assert.match(last(said().stdout), /^merged 3 of 3, 0 killed; /);
    assert.deepEqual(numbersIn('redis'), withoutSeconds(unbroken));
  });

  it('counts a job that is delivered twice once', async () => {
    const { ended, said } = start(small('twice'), {
      PARALLEL_FAULTS: JSON.stringify({ 'seed1-round1-worker1': 'dies at the end' }),
    });
    assert.equal(await ended, 0, said().stderr);
    assert.include(said().stderr, 'seed1-round1-worker1 was gone on with after epoch 3');
    assert.match(last(said().stdout), /^merged 3 of 3, 1 killed; /);
    assert.deepEqual(numbersIn('twice'), withoutSeconds(unbroken));
  });

  it('leaves out by name what does not fit, and merges the rest', async () => {
    const faults = ['nan', 'shapes', 'version', 'infinite average', 'fails'];
    const args = [...small('left'), '--workers', '7', '--epochs', '1'];
    const ids = [1, 2, 3, 4, 5].map((k) => `seed1-round1-worker${k}`);
    const said = await run(args, {
      PARALLEL_FAULTS: JSON.stringify(Object.fromEntries(ids.map((id, i) => [id, faults[i]]))),
    });
    assert.match(last(said), /^merged 2 of 7, 0 killed; /);
    for (const [i, reason] of [
      [0, 'its weights are not finite: '],
      [1, 'the shapes of its weights are others: float32 [98,128] '],
      [2, 'it is of version 0, not 1'],
      [3, 'its weights are not finite: '],
      [4, 'the disk is full'],
    ] as const) {
      assert.include(said, `\nleft out ${ids[i]}: ${reason}`);
    }
    const [{ members, workers }] = resultsIn('left').seeds as [RunResult['seeds'][0]];
    assert.deepEqual(members, ['seed1-round1-worker6', 'seed1-round1-worker7']);
    assert.deepEqual(workers.slice(0, 5), [null, null, null, null, null]);
    const [a, b, merged] = await Promise.all(
      ['worker6/epoch-0001', 'worker7/epoch-0001'].map((name) =>
        stateIn('left', `seed1-round1-${name}.safetensors`),
      ),
    ).then(async (states) => [
      ...states.map(({ swa }) => swa.swa_state['0']!.swa_buffer),
      (await stateIn('left', 'seed1-round1.safetensors')).model[0]!,
    ] as [TensorData, TensorData, TensorData]); // prettier-ignore
    const mean = Float32Array.from(merged.values, (_, i) => (a.values[i]! + b.values[i]!) / 2);
    assert.deepEqual(merged.values, mean);
  });

  it('--rounds --split: merges last weights by the number of images, and goes on from there', async () => {
    await run([...small('rounds'), '--rounds', '2', '--split', '--epochs', '1']);
    // 640 images in shares of 1, 2, 3: up to 106, up to 320, up to 640.
    const examples = [106, 214, 320];
    const states = await Promise.all(
      [1, 2, 3].map((k) => stateIn('rounds', `seed1-round1-worker${k}/epoch-0001.safetensors`)),
    );
    assert.deepEqual(states.map((state) => state.examples), examples); // prettier-ignore
    const merged = await stateIn('rounds', 'seed1-round1.safetensors');
    merged.model.forEach(({ name, values }, i) => {
      if (name.includes('moving_')) return; // re-estimated
      const mean = Float32Array.from(values, (_, j) => {
        const terms = states.map(({ model }, k) => examples[k]! * model[i]!.values[j]!);
        return (terms[0]! + terms[1]! + terms[2]!) / 640;
      });
      assert.deepEqual(values, mean, name);
    });
    const { members } = resultsIn('rounds').seeds[0]!;
    assert.lengthOf(members, 6);
  });

  it('stops at Ctrl-C, leaves nothing running, and goes on when it is started again', async () => {
    const { child, until, ended, said } = start(small('stopped'));
    await until('seed1-round1-worker2: epoch 1');
    child.kill('SIGINT');
    assert.equal(await ended, 130);
    assert.include(said().stderr, 'Stopped; the same command goes on where it was.');
    assert.isFalse(existsSync(pidFile('stopped')), 'Redis is left');
    await run(small('stopped'));
    assert.deepEqual(numbersIn('stopped'), withoutSeconds(unbroken));
  });

  it('says in a line how to get Redis, what is wrong with options and with a folder', async () => {
    const other = start([...small('unbroken'), '--workers', '2']);
    const wrong = start(['--workers', '0']);
    const lacking = start(small('lacking'), { PATH: '/nonexistent' });
    for (const [{ ended, said }, line] of [
      [other, /unbroken holds another run: it has --workers 3, not 2 \(.*\)\n$/],
      [wrong, /^Invalid --workers: "0" \(expected an integer from 1 to 1000\)\n$/],
      [lacking, /^redis-server is not on the PATH \(apt-get install .*\)\n$/],
    ] as const) {
      assert.equal(await ended, 2, said().stderr);
      assert.match(said().stderr, line);
    }
  });
});

function withoutSeconds({ seeds }: RunResult) {
  return seeds.map(({ seconds: _, ...numbers }) => numbers);
}
