/**
 * The processes of resume.spec.ts: `unbroken FOLDER` trains every run and saves what came out; `save
 * FOLDER` trains the first half and saves the run; `resume FOLDER` loads it, trains the second half
 * and saves what came out.
 */
import { startBackend } from '../../examples/demo/backend.js';
import type { BackendName } from '../../examples/demo/options.js';
import { saveStateDict } from '../../lib/index.js';
import { fileSystem } from '../../lib/node.js';
import { filesOf, RUNS, type Outcome } from './resume_run.js';

const [, , action, folder] = process.argv;
const backend = process.env['BACKEND']!;
const running = await startBackend(backend as BackendName, () => {});
if (running !== backend) throw new Error(`running on ${running}, not ${backend}`);
const keep = (file: string, outcome: Outcome) => saveStateDict(fileSystem(file), outcome);
for (const run of RUNS) {
  const { state, unbroken, resumed } = filesOf(folder!, run);
  if (action === 'unbroken') await keep(unbroken, await run.unbroken());
  else if (action === 'save') await run.save(state);
  else await keep(resumed, await run.resume(state));
}
