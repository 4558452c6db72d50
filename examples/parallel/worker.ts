/**
 * A worker process: takes one job after another from the queue, until whoever started it is gone.
 * `worker.ts PORT OUT`
 */
import { Worker } from 'bullmq';
import { startBackend } from '../demo/backend.js';
import { loadImages } from '../demo/read_images.js';
import { connectionTo, QUEUE, type Job, type JobResult } from './queue.js';
import { doJob } from './train.js';

/**
 * Takes jobs.
 *
 * @param args The port of Redis and the run's folder.
 * @param work What does a job.
 */
export async function takeJobs(args: readonly string[], work = doJob): Promise<void> {
  const [port, out] = args as [string, string];
  process.on('disconnect', () => process.exit());
  const { train } = await loadImages();
  await startBackend('wasm', () => {});
  const worker = new Worker<Job, JobResult>(
    QUEUE,
    (job) =>
      work(job.data, out, train, {
        onEpoch: (progress) => job.updateProgress(progress),
        onStep(epoch, step) {
          const { kill } = job.data;
          const here = epoch === kill?.epoch && step === kill.step;
          if (here && job.attemptsStarted === 1) process.kill(process.pid, 'SIGKILL');
        },
      }),
    {
      connection: connectionTo(Number(port)),
      // A job whose process is gone goes to another within a few seconds, ten times over. A step takes
      // milliseconds, so that locks are renewed in time; where they are not, on a machine that is busy
      // with other things, two processes do the same job and write the same.
      ...{ lockDuration: 2000, stalledInterval: 1000, maxStalledCount: 10 },
      ...{ drainDelay: 1, runRetryDelay: 200 }, // how long it waits without a job, without Redis
    },
  );
  worker.on('error', () => {}); // Redis is away; the worker waits
}

if (process.argv[1] === import.meta.filename) await takeJobs(process.argv.slice(2));
