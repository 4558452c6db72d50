/**
 * A worker process: takes one job after another from the queue, until whoever started it is gone.
 * `worker.ts PORT OUT`
 */
import { Worker } from 'bullmq';
import { startBackend } from '../demo/backend.js';
import { loadImages } from '../demo/read_images.js';
import { connectionTo, QUEUE, type Job, type JobResult } from './queue.js';
import { doJob } from './train.js';

/** Takes jobs and hands each to `work`. */
export function takeJobs(
  port: number,
  work: (
    job: Job,
    told: { tell: (progress: object) => Promise<void>; first: boolean },
  ) => Promise<JobResult>,
): void {
  const worker = new Worker<Job, JobResult>(
    QUEUE,
    (job) => {
      const tell = (progress: object) => job.updateProgress(progress);
      return work(job.data, { tell, first: job.attemptsStarted === 1 });
    },
    {
      connection: connectionTo(port),
      // A job whose process is gone goes to another within two to four seconds; one that loses its
      // process three times over is given up. A step takes milliseconds, so locks are renewed in time.
      ...{ lockDuration: 2000, stalledInterval: 1000, maxStalledCount: 3 },
      ...{ drainDelay: 1, runRetryDelay: 200 },
    },
  );
  worker.on('error', () => {}); // Redis is away; the worker waits
}

/** Does what is asked for by its arguments. */
export async function main(args: readonly string[]): Promise<void> {
  const [port, out] = args as [string, string];
  process.on('disconnect', () => process.exit());
  const { train } = await loadImages();
  await startBackend('wasm', () => {});
  takeJobs(Number(port), (job, { tell, first }) =>
    doJob(job, out, train, {
      onEpoch: tell,
      onStep(epoch, step) {
        const { kill } = job;
        if (!first || epoch !== kill?.epoch || step !== kill.step) return;
        process.kill(process.pid, 'SIGKILL');
      },
    }),
  );
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
