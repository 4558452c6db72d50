/**
 * The real @tensorflow/tfjs-node-gpu, out of the folder where scripts/node_gpu.sh built it: registers
 * its backend, `tensorflow`, and its handler of `file://`, with the tfjs-core of the specs.
 */
import { createRequire } from 'node:module';

process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
// tfjs-node 4.22 asks node:util for two functions that Node 23 took out of it.
const load = createRequire(new URL('../../.node-gpu/', import.meta.url));
Object.assign(load('node:util') as object, {
  isNullOrUndefined: (value: unknown) => value === null || value === undefined,
  isArray: Array.isArray,
});
load('@tensorflow/tfjs-node-gpu');
