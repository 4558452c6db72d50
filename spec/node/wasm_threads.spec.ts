/** The kernels of the wasm backend on a memory that threads share, which in Node no backend has. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { wasmAverage } from '../../lib/average/kernels/wasm.js';
import { wasmSquares } from '../../lib/swag/kernels/wasm.js';
import { own } from '../support/support.js';

describe('the wasm kernels where threads share the memory', () => {
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

    it(`adds squares in place on a memory that is ${shared ? '' : 'not '}shared`, () => {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared });
      const sums = new Float32Array(memory.buffer, 64, 7);
      sums.set([0, 1, 2, 3, 4, 5, 6]);
      new Float32Array(memory.buffer, 128, 6).set([1, 1, 1, 1, 2, 2]);
      new Float32Array(memory.buffer, 192, 6).set([3, 3, 3, 3, 2, 6]);
      const tensors = [64, 128, 192].map(
        (at) => [own(tf.variable(own(tf.zeros([6])))), at] as const,
      );
      const places = new Map<object, { memoryOffset: number }>(
        tensors.map(([{ dataId }, memoryOffset]) => [dataId, { memoryOffset }]),
      );
      const backend = { refCount: () => 1, dataIdMap: places, wasm: { wasmMemory: memory } };
      const [[sum], [mean], [value]] = tensors as [
        [tf.Variable, 0],
        [tf.Tensor, 0],
        [tf.Tensor, 0],
      ];
      assert.isTrue(wasmSquares(backend, 0.5)!(sum, mean, value));
      // 2^2 / 2 more, four times; 0 and 4^2 / 2; the seventh is another tensor's.
      assert.deepEqual([...sums], [2, 3, 4, 5, 4, 13, 6]);
    });
  }
});
