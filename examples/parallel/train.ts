/**
 * Does a job: trains from its start or from where another process left it, with a checkpoint an
 * epoch. It knows nothing of the queue.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { loadStateDict, saveStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import type { Images } from '../demo/data.js';
import type { Job, JobProgress, JobResult } from './queue.js';
import { LocalRun, VERSION, type WorkerState } from './run.js';

/** What is told of a job while it runs. */
export interface Listener {
  onEpoch: (progress: JobProgress) => Promise<void>;
  onStep: (epoch: number, step: number) => void | Promise<void>;
}

/**
 * Does a job. What it makes is the same, bit for bit, however often it was begun; two processes that
 * do the same job, because one was thought dead, write the same values.
 *
 * @param out The run's folder; the checkpoints lie in that of the job below it.
 */
export async function doJob(
  job: Job,
  out: string,
  images: Images,
  { onEpoch, onStep }: Listener,
): Promise<JobResult> {
  const folder = path.join(out, job.id);
  mkdirSync(folder, { recursive: true });
  const found = await newestState(folder, job.id);
  const run = new LocalRun(job, images, found ? null : await startOf(job, out));
  try {
    if (found) await run.load(found);
    while (run.epoch < job.epochs) {
      await run.advance((step) => onStep(run.epoch + 1, step));
      const state = await run.state();
      await saveStateDict(fileSystem(path.join(folder, nameOf(run.epoch))), state);
      rmSync(path.join(folder, nameOf(run.epoch - 1)), { force: true });
      await onEpoch({ epoch: run.epoch, loss: state.loss });
    }
    return { file: path.join(job.id, nameOf(job.epochs)), resumed: found?.epoch ?? 0 };
  } finally {
    run.dispose();
  }
}

async function startOf({ from }: Job, out: string): Promise<WorkerState['model'] | null> {
  if (from === null) return null;
  const { model } = await loadStateDict<WorkerState>(fileSystem(path.join(out, from)));
  return model;
}

/** The last state in a job's folder that is whole, and of this job; else `null`. */
async function newestState(folder: string, id: string): Promise<WorkerState | null> {
  const names = readdirSync(folder).filter((name) => /^epoch-\d+\.safetensors$/.test(name));
  for (const name of names.sort().reverse()) {
    try {
      const state = await loadStateDict<WorkerState>(fileSystem(path.join(folder, name)));
      if (state.version === VERSION && state.id === id) return state;
    } catch {
      // Another process replaced it by the next one, or it is damaged: the one before will do.
    }
  }
  return null;
}

function nameOf(epoch: number): string {
  return `epoch-${String(epoch).padStart(4, '0')}.safetensors`;
}
