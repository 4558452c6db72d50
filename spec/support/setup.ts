/**
 * Loaded before every spec in Node: starts the backend that BACKEND names, cpu (the default), wasm
 * or tensorflow, which is the @tensorflow/tfjs-node-gpu that scripts/node_gpu.sh builds.
 */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { rootHooks } from './hooks.js';

const name = process.env['BACKEND'] ?? 'cpu';

export const mochaHooks = rootHooks(async () => {
  if (name === 'wasm') await import('./wasm.js');
  if (name === 'tensorflow') await import('../node_gpu/import.js');
  assert.isTrue(await tf.setBackend(name), `backend ${name} does not start`);
  await tf.ready();
  // At its first use the cpu backend greets through console.warn, which specs listen to.
  tf.dispose(tf.zeros([1]));
});
