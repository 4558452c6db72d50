import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import {
  ReduceLROnPlateau,
  type ReduceLROnPlateauOptions,
  type ReduceLROnPlateauStateDict,
} from '../../lib/index.js';
import { grouped, rateOf, ratesOf, seeded, sgd, stepOn } from '../support/rates.js';
import { assertClose, assertFails, golden, own, variable } from '../support/support.js';

/** The rate after each metric. */
function ratesAfter(options: ReduceLROnPlateauOptions, metrics: number[], from = 1): number[] {
  const optimizer = tf.train.adam(from);
  const scheduler = new ReduceLROnPlateau(optimizer, options);
  const rates = metrics.map((metric) => {
    scheduler.step(metric);
    assert.deepEqual(scheduler.lastLr, [rateOf(optimizer)]);
    return rateOf(optimizer);
  });
  optimizer.dispose();
  return rates;
}

describe('ReduceLROnPlateau', () => {
  it("is torch's, recorded", () => {
    const { lr, metric, lrs, min_lr: minLr, ...options } = golden('schedules_more').plateau;
    // The rate before each step
    const rates = [lr, ...ratesAfter({ ...options, minLr }, metric, lr)].slice(0, -1);
    assertClose(rates, lrs, 1e-15);
  });

  it('reduces when the metric was no better more than patience times', () => {
    // Bad calls: 0, 1, 2, 3 > 2: reduced, 1, 2, and better: 0, 1, 2, 3: reduced
    const metrics = [5, 5, 5, 5, 5, 5, 4, 4, 4, 4];
    const rates = ratesAfter({ factor: 0.5, patience: 2 }, metrics);
    assert.deepEqual(rates, [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]);
  });

  it('does not count during the cooldown', () => {
    // With patience 0: bad, reduced; two calls do not count; bad, reduced
    const rates = ratesAfter({ factor: 0.5, patience: 0, cooldown: 2 }, [5, 5, 5, 5, 5, 5]);
    assert.deepEqual(rates, [1, 0.5, 0.5, 0.5, 0.25, 0.25]);
  });

  it('takes a change below the threshold for none, in either direction', () => {
    // 8 * (1 - 0.25) = 6: 6 is no better, 5.9 is. 8 * 1.25 = 10: 10 is no better, 10.1 is.
    const options = { factor: 0.5, patience: 0, threshold: 0.25 };
    assert.deepEqual(ratesAfter(options, [8, 6, 5.9]), [1, 0.5, 0.5]);
    assert.deepEqual(ratesAfter({ ...options, mode: 'max' }, [8, 10, 10.1]), [1, 0.5, 0.5]);
  });

  it('stops at minLr, and leaves out changes of 1e-8', () => {
    const options = { factor: 0.5, patience: 0, minLr: 0.3 };
    assert.deepEqual(ratesAfter(options, [1, 1, 1, 1]), [1, 0.5, 0.3, 0.3]);
    assert.deepEqual(ratesAfter({ factor: 0.5, patience: 0 }, [1, 1], 2e-8), [2e-8, 2e-8]);
    assert.deepEqual(ratesAfter({ factor: 0.5, patience: 0 }, [1, 1], 4e-8), [4e-8, 2e-8]);
    // One that is below it already stays.
    assert.deepEqual(ratesAfter({ ...options, minLr: 2 }, [1, 1]), [1, 1]);
  });

  it('takes a metric that is not finite for no better than any', () => {
    const rates = ratesAfter({ factor: 0.5, patience: 0 }, [NaN, 3, -Infinity, Infinity, 2]);
    assert.deepEqual(rates, [0.5, 0.5, 0.25, 0.125, 0.125]);
  });

  it('reduces the rate that SGD steps with, and that of each group from its own', async () => {
    const optimizer = sgd(0.5);
    const scheduler = new ReduceLROnPlateau(optimizer, { factor: 0.5, patience: 0 });
    const v = variable(1);
    for (const metric of [1, 1]) scheduler.step(metric);
    assert.equal(await stepOn(optimizer, v), 0.75); // 1 - 0.25
    const swa = grouped(0.5, 0.25);
    const both = new ReduceLROnPlateau(swa, { factor: 0.5, patience: 0, minLr: 0.2 });
    for (const metric of [1, 1]) both.step(metric);
    assert.deepEqual(ratesOf(swa), [0.25, 0.2]);
    assert.deepEqual(both.lastLr, [0.25, 0.2]);
  });

  it('changes nothing at construction, whatever minLr is', () => {
    const swa = grouped(0.5, 0.25);
    const { lastLr } = new ReduceLROnPlateau(swa, { minLr: 0.3 });
    assert.deepEqual([...ratesOf(swa), ...lastLr], [0.5, 0.25, 0.5, 0.25]);
  });

  it('resumes at any call bit for bit, as JSON too', () => {
    const metric = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constant(NaN));
    const metrics = fc.array(metric, { maxLength: 12 });
    const options = fc.record({
      factor: fc.constantFrom(0.5, 0.1, 0),
      patience: fc.integer({ min: 0, max: 2 }),
      threshold: fc.constantFrom(0, 1e-4, 0.3),
      cooldown: fc.integer({ min: 0, max: 2 }),
      minLr: fc.constantFrom(0, 0.01),
      mode: fc.constantFrom('min' as const, 'max' as const),
    });
    fc.assert(
      fc.property(options, metrics, metrics, (drawn, first, then) => {
        const [whole, fresh] = [tf.train.adam(0.1), tf.train.sgd(0.7)];
        const unbroken = new ReduceLROnPlateau(whole, drawn);
        for (const value of first) unbroken.step(value);
        const state = unbroken.stateDict();
        const resumed = new ReduceLROnPlateau(fresh);
        resumed.loadStateDict(JSON.parse(JSON.stringify(state)) as typeof state);
        assert.deepEqual(resumed.stateDict(), state);
        for (const value of then) {
          unbroken.step(value);
          resumed.step(value);
          assert.equal(rateOf(fresh), rateOf(whole));
        }
        assert.deepEqual(resumed.stateDict(), unbroken.stateDict());
        for (const optimizer of [whole, fresh]) optimizer.dispose();
      }),
      seeded,
    );
  });

  it('refuses wrong options, metrics and states, and nothing has changed', async () => {
    const optimizer = own(tf.train.sgd(0.5));
    const options: Array<[object, string]> = [
      [{ factor: 1 }, 'Invalid factor: 1 (expected a number in [0, 1))'],
      [{ factor: -0.1 }, 'Invalid factor: -0.1 (expected a number in [0, 1))'],
      [{ patience: 1.5 }, 'Invalid patience: 1.5 (expected an integer >= 0)'],
      [{ threshold: -1 }, 'Invalid threshold: -1 (expected a finite number >= 0)'],
      [{ cooldown: '1' }, 'Invalid cooldown: "1" (expected an integer >= 0)'],
      [{ minLr: NaN }, 'Invalid minLr: NaN (expected a finite number >= 0)'],
      [{ mode: 'less' }, "Invalid mode: \"less\" (expected 'min' or 'max')"],
    ];
    for (const [wrong, message] of options) {
      await assertFails(() => new ReduceLROnPlateau(optimizer, wrong), message);
    }
    await assertFails(
      () => new ReduceLROnPlateau(optimizer, { min_lr: 0 } as ReduceLROnPlateauOptions),
      'Unknown option min_lr (known ones: factor, patience, threshold, cooldown, minLr, mode)',
    );
    const scheduler = new ReduceLROnPlateau(optimizer, { patience: 1 });
    scheduler.step(3);
    scheduler.step(3);
    const state = scheduler.stateDict();
    for (const metric of [undefined, null, '3']) {
      await assertFails(() => scheduler.step(metric as never), /^Invalid metric: /);
    }
    const moved = { ...state, last_epoch: 7, lr: [0.1], patience: 5 };
    const states: Array<[object, string]> = [
      [{ best: NaN }, 'Invalid best of the state: NaN (expected a finite number or null)'],
      [
        { num_bad_epochs: -1 },
        'Invalid num_bad_epochs of the state: -1 (expected an integer >= 0)',
      ],
      [
        { cooldown_counter: 0.5 },
        'Invalid cooldown_counter of the state: 0.5 (expected an integer >= 0)',
      ],
      [{ min_lr: -1 }, 'Invalid min_lr of the state: -1 (expected a finite number >= 0)'],
      [{ factor: 2 }, 'Invalid factor of the state: 2 (expected a number in [0, 1))'],
      [{ mode: 3 }, "Invalid mode of the state: 3 (expected 'min' or 'max')"],
    ];
    for (const [wrong, message] of states) {
      const loaded = { ...moved, ...wrong } as ReduceLROnPlateauStateDict;
      await assertFails(() => scheduler.loadStateDict(loaded), message);
    }
    const { best: _, ...rest } = moved;
    await assertFails(
      () => scheduler.loadStateDict(rest as ReduceLROnPlateauStateDict),
      "The state is not this scheduler's (missing: best; unexpected: none)",
    );
    assert.deepEqual(scheduler.stateDict(), state);
    scheduler.step(3); // the second bad one
    assertClose([rateOf(optimizer)], [0.05], 1e-15);
  });

  it('the example of the docstring', () => {
    const optimizer = own(tf.train.sgd(0.5));
    const scheduler = new ReduceLROnPlateau(optimizer, { factor: 0.5, patience: 0 });
    for (const loss of [3, 2, 2]) scheduler.step(loss);
    assert.deepEqual(scheduler.lastLr, [0.25]);
  });
});
