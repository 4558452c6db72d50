/** The real @tensorflow/tfjs-node-gpu, out of the folder in which .ci/node_gpu.sh built it. */
import { createRequire } from 'node:module';
import util from 'node:util';

/** Registers its backend, `tensorflow`, and its handler of `file://`, with the tfjs-core of the specs. */
export function importNodeGpu(): void {
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  // tfjs-node 4.22 asks node:util for what Node 23 took out of it.
  Object.assign(util, {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  });
  createRequire(new URL('../.node-gpu/', import.meta.url))('@tensorflow/tfjs-node-gpu');
}
