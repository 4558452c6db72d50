/**
 * What one seed's run is: a start, rounds of workers that are merged, and one worker that trains as
 * many epochs. It trains nothing itself, and knows nothing of Redis or processes.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import { createHash } from 'node:crypto';
import path from 'node:path';
import {
  assignWeights,
  averageOf,
  loadStateDict,
  readWeights,
  saveStateDict,
  type TensorData,
} from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import type { Images } from '../demo/data.js';
import { evaluate, reestimate, trainableVariables } from '../demo/model.js';
import { BATCH } from '../demo/schedule.js';
import { OrderedMerge, type Merged } from './merge.js';
import type { ParallelOptions } from './options.js';
import type { EndedJob, Job, JobQueue } from './queue.js';
import type { Errors, SeedResult } from './report.js';
import { imagesOf, newModel, VERSION, type WorkerState } from './run.js';

/** What a run needs. */
export interface RunTask {
  options: ParallelOptions;
  /** Where the workers' files and the merged weights lie. */
  out: string;
  train: Images;
  test: Images;
  queue: Pick<JobQueue, 'finish'>;
  signal: AbortSignal;
  /** The job whose process is to kill itself in the middle of its second epoch. */
  killed: string | null;
  onNews: (line: string) => void;
}

/** Runs one seed. What was done before, by a coordinator that was killed, is not done again. */
export async function runSeed(seed: number, task: RunTask): Promise<SeedResult> {
  const { options, train } = task;
  const run = new SeedRun(seed, task, newModel(seed), imagesOf(partOf(seed, options), train));
  try {
    return await run.run();
  } finally {
    run.model.dispose();
  }
}

/** The images of the k-th worker of a seed, from 0; without `k` all. */
function partOf(seed: number, { images, workers, split }: ParallelOptions, k?: number) {
  const all = (workers * (workers + 1)) / 2;
  const before = (n: number) => Math.floor((images * n * (n + 1)) / 2 / all);
  const part: Job['part'] = split && k !== undefined ? [before(k), before(k + 1)] : [0, images];
  return { seed, part };
}

class SeedRun {
  constructor(
    private readonly seed: number,
    private readonly task: RunTask,
    /** Holds what is evaluated. */
    readonly model: tfl.LayersModel,
    /** For the statistics of batch normalization. */
    private readonly images: Images,
  ) {}

  async run(): Promise<SeedResult> {
    const { workers, rounds, epochs, split, start, kill } = this.task.options;
    const [begun] = await this.finish([this.job('start', 0, { epochs: start })]);
    const first = fileOf(begun!);

    const merges: Merged[] = [];
    let [from, seconds] = [first, 0];
    let ended: EndedJob[] = [];
    let weights: TensorData[] = [];
    for (let round = 1; round <= rounds; round++) {
      const jobs = Array.from({ length: workers }, (_, k) => {
        const { part } = partOf(this.seed, this.task.options, k);
        return this.job(`round${round}-worker${k + 1}`, round * 1000 + k, { from, part, epochs });
      });
      const merge = await this.newMerge(jobs);
      ended = await this.finish(jobs, (end) => merge.put(end.id, () => this.stateOf(end)));
      seconds += secondsOf(ended);
      const merged = await merge.result();
      merges.push(merged);
      weights = await this.putMerged(merged, round === rounds ? 'average' : 'last');
      from = `seed${this.seed}-round${round}.safetensors`;
      const place = fileSystem(path.join(this.task.out, from));
      await saveStateDict(place, { version: VERSION, model: weights });
    }
    const average = await this.error();
    await this.putMerged(merges.at(-1)!, 'last');
    const merged = { last: await this.error(), average };

    const order = ended.map(({ id }) => id);
    const errors: SeedResult['workers'] = [];
    for (let k = 1; k <= workers; k++) {
      const id = this.id(`round${rounds}-worker${k}`);
      const there = merges.at(-1)!.members.includes(id);
      errors.push(there ? await this.errorsOf(ended[order.indexOf(id)]!) : null);
    }
    const alone = { from: first, epochs: rounds * epochs * (split ? 1 : workers) };
    const [end] = kill ? [] : await this.finish([this.job('alone', 999, alone)]);
    const long = end && !(end.result instanceof Error) ? end : null; // or it failed, as it said
    return {
      ...{ seed: this.seed, workers: errors, merged },
      alone: long ? await this.errorsOf(long) : null,
      seconds: { parallel: seconds, alone: long ? secondsOf([long]) : null },
      members: merges.flatMap(({ members }) => members),
      leftOut: merges.flatMap(({ leftOut }) => leftOut),
      digest: digestOf(weights),
    };
  }

  private id(name: string): string {
    return `seed${this.seed}-${name}`;
  }

  /** A job. Orders are below 100,000 a seed, so that no two are the same. */
  private job(
    name: string,
    order: number,
    { epochs, from = null, part = [0, this.images.count] }: Pick<Job, 'epochs'> & Partial<Job>,
  ): Job {
    const id = this.id(name);
    const step = Math.ceil((part[1] - part[0]) / BATCH / 2);
    const kill = id === this.task.killed ? { epoch: 2, step } : null;
    return { id, seed: this.seed, order: this.seed * 1e6 + order, part, epochs, from, kill };
  }

  /** Waits for jobs; in the order in which they end. */
  private async finish(
    jobs: Job[],
    onEnd: (end: EndedJob) => Promise<void> = async () => {},
  ): Promise<EndedJob[]> {
    const { queue, signal, onNews } = this.task;
    const ends: EndedJob[] = [];
    const epochs = new Map(jobs.map((job) => [job.id, job.epochs]));
    await queue.finish(
      jobs,
      signal,
      (id, { epoch, loss }) =>
        onNews(`${id}: epoch ${epoch} of ${epochs.get(id)}, loss ${loss.toFixed(3)}`),
      async (end) => {
        ends.push(end);
        const { id, result } = end;
        if (result instanceof Error) onNews(`${id} failed: ${result.message}`);
        else if (result.resumed > 0) onNews(`${id} was gone on with after epoch ${result.resumed}`);
        await onEnd(end);
      },
    );
    return ends;
  }

  private async newMerge(jobs: readonly Job[]): Promise<OrderedMerge> {
    const ids = jobs.map(({ id }) => id);
    const like = { model: await readWeights(this.model), average: trainableVariables(this.model) };
    return new OrderedMerge(ids, jobs[0]!.epochs, like);
  }

  /** Puts merged weights into the model, and gives all that it holds then. */
  private async putMerged({ average, last, leftOut }: Merged, which: 'average' | 'last') {
    if (!last || !average) {
      const reasons = leftOut.map(({ id, reason }) => `${id}: ${reason}`);
      throw new Error(`No worker is left to merge: ${reasons.join('; ')}`);
    }
    assignWeights(this.model, last);
    if (which === 'average') assignWeights(trainableVariables(this.model), average);
    await reestimate(this.model, this.images);
    return readWeights(this.model);
  }

  private async stateOf(end: EndedJob): Promise<WorkerState> {
    return loadStateDict<WorkerState>(fileSystem(path.join(this.task.out, fileOf(end))));
  }

  private async errorsOf(end: EndedJob): Promise<Errors> {
    const { model, images } = this;
    const state = await this.stateOf(end);
    assignWeights(model, state.model);
    const last = await this.error();
    assignWeights(trainableVariables(model), averageOf(state.swa).weights);
    await reestimate(model, images);
    return { last, average: await this.error() };
  }

  /** The test error of what the model holds, in percent. */
  private async error(): Promise<number> {
    const { error } = await evaluate(this.model, this.task.test);
    return error;
  }
}

/** @throws Error what the job failed with. */
function fileOf({ result }: EndedJob): string {
  if (result instanceof Error) throw result;
  return result.file;
}

/** From the first begin to the last end. */
function secondsOf(ended: readonly EndedJob[]): number {
  const begins = ended.map(({ started }) => started);
  const ends = ended.map((end) => end.ended);
  return (Math.max(...ends) - Math.min(...begins)) / 1000;
}

/** The values of weights, whatever they are called. */
function digestOf(weights: readonly TensorData[]): string {
  const hash = createHash('sha256');
  for (const { values } of weights) hash.update(values);
  return hash.digest('hex');
}
