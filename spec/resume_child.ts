/**
 * The other processes of resume.spec.ts: `save FOLDER` trains the first half of every run and saves
 * it; `resume FOLDER` loads it, trains the second half and saves what came out.
 */
import { startBackend } from '../examples/demo/backend.js';
import type { BackendName } from '../examples/demo/options.js';
import { saveStateDict } from '../lib/index.js';
import { fileSystem } from '../lib/node.js';
import { filesOf, RUNS } from './resume_run.js';

const [, , action, folder] = process.argv;
const backend = process.env['BACKEND']!;
const running = await startBackend(backend as BackendName, () => {});
if (running !== backend) throw new Error(`running on ${running}, not ${backend}`);
for (const run of RUNS) {
  const { state, outcome } = filesOf(folder!, run);
  if (action === 'save') await run.save(state);
  else await saveStateDict(fileSystem(outcome), await run.resume(state));
}
