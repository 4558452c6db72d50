/** A process that runs modules one after the other, and sends its parent what became of each. */
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import * as tf from './tfjs.js';

let failure: string | null = null;
process.on('unhandledRejection', (error) => (failure ??= stackOf(error)));

for (const [i, file] of process.argv.slice(2).entries()) {
  failure = null;
  await tf.setBackend('cpu');
  try {
    await import(pathToFileURL(file).href);
    await setImmediate(); // a rejection that nobody awaited is told by then
  } catch (error) {
    failure = stackOf(error);
  }
  process.send!([i, failure]);
}
process.disconnect();

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
