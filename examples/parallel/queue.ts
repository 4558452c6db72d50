/** The queue of the workers' jobs in Redis, and how one waits for them. It knows nothing of training. */
import { Queue, type Job as QueuedJob } from 'bullmq';
import { setTimeout as pause } from 'node:timers/promises';
import type { Task } from './run.js';

export const QUEUE = 'parallel';

/** A worker's task, as it stands in the queue. Files are named from the run's folder. */
export interface Job extends Task {
  /** The state to begin with, or a round's weights; `null`: the seed's. */
  from: string | null;
  /** Where the process that takes the job first kills itself, to show that nothing is lost. */
  kill: { epoch: number; step: number } | null;
}

/** What a job returns: where its state is, which is too much for a queue to carry. */
export interface JobResult {
  file: string;
  /** The epoch that it went on from, another process's; 0: from its start. */
  resumed: number;
}

/** How far a job is. */
export interface JobProgress {
  epoch: number;
  loss: number;
}

/** A job that has ended. */
export interface EndedJob {
  id: string;
  /** What it returned, or why it failed for good. */
  result: JobResult | Error;
  /** When it was taken up first and when it ended, in ms since 1970. */
  started: number;
  ended: number;
}

/** How all connect: whatever they ask waits until Redis is back. */
export function connectionTo(port: number) {
  const retryStrategy = (): number => 100;
  return { host: '127.0.0.1', port, maxRetriesPerRequest: null, retryStrategy };
}

/** The queue as the coordinator sees it. */
export class JobQueue {
  private readonly queue: Queue<Job, JobResult>;

  constructor(port: number) {
    this.queue = new Queue(QUEUE, { connection: connectionTo(port) });
    this.queue.on('error', () => {}); // Redis is away; what is asked waits
  }

  /**
   * Puts jobs into the queue, where they are not, and waits until each has ended. It asks again and
   * again instead of listening, so that nothing is missed while Redis or the coordinator is away.
   *
   * @param onEnd Told of each once, in the order in which they end.
   */
  async finish(
    jobs: readonly Job[],
    signal: AbortSignal,
    onProgress: (id: string, progress: JobProgress) => void,
    onEnd: (job: EndedJob) => Promise<void>,
  ): Promise<void> {
    // Whatever is asked while Redis is away waits for it, and an abort must not.
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => {});
    const unlessAborted = <T>(answer: Promise<T>) => Promise.race([answer, aborted]);

    const epochs = new Map<string, number>();
    // Ten times a second; with a thousand open jobs, once.
    for (let open = jobs; open.length > 0; await pause(100 + open.length, null, { signal })) {
      const left: Job[] = [];
      const missing: Job[] = [];
      for (const job of open) {
        signal.throwIfAborted();
        // Its state first: what is read after it is then what it ended with.
        const state = await unlessAborted(this.queue.getJobState(job.id));
        const queued = await unlessAborted(this.queue.getJob(job.id));
        if (!queued) missing.push(job);
        const progress = queued?.progress as Partial<JobProgress> | undefined;
        if (progress?.epoch !== undefined && progress.epoch !== epochs.get(job.id)) {
          epochs.set(job.id, progress.epoch);
          onProgress(job.id, progress as JobProgress);
        }
        if (queued && (state === 'completed' || state === 'failed')) await onEnd(ended(queued));
        else left.push(job);
      }
      open = left;
      // Not there yet, or Redis has lost it. One that is there by its id would not be added again.
      const opts = (id: string) => ({ jobId: id, attempts: 3 });
      const added = missing.map((job) => ({ name: 'train', data: job, opts: opts(job.id) }));
      await unlessAborted(this.queue.addBulk(added));
    }
  }

  async close(): Promise<void> {
    await this.queue.disconnect();
  }
}

function ended(job: QueuedJob<Job, JobResult>): EndedJob {
  const { id, returnvalue, failedReason, processedOn, finishedOn } = job;
  const result = failedReason ? new Error(failedReason) : returnvalue;
  return { id: id!, result, started: processedOn!, ended: finishedOn! };
}
