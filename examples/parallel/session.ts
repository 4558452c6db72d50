/**
 * All seeds of a run in one folder, with Redis, the queue and the worker processes around them from
 * begin to end. It knows nothing of what is trained.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from '../demo/options.js';
import { runSeed, type RunTask } from './coordinator.js';
import { WorkerProcesses } from './processes.js';
import { JobQueue } from './queue.js';
import { isAlive, RedisServer, textOf } from './redis.js';
import type { SeedResult } from './report.js';

/** The script of a worker process; a spec has its own, whose workers make mistakes. */
const WORKER = process.env['PARALLEL_WORKER'] ?? path.join(import.meta.dirname, 'worker.ts');

/** What a run gives. */
export interface RunResult {
  seeds: SeedResult[];
  /** Worker processes that ended by SIGKILL, by our hand or another's. */
  killed: number;
}

/**
 * Runs all seeds in `out`, or goes on with them.
 *
 * @throws UsageError if there is no Redis, or the folder is that of another run; Error with the
 *   signal's reason once it is aborted. Redis and the processes have ended then.
 */
export async function runAll(task: Omit<RunTask, 'queue'>): Promise<RunResult> {
  const { options, out, onNews } = task;
  mkdirSync(out, { recursive: true });
  const release = takeFolder(out);
  const failure = new AbortController();
  const fail = (error: Error) => failure.abort(error);
  const signal = AbortSignal.any([task.signal, failure.signal]);
  let [redis, queue, processes]: [RedisServer?, JobQueue?, WorkerProcesses?] = [];
  try {
    checkSettings(out, options);
    redis = await RedisServer.start(path.join(out, 'redis'), onNews, fail);
    queue = new JobQueue(redis.port);
    const args = [String(redis.port), path.resolve(out)];
    processes = new WorkerProcesses(options.concurrency, WORKER, args, onNews, fail);
    const seeds: SeedResult[] = [];
    for (let seed = 1; seed <= options.seeds; seed++) {
      seeds.push(await runSeed(seed, { ...task, queue, signal }));
    }
    return { seeds, killed: processes.killed };
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    await processes?.stop();
    await queue?.close();
    await redis?.stop();
    release();
  }
}

/** Sees to it that no other process runs in the folder. */
function takeFolder(out: string): () => void {
  const file = path.join(out, 'running.pid');
  const pid = Number(textOf(file));
  if (pid && isAlive(pid)) {
    throw new UsageError(`${out} is in use by process ${pid} (give another --out, or end it)`);
  }
  writeFileSync(file, String(process.pid));
  return () => rmSync(file, { force: true });
}

/** Refuses a folder with the files of a run of other options. */
function checkSettings(out: string, options: RunTask['options']): void {
  const { out: _, concurrency: __, ...settings } = options;
  const file = path.join(out, 'run.json');
  const there = textOf(file);
  if (there === '') {
    writeFileSync(file, JSON.stringify(settings));
    return;
  }
  let found: Record<string, unknown>;
  try {
    found = Object(JSON.parse(there)) as Record<string, unknown>;
  } catch {
    throw new UsageError(`${file} is no file of this program (give another --out)`);
  }
  const different = Object.entries(settings)
    .filter(([name, value]) => found[name] !== value)
    .map(([name, value]) => `--${name} ${String(found[name])}, not ${value}`);
  if (different.length === 0) return;
  throw new UsageError(
    `${out} holds another run: it has ${different.join('; ')} (give those options, or another ` +
      '--out, or remove the folder)',
  );
}
