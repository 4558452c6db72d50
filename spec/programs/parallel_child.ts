/**
 * A worker process of `npm run parallel` that is slow, so that there is time to kill somebody, and
 * makes the mistakes that PARALLEL_FAULTS says of jobs: `{"seed1-round1-worker2": "nan"}`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import path from 'node:path';
import { loadStateDict, saveStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import type { WorkerState } from '../../examples/parallel/run.js';
import { doJob } from '../../examples/parallel/train.js';
import { takeJobs } from '../../examples/parallel/worker.js';

const faults = JSON.parse(process.env['PARALLEL_FAULTS'] ?? '{}') as Record<string, string>;

await takeJobs(process.argv.slice(2), async (job, out, images, listener) => {
  const fault = faults[job.id];
  if (fault === 'fails') throw new Error('the disk is full');
  const result = await doJob(job, out, images, {
    ...listener,
    async onStep(epoch, step) {
      await pause(10);
      await listener.onStep(epoch, step);
    },
  });
  // Its work is done and kept, and nobody was told.
  if (fault === 'dies at the end' && result.resumed === 0) process.kill(process.pid, 'SIGKILL');
  if (fault === undefined || fault === 'dies at the end') return result;

  const place = fileSystem(path.join(out, result.file));
  const state = await loadStateDict<WorkerState>(place);
  if (fault === 'nan') state.model.at(-1)!.values[0] = NaN;
  if (fault === 'infinite average') state.swa.swa_state['0']!.swa_buffer.values[3] = Infinity;
  if (fault === 'shapes') {
    state.model[0] = { ...state.model[0]!, shape: [98, 128] };
  }
  if (fault === 'version') state.version = 0;
  await saveStateDict(place, state);
  return result;
});
