/** The kernel of the wasm backend on a memory that threads share, which in Node no backend has. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { wasmAverage } from '../../lib/average/kernels/wasm.js';
import { own } from '../support/support.js';

describe('the wasm kernel where threads share the memory', () => {
  for (const shared of [false, true]) {
    it(`averages in place on a memory that is ${shared ? '' : 'not '}shared`, () => {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared });
      const [at, from] = [64, 128];
      const averages = new Float32Array(memory.buffer, at, 7);
      averages.set([0, 1, 2, 3, 4, 5, 6]);
      new Float32Array(memory.buffer, from, 6).set([4, 4, 4, 4, 8, 8]);
      const average = own(tf.variable(own(tf.zeros([6]))));
      const value = own(tf.zeros([6]));
      const entries = new Map<object, { id: number; memoryOffset: number }>([
        [average.dataId, { id: 1, memoryOffset: at }],
        [value.dataId, { id: 2, memoryOffset: from }],
      ]);
      const backend = {
        refCount: () => 1,
        dataIdMap: entries,
        dataIdNextNumber: 3,
        wasm: { wasmMemory: memory, tfjs: { registerTensor() {}, disposeData() {} } },
      };
      assert.isTrue(wasmAverage(backend, 0.25)!(average, value));
      // a + (v - a) / 4, four at once and the two that are left; the seventh is another tensor's.
      assert.deepEqual([...averages], [1, 1.75, 2.5, 3.25, 5, 5.75, 6]);
    });
  }
});
