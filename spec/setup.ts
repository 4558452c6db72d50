/**
 * Loaded before every spec: chooses the backend (BACKEND=cpu|wasm, default cpu) and counts tensors
 * around each spec, which fails if it leaves one behind.
 */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { createRequire } from 'node:module';
import path from 'node:path';
import { disposeOwned } from './support.js';

const backend = process.env['BACKEND'] ?? 'cpu';
let tensors = 0;
let bytes = 0;
/** Specs that passed but left tensors, or took some that were not theirs. */
const leaks: string[] = [];

export const mochaHooks = {
  async beforeAll(): Promise<void> {
    if (backend === 'wasm') {
      const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
      const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
      setWasmPaths(`${path.dirname(main)}/`);
    }
    assert.isTrue(await tf.setBackend(backend), `backend ${backend} does not start`);
    await tf.ready();
  },
  beforeEach(): void {
    ({ numTensors: tensors, numBytes: bytes } = tf.memory());
  },
  afterEach(this: Mocha.Context): void {
    disposeOwned();
    if (this.currentTest?.state !== 'passed') return;
    const now = tf.memory();
    if (now.numTensors === tensors && now.numBytes === bytes) return;
    const more = `${now.numTensors - tensors} tensors, ${now.numBytes - bytes} bytes`;
    leaks.push(`${this.currentTest.fullTitle()}: ${more}`);
  },
  afterAll(): void {
    assert.deepEqual(leaks, [], 'specs that leave tensors');
  },
};
