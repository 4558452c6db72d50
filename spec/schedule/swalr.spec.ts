import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { cosineAnnealing, LambdaLR, SWA, SWALR, type SWALROptions } from '../../lib/index.js';
import { grouped, rateOf, ratesOf, seeded, sgd, stepOn } from '../support/rates.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  golden,
  OPTIMIZERS,
  own,
  variable,
} from '../support/support.js';

/** What torch 1.13's SWALR makes of the rate that it finds, in its own form. */
function torchSwalr(found: number, n: number, options: Required<SWALROptions>): number {
  const { annealEpochs, annealStrategy } = options;
  const swaLr = options.swaLr as number;
  const shape = (t: number): number =>
    annealStrategy === 'cos' ? (1 - Math.cos(Math.PI * t)) / 2 : t;
  const alpha = (step: number): number =>
    shape(Math.max(0, Math.min(1, step / Math.max(1, annealEpochs))));
  const step = annealEpochs === 0 ? Math.max(1, n) : n;
  const before = alpha(step - 1);
  const base = before === 1 ? swaLr : (found - before * swaLr) / (1 - before);
  return swaLr * alpha(step) + base * (1 - alpha(step));
}

describe('SWALR: torch, recorded', () => {
  const trace = golden('schedules');

  /** The rates at construction and after each step(). */
  function annealOf(swa: SWA, options: SWALROptions, count: number): number[][] {
    const scheduler = new SWALR(swa, options);
    const rates = [ratesOf(swa)];
    while (rates.length < count) {
      scheduler.step();
      rates.push(ratesOf(swa));
      assert.deepEqual(scheduler.lastLr, ratesOf(swa));
    }
    return rates;
  }

  for (const annealStrategy of ['linear', 'cos'] as const) {
    for (const annealEpochs of [0, 1, 5, 10]) {
      it(`${annealStrategy}, ${annealEpochs} epochs`, () => {
        const { lr, swa_lr, lrs } = trace[`swalr_${annealStrategy}_${annealEpochs}`];
        const options = { swaLr: swa_lr, annealEpochs, annealStrategy };
        assertClose(annealOf(grouped(lr), options, lrs.length).flat(), lrs, 1e-8 * lr);
      });
    }
  }

  it('two groups', () => {
    const { lr, swa_lr, anneal_epochs, lrs } = trace.swalr_two_groups;
    const options = { swaLr: swa_lr, annealEpochs: anneal_epochs };
    const rates = annealOf(grouped(...lr), options, lrs.length);
    assertClose(rates.flat(), lrs.flat(), 1e-9);
  });

  it('after a cosine, both made at the start', () => {
    const { lr, T_max, swa_lr, anneal_epochs, switch_after_epoch, lrs } = trace.cosine_then_swalr;
    const swa = grouped(0.9);
    const cosine = new LambdaLR(swa, cosineAnnealing({ from: lr, to: 0, steps: T_max }));
    const anneal = new SWALR(swa, { swaLr: swa_lr, annealEpochs: anneal_epochs });
    const rates = (lrs as number[]).map((_, epoch) => {
      const rate = ratesOf(swa)[0]!;
      (epoch > switch_after_epoch ? anneal : cosine).step();
      return rate;
    });
    assertClose(rates, lrs, 1e-9);
  });
});

describe('SWALR', () => {
  it('goes from the rate as it is to swaLr, by default on half a cosine of 10 calls', () => {
    const optimizer = sgd(0.1);
    const scheduler = new SWALR(optimizer, { swaLr: 0.05 });
    assert.deepEqual([rateOf(optimizer), ...scheduler.lastLr], [0.1, 0.1]);
    // after 5 of 10 half the way, (1 - cos(pi / 2)) / 2 = 1/2: 0.075; after 1
    // (1 - cos(pi / 10)) / 2 = 0.0244717419 of it: 0.1 - 0.05 * 0.0244717419 = 0.0987764129
    scheduler.step();
    assert.closeTo(rateOf(optimizer), 0.0987764129, 1e-10);
    for (let i = 1; i < 5; i++) scheduler.step();
    assert.closeTo(rateOf(optimizer), 0.075, 1e-15);
    for (let i = 5; i < 10; i++) scheduler.step();
    assert.equal(rateOf(optimizer), 0.05);
    scheduler.step();
    assert.equal(rateOf(optimizer), 0.05);
  });

  it('with annealEpochs 0 is at swaLr at once', () => {
    const optimizer = sgd(0.1);
    const scheduler = new SWALR(optimizer, { swaLr: 0.05, annealEpochs: 0 });
    assert.deepEqual([rateOf(optimizer), ...scheduler.lastLr], [0.05, 0.05]);
    scheduler.step();
    assert.equal(rateOf(optimizer), 0.05);
  });

  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    it(`stops ${name} where swaLr is 0`, async () => {
      const optimizer = make();
      own({ dispose: () => disposeBare(optimizer) });
      const v = variable(1);
      const scheduler = new SWALR(optimizer, { swaLr: 0, annealEpochs: 1 });
      scheduler.step();
      assert.equal(rateOf(optimizer), 0);
      assert.equal(await stepOn(optimizer, v), 1);
    });
  }

  it('changes the rate that SGD steps with', async () => {
    const optimizer = sgd(0.5);
    const v = variable(1);
    const options = { swaLr: 0.25, annealEpochs: 2, annealStrategy: 'linear' } as const;
    const scheduler = new SWALR(optimizer, options);
    // 1 * (1 - 0.5) = 0.5, * (1 - 0.375) = 0.3125, * (1 - 0.25) = 0.234375
    for (const expected of [0.5, 0.3125, 0.234375]) {
      assert.equal(await stepOn(optimizer, v), expected);
      scheduler.step();
    }
  });

  it("is torch's whatever others do to the rate in between", () => {
    const options = fc.record({
      swaLr: fc.double({ min: 0, max: 1, noNaN: true }),
      annealEpochs: fc.integer({ min: 0, max: 12 }),
      annealStrategy: fc.constantFrom('cos' as const, 'linear' as const),
    });
    const rate = fc.double({ min: 0, max: 1, noNaN: true });
    const meddling = fc.array(fc.option(rate), { minLength: 15, maxLength: 15 });
    fc.assert(
      fc.property(options, rate, meddling, (drawn, start, rates) => {
        const optimizer = tf.train.adam(start);
        const scheduler = new SWALR(optimizer, drawn);
        let expected = torchSwalr(start, 0, drawn);
        rates.forEach((other, i) => {
          assert.closeTo(rateOf(optimizer), expected, 1e-9);
          const found = other ?? expected;
          if (other !== null)
            (optimizer as unknown as { learningRate: number }).learningRate = other;
          scheduler.step();
          expected = torchSwalr(found, i + 1, drawn);
        });
        optimizer.dispose();
      }),
      seeded,
    );
  });

  it('stays between the first rate and swaLr and never turns back', () => {
    const rate = fc.double({ min: 0, max: 1, noNaN: true });
    const strategy = fc.constantFrom('cos' as const, 'linear' as const);
    fc.assert(
      fc.property(
        rate,
        rate,
        fc.integer({ min: 0, max: 60 }),
        strategy,
        (start, swaLr, annealEpochs, annealStrategy) => {
          const optimizer = tf.train.adam(start);
          const scheduler = new SWALR(optimizer, { swaLr, annealEpochs, annealStrategy });
          let left = Math.abs(rateOf(optimizer) - swaLr);
          for (let i = 0; i <= annealEpochs; i++) {
            scheduler.step();
            const now = rateOf(optimizer);
            assert.isTrue(now >= Math.min(start, swaLr) && now <= Math.max(start, swaLr));
            assert.isAtMost(Math.abs(now - swaLr), left);
            left = Math.abs(now - swaLr);
          }
          assert.equal(rateOf(optimizer), swaLr);
          optimizer.dispose();
        },
      ),
      seeded,
    );
  });

  it('takes a group that is added later along, from its own rate', () => {
    const swa = grouped(0.5);
    const options = { swaLr: 0.25, annealEpochs: 4, annealStrategy: 'linear' } as const;
    const scheduler = new SWALR(swa, options);
    scheduler.step();
    scheduler.step();
    swa.addParamGroup({ params: variable(1), lr: 0.75 });
    assert.deepEqual(ratesOf(swa), [0.375, 0.75]);
    // two calls are left: half of the way each time, 0.75 -> 0.5 -> 0.25
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.3125, 0.5]);
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.25, 0.25]);
    swa.addParamGroup({ params: variable(1), lr: 0.75 });
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.25, 0.25, 0.25]);
  });

  it('refuses a list swaLr of another length than there are groups, then or later', async () => {
    const expected = (length: number, groups: number): string =>
      `Invalid swaLr: a list of ${length} (expected one value, or one for each group: ${groups})`;
    const swa = grouped(0.5, 0.4);
    await assertFails(() => new SWALR(swa, { swaLr: [0.1] }), expected(1, 2));
    const scheduler = new SWALR(swa, { swaLr: [0.1, 0.2], annealEpochs: 1 });
    swa.addParamGroup({ params: variable(1), lr: 0.3 });
    await assertFails(() => scheduler.step(), expected(2, 3));
    assert.deepEqual(ratesOf(swa), [0.5, 0.4, 0.3]);
    assert.equal(scheduler.stateDict().last_epoch, 0);
  });

  const mistakes: Array<[object, string]> = [
    ...[-0.1, NaN, Infinity, '"0.1"', null, undefined].map((value): [object, string] => [
      { swaLr: value === '"0.1"' ? '0.1' : value },
      `Invalid swaLr: ${value} (expected a finite number >= 0)`,
    ]),
    [{ swaLr: [] }, 'Invalid swaLr: a list of 0 (expected a rate, or one for each group)'],
    [{ swaLr: [NaN] }, 'Invalid rate in swaLr: NaN (expected a finite number >= 0)'],
    ...[-1, 1.5, NaN, Infinity, '"5"', null].map((value): [object, string] => [
      { swaLr: 0.1, annealEpochs: value === '"5"' ? '5' : value },
      `Invalid annealEpochs: ${value} (expected an integer >= 0)`,
    ]),
    ...['"exp"', '"COS"', 3, null].map((value): [object, string] => [
      { swaLr: 0.1, annealStrategy: typeof value === 'string' ? value.slice(1, -1) : value },
      `Invalid annealStrategy: ${value} (expected 'cos' or 'linear')`,
    ]),
    [
      { swaLr: 0.1, annealEpoch: 5 },
      'Unknown option annealEpoch (known ones: swaLr, annealEpochs, annealStrategy)',
    ],
  ];
  it('refuses wrong options and leaves the rate as it was', async () => {
    const optimizer = sgd(0.9);
    for (const [options, message] of mistakes) {
      await assertFails(() => new SWALR(optimizer, options as SWALROptions), message);
    }
    assert.equal(rateOf(optimizer), 0.9);
  });

  it('does not see later changes of the list that it was given', () => {
    const swa = grouped(0.5);
    const swaLr = [0.25];
    const scheduler = new SWALR(swa, { swaLr, annealEpochs: 1 });
    swaLr[0] = 7;
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.25]);
  });
});
