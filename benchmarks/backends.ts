/** Starts the backends that run in Node, for the benchmarks. */
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** Where `npm run node-gpu` builds tfjs-node, with the tfjs-core of this project. */
const nodeGpu = path.join(path.dirname(import.meta.dirname), '.node-gpu', path.sep);

export const NODE_BACKENDS = existsSync(path.join(nodeGpu, 'built'))
  ? ['cpu', 'wasm', 'tensorflow']
  : ['cpu', 'wasm'];

/** Makes the backend of that name the current one. */
export async function startBackend(name: string): Promise<void> {
  if (name === 'wasm') {
    const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(`${path.dirname(main)}${path.sep}`);
  }
  if (name === 'tensorflow') {
    process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '3';
    // One thread, as all that it is measured against.
    process.env['TF_NUM_INTRAOP_THREADS'] ??= '1';
    createRequire(nodeGpu)('@tensorflow/tfjs-node-gpu');
  }
  if (!(await tf.setBackend(name))) throw new Error(`The backend ${name} does not start`);
}
