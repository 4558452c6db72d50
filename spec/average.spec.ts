import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { runningAverage, startAverage, updateAverage } from '../lib/average.js';
import { assertClose, own, random, variable } from './support.js';

describe('the running average of one variable', () => {
  it('is averaged + (current - averaged) / (n + 1)', () => {
    const averaged = own(tf.tensor2d([[1, 2, 3]]));
    const current = own(tf.tensor2d([[5, 2, -5]]));
    const next = own(runningAverage(averaged, current, 3));
    // 1 + 4/4 = 2, 2 + 0/4 = 2, 3 - 8/4 = 1
    assert.deepEqual([...next.dataSync()], [2, 2, 1]);
    assert.deepEqual([...averaged.dataSync()], [1, 2, 3]);
  });

  it('of equal values is that value, exactly', () => {
    const values = [1 / 3, -7e20, 1e-30, 0];
    const v = variable(values);
    const buffer = own(startAverage(v));
    for (let n = 1; n < 50; n++) updateAverage(buffer, v, n);
    assert.deepEqual(buffer.dataSync(), Float32Array.from(values));
  });

  for (const size of [0, 1, 3, 4, 5, 63, 64, 65, 65_537]) {
    it(`over ${size} values equals the mean in float64, and leaves no tensor`, () => {
      const next = random(size);
      const v = own(tf.tidy(() => tf.variable(tf.zeros([size]))));
      const sum = new Float64Array(size);
      let buffer: tf.Variable | undefined;
      for (let n = 0; n < 20; n++) {
        const values = Float32Array.from({ length: size }, () => 2 * next() - 1);
        values.forEach((value, i) => (sum[i]! += value));
        tf.tidy(() => v.assign(tf.tensor1d(values)));
        const { numTensors } = tf.memory();
        if (buffer) updateAverage(buffer, v, n);
        else buffer = own(startAverage(v));
        assert.equal(tf.memory().numTensors, numTensors + (n === 0 ? 1 : 0));
      }
      assertClose(
        buffer!.dataSync(),
        sum.map((total) => total / 20),
        1e-6,
      );
    });
  }

  it('starts as a copy that neither later values nor disposal reach', () => {
    const v = variable([1, 2]);
    const buffer = own(startAverage(v));
    assert.isFalse(buffer.trainable);
    tf.tidy(() => v.assign(tf.tensor1d([5, 5])));
    assert.deepEqual([...buffer.dataSync()], [1, 2]);
    v.dispose();
    assert.deepEqual([...buffer.dataSync()], [1, 2]);
  });

  it('carries NaN and infinity as arithmetic does', () => {
    const v = variable([NaN, Infinity, -Infinity, 1]);
    const zero = variable([0, 0, 0, 0]);
    const buffer = own(startAverage(zero));
    updateAverage(buffer, v, 1);
    assert.deepEqual([...buffer.dataSync()], [NaN, Infinity, -Infinity, 0.5]);
  });
});
