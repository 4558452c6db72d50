import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { exchange } from '../../lib/average/exchange.js';
import { variable } from '../support/support.js';

describe('exchange', () => {
  it('exchanges what two variables hold, and a second time undoes it', async () => {
    const a = variable([1, 2]);
    const b = variable([3, 4]);
    exchange(a, b);
    assert.deepEqual([...(await a.data()), ...(await b.data())], [3, 4, 1, 2]);
    exchange(a, b);
    assert.deepEqual([...(await a.data()), ...(await b.data())], [1, 2, 3, 4]);
  });

  it('runs no kernel and makes no tensor or buffer', async () => {
    const a = variable([1, 2]);
    const b = variable([3, 4]);
    const profile = await tf.profile(() => exchange(a, b));
    assert.deepEqual([profile.kernels.length, profile.newTensors, profile.newBytes], [0, 0, 0]);
  });

  it('leaves each of the two its own data: disposing one keeps the other', async () => {
    const a = variable([1, 2]);
    const b = variable([3, 4]);
    exchange(a, b);
    b.dispose();
    assert.deepEqual([...(await a.data())], [3, 4]);
  });
});
