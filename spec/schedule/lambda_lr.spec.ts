import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { constant, LambdaLR, linear, SWA, type Schedule } from '../../lib/index.js';
import { grouped, listed, rateOf, ratesOf, sgd, stepOn } from '../support/rates.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
} from '../support/support.js';

describe('LambdaLR', () => {
  it('sets schedule(n) after n calls of step(), schedule(0) at construction', () => {
    const optimizer = sgd(0.9);
    const scheduler = new LambdaLR(optimizer, linear({ from: 0.5, to: 0.25, steps: 2 }));
    const seen = [rateOf(optimizer)];
    for (let i = 0; i < 3; i++) {
      scheduler.step();
      seen.push(rateOf(optimizer));
      assert.deepEqual(scheduler.lastLr, [rateOf(optimizer)]);
    }
    assert.deepEqual(seen, [0.5, 0.375, 0.25, 0.25]);
  });

  it('changes the rate that SGD steps with, which it caches', async () => {
    const optimizer = sgd(0.9);
    const v = variable(1);
    const scheduler = new LambdaLR(optimizer, listed(0.5, 0.25, 0.125));
    // v (1 - r): 1 * 0.5 = 0.5, * 0.75 = 0.375, * 0.875 = 0.328125
    assert.equal(await stepOn(optimizer, v), 0.5);
    scheduler.step();
    assert.equal(await stepOn(optimizer, v), 0.375);
    scheduler.step();
    assert.equal(await stepOn(optimizer, v), 0.328125);
  });

  it('changes the rate that Momentum and Nesterov step with', async () => {
    // m = 0.5, a = 0.5 a + v. Momentum, v -= r a:        a = 1,    v = 1 - 0.5 * 1 = 0.5;
    //                                                    a = 1,    v = 0.5 - 0.25 * 1 = 0.25
    // Nesterov, v -= r (v + m a): a = 1, v = 1 - 0.5 * 1.5 = 0.25;
    //                             a = 0.75, v = 0.25 - 0.25 * (0.25 + 0.375) = 0.09375
    for (const [nesterov, first, second] of [
      [false, 0.5, 0.25],
      [true, 0.25, 0.09375],
    ] as const) {
      const optimizer = tf.train.momentum(0.9, 0.5, nesterov);
      own({ dispose: () => disposeBare(optimizer) });
      const v = variable(1);
      const scheduler = new LambdaLR(optimizer, listed(0.5, 0.25));
      assert.equal(await stepOn(optimizer, v), first);
      scheduler.step();
      assert.equal(await stepOn(optimizer, v), second);
    }
  });

  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    it(`drives ${name}: no movement at rate 0, then some`, async () => {
      const swa = own(new SWA(make()));
      const v = variable(1);
      const scheduler = new LambdaLR(swa, listed(0, 0.05));
      assert.equal(await stepOn(swa, v), 1);
      scheduler.step();
      assert.isBelow(await stepOn(swa, v), 1);
      assert.deepEqual(ratesOf(swa), [0.05]);
    });
  }

  it('gives each group its own schedule', async () => {
    const swa = grouped(0.9, 0.8, 0.7);
    const scheduler = new LambdaLR(swa, [
      constant(0.5),
      linear({ from: 0.2, to: 0.1, steps: 1 }),
      listed(0.75, 0.25),
    ]);
    assert.deepEqual(ratesOf(swa), [0.5, 0.2, 0.75]);
    // each v = 1 moves by its own rate: 1 - 0.5, 1 - 0.2, 1 - 0.75
    const vs = swa.paramGroups.flatMap(({ params }) => params);
    swa.minimize(half(...vs));
    assertClose((await valuesOf(vs)).flat(), [0.5, 0.8, 0.25], 1e-7);
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.5, 0.1, 0.25]);
    assert.deepEqual(scheduler.lastLr, [0.5, 0.1, 0.25]);
  });

  it('takes an SWA before its first step for the optimizer that it wraps', async () => {
    const swa = own(new SWA(tf.train.sgd(0.9)));
    const v = variable(1);
    const scheduler = new LambdaLR(swa, [listed(0.5, 0.25)]);
    assert.equal(await stepOn(swa, v), 0.5);
    scheduler.step();
    assert.equal(await stepOn(swa, v), 0.375);
    assert.deepEqual([swa.paramGroups.length, ...scheduler.lastLr], [1, 0.25]);
  });

  it('has one schedule for groups that are added later, from the next step() on', () => {
    const swa = grouped(0.9);
    const scheduler = new LambdaLR(swa, listed(0.5, 0.25));
    swa.addParamGroup({ params: variable(1), lr: 0.8 });
    assert.deepEqual(ratesOf(swa), [0.5, 0.8]);
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.25, 0.25]);
    assert.deepEqual(scheduler.lastLr, [0.25, 0.25]);
  });

  it('refuses a list of another length than there are groups, then or later', async () => {
    const schedules = [listed(0.5, 0.25), listed(0.6, 0.4)];
    const expected = (groups: number): string =>
      `Invalid schedule: a list of 2 (expected one value, or one for each group: ${groups})`;
    await assertFails(() => new LambdaLR(sgd(0.9), schedules), expected(1));
    const swa = grouped(0.9, 0.8);
    const scheduler = new LambdaLR(swa, schedules);
    swa.addParamGroup({ params: variable(1), lr: 0.7 });
    await assertFails(() => scheduler.step(), expected(3));
    assert.deepEqual(ratesOf(swa), [0.5, 0.6, 0.7]);
    assert.equal(scheduler.stateDict().last_epoch, 0);
  });

  it('refuses a rate that is none, before any group has changed', async () => {
    const swa = grouped(0.9, 0.8);
    for (const bad of [NaN, -0.1, Infinity, undefined, '0.1']) {
      const schedule = listed(0.3, bad as number, 0.2);
      const shown = typeof bad === 'string' ? `"${bad}"` : String(bad);
      const scheduler = new LambdaLR(swa, [constant(0.5), schedule]);
      swa.paramGroups[0]!.lr = 0.9;
      await assertFails(
        () => scheduler.step(),
        `Invalid rate of group 1 at step 1: ${shown} (expected a finite number >= 0)`,
      );
      assert.deepEqual(ratesOf(swa), [0.9, 0.3]);
      assert.deepEqual(scheduler.lastLr, [0.5, 0.3]);
      assert.equal(scheduler.stateDict().last_epoch, 0);
    }
    await assertFails(
      () => new LambdaLR(swa, [constant(0.4), listed(NaN)]),
      'Invalid rate of group 1 at step 0: NaN (expected a finite number >= 0)',
    );
    assert.deepEqual(ratesOf(swa), [0.9, 0.3]);
  });

  it('refuses what is no schedule', async () => {
    const wrong: Array<[unknown, string]> = [
      [0.1, '0.1'],
      [null, 'null'],
      [undefined, 'undefined'],
      [[], 'a list of 0'],
      [[constant(0.1), 0.1], 'a list of 2'],
    ];
    for (const [value, shown] of wrong) {
      await assertFails(
        () => new LambdaLR(sgd(0.9), value as Schedule),
        `Invalid schedule: ${shown} (expected a function of the step, or a list of them)`,
      );
    }
  });

  it('hands out its last rates as a copy', () => {
    const scheduler = new LambdaLR(sgd(0.9), constant(0.5));
    scheduler.lastLr[0] = 7;
    assert.deepEqual(scheduler.lastLr, [0.5]);
  });
});
