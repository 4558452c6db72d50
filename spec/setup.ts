/**
 * Loaded before every spec in Node: starts the backend that BACKEND names, cpu (the default), wasm
 * or tensorflow, which is @tensorflow/tfjs-node-gpu as .ci/node_gpu.sh builds it.
 */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { createRequire } from 'node:module';
import path from 'node:path';
import { rootHooks } from './hooks.js';

const name = process.env['BACKEND'] ?? 'cpu';

export const mochaHooks = rootHooks(async () => {
  if (name === 'wasm') {
    const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(`${path.dirname(main)}/`);
  }
  if (name === 'tensorflow') (await import('./node_gpu.js')).importNodeGpu();
  assert.isTrue(await tf.setBackend(name), `backend ${name} does not start`);
  await tf.ready();
});
