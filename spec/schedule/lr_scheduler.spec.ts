import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWA } from '../../lib/index.js';
import { LambdaLR, SWALR, type SWALROptions } from '../../lib/schedule/lr_scheduler.js';
import {
  constant,
  cosineAnnealing,
  linear,
  sequence,
  type Schedule,
} from '../../lib/schedule/schedules.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  golden,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

/** The rate that the optimizer says it has. */
const rateOf = (optimizer: object): number => (optimizer as { learningRate: number }).learningRate;

const ratesOf = (swa: SWA): number[] => swa.paramGroups.map(({ lr }) => lr);

/** A bare SGD, disposed after the spec. */
const sgd = (learningRate: number): tf.SGDOptimizer => own(tf.train.sgd(learningRate));

/** An SWA of SGD with one group for each rate. */
function grouped(...rates: number[]): SWA {
  const paramGroups = rates.map((lr) => ({ params: variable(1), lr }));
  return own(new SWA(tf.train.sgd(0.5), { paramGroups }));
}

/** One step on `0.5 sum(v^2)`; returns v afterwards. */
async function stepOn(optimizer: tf.Optimizer, v: tf.Variable): Promise<number> {
  optimizer.minimize(half(v), false, [v]);
  return (await v.data())[0]!;
}

/** A schedule of listed rates. */
const listed =
  (...rates: number[]): Schedule =>
  (step) =>
    rates[step]!;

/** An optimizer that shows no rate. */
class Rateless extends tf.Optimizer {
  static get className(): string {
    return 'Rateless';
  }
  applyGradients(): void {}
  getConfig(): tf.serialization.ConfigDict {
    return {};
  }
}

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

const seeded = { seed: 20180314, numRuns: 100 };

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

describe('schedulers: optimizers', () => {
  const makers: Record<string, (optimizer: tf.Optimizer) => unknown> = {
    LambdaLR: (optimizer) => new LambdaLR(optimizer, constant(0.1)),
    SWALR: (optimizer) => new SWALR(optimizer, { swaLr: 0.1 }),
  };
  for (const [name, make] of Object.entries(makers)) {
    it(`${name} refuses an optimizer without a rate, wrapped or not`, async () => {
      const message = 'Cannot set lr: the optimizer Rateless has no learningRate';
      await assertFails(() => make(own(new Rateless())), message);
      await assertFails(() => make(own(new SWA(new Rateless()))), message);
      const swa = own(new SWA(tf.train.sgd(0.9), { paramGroups: [{ params: variable(1) }] }));
      swa.addParamGroup({ params: variable(1), optimizer: new Rateless() });
      await assertFails(() => make(swa), message);
      assert.equal(swa.paramGroups[0]!.lr, 0.9);
    });

    it(`${name} refuses an optimizer whose rate cannot be read`, async () => {
      const hidden = Object.assign(own(new Rateless()), { setLearningRate: () => {} });
      await assertFails(() => make(hidden), 'The optimizer Rateless has no learningRate');
    });

    it(`${name} refuses what is no optimizer`, async () => {
      for (const value of [null, undefined, 0.1, {}]) {
        await assertFails(
          () => make(value as tf.Optimizer),
          /^Invalid optimizer: .* \(expected an SWA or a tf.train optimizer\)$/,
        );
      }
    });

    it(`${name} warns once of an SWA's own swaLr`, async () => {
      const swa = own(new SWA(tf.train.sgd(0.9), { swaStart: 3, swaFreq: 1, swaLr: 0.5 }));
      const warnings = await warningsOf(() => {
        make(swa);
        make(swa);
      });
      assert.deepEqual(warnings, [
        'The SWA has swaLr 0.5 and a scheduler: from step swaStart, 3, on swaLr wins, since the ' +
          'SWA writes it at each step',
      ]);
    });

    it(`${name} does not warn without one`, async () => {
      const swa = own(new SWA(tf.train.sgd(0.9), { swaStart: 3, swaFreq: 1 }));
      const warnings = await warningsOf(() => {
        make(swa);
        make(sgd(0.9));
      });
      assert.deepEqual(warnings, []);
    });
  }

  it("an SWA's own swaLr wins from swaStart on, as the warning says", async () => {
    const swa = own(new SWA(tf.train.sgd(0.9), { swaStart: 2, swaFreq: 1, swaLr: 0.5 }));
    const v = variable(1);
    const seen: number[] = [];
    await warningsOf(async () => {
      const scheduler = new LambdaLR(swa, constant(0.25));
      for (let i = 0; i < 4; i++) {
        seen.push(await stepOn(swa, v));
        scheduler.step();
      }
    });
    // twice * (1 - 0.25), then twice * (1 - 0.5)
    assert.deepEqual(seen, [0.75, 0.5625, 0.28125, 0.140625]);
  });

  it('leave no tensor behind, in a tidy or not', async () => {
    const bare = sgd(0.9);
    const swa = grouped(0.9, 0.8);
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      for (const optimizer of [bare, swa]) {
        const schedulers = [
          new LambdaLR(optimizer, linear({ from: 0.5, to: 0.1, steps: 5 })),
          new SWALR(optimizer, { swaLr: 0.05, annealEpochs: 3 }),
        ];
        for (let i = 0; i < 5; i++) schedulers.forEach((scheduler) => scheduler.step());
      }
    });
    assert.equal(tf.memory().numTensors, before);
    // The scalar that SGD caches outlives the tidy: v = 1 - r.
    assert.closeTo(await stepOn(bare, variable(1)), 0.95, 1e-7);
  });
});

describe('schedulers: state', () => {
  it('is plain data, with names in snake_case', () => {
    const swa = grouped(0.5, 0.75);
    const lambda = new LambdaLR(swa, [listed(0.5, 0.25), constant(0.75)]);
    const anneal = new SWALR(swa, {
      swaLr: [0, 0.25],
      annealEpochs: 2,
      annealStrategy: 'linear',
    });
    lambda.step();
    anneal.step();
    // 0.25 half the way to 0, 0.75 half the way to 0.25
    const now = [0.125, 0.5];
    assert.deepEqual(lambda.stateDict(), { last_epoch: 1, _last_lr: [0.25, 0.75], lr: now });
    assert.deepEqual(anneal.stateDict(), {
      last_epoch: 1,
      _last_lr: now,
      lr: now,
      swa_lr: [0, 0.25],
      anneal_epochs: 2,
      anneal_strategy: 'linear',
    });
    for (const state of [lambda.stateDict(), anneal.stateDict()]) {
      assert.deepEqual(structuredClone(state), state);
      assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
    }
  });

  it('shares nothing with the scheduler', () => {
    const swa = grouped(0.5);
    const scheduler = new SWALR(swa, { swaLr: [0.25], annealEpochs: 1 });
    const saved = scheduler.stateDict();
    const loaded = scheduler.stateDict();
    scheduler.loadStateDict(loaded);
    for (const state of [saved, loaded, scheduler.stateDict()]) {
      (state.swa_lr as number[])[0] = 7;
      state._last_lr[0] = 7;
      state.lr[0] = 7;
      assert.deepEqual(scheduler.lastLr, [0.5]);
      assert.deepEqual(scheduler.stateDict().swa_lr, [0.25]);
    }
    scheduler.step();
    assert.deepEqual(ratesOf(swa), [0.25]);
  });

  it('keeps the rates that the scheduler set apart from those of the moment', () => {
    const optimizer = sgd(0.5);
    const scheduler = new LambdaLR(optimizer, constant(0.5));
    optimizer.setLearningRate(0.25);
    const state = scheduler.stateDict();
    assert.deepEqual(state, { last_epoch: 0, _last_lr: [0.5], lr: [0.25] });
    const fresh = sgd(0.75);
    const resumed = new LambdaLR(fresh, constant(0.125));
    resumed.loadStateDict(state);
    assert.deepEqual([...resumed.lastLr, rateOf(fresh)], [0.5, 0.25]);
  });

  it('resumes at any call bit for bit, on a bare optimizer made with another rate', () => {
    const calls = fc.integer({ min: 0, max: 15 });
    const options = fc.record({
      swaLr: fc.double({ min: 0, max: 1, noNaN: true }),
      annealEpochs: fc.integer({ min: 0, max: 12 }),
      annealStrategy: fc.constantFrom('cos' as const, 'linear' as const),
    });
    fc.assert(
      fc.property(options, calls, calls, (drawn, first, then) => {
        const run = (scheduler: LambdaLR | SWALR, count: number): number[][] =>
          Array.from({ length: count }, () => (scheduler.step(), scheduler.lastLr));
        const cosine = cosineAnnealing({ from: 0.3, to: 0.01, steps: 7 });
        for (const make of [
          (optimizer: tf.Optimizer) => new SWALR(optimizer, drawn),
          (optimizer: tf.Optimizer) => new LambdaLR(optimizer, cosine),
        ]) {
          const whole = tf.train.sgd(0.1);
          const other = tf.train.adam(0.1);
          const [unbroken, saved] = [make(whole), make(other)];
          run(unbroken, first);
          run(saved, first);
          const fresh = tf.train.sgd(0.7);
          const resumed = make(fresh);
          resumed.loadStateDict(JSON.parse(JSON.stringify(saved.stateDict())));
          assert.deepEqual(resumed.lastLr, unbroken.lastLr);
          assert.equal(rateOf(fresh), rateOf(whole));
          assert.deepEqual(run(resumed, then), run(unbroken, then));
          for (const optimizer of [whole, other, fresh]) optimizer.dispose();
        }
      }),
      seeded,
    );
  });

  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    it(`resumes an SWA of ${name} and its anneal in the middle, bit for bit`, async () => {
      /** A run of its own: two groups, a cosine for 4 steps, then an anneal of 6. */
      const start = (values: number[][]) => {
        const vs = values.map((value, i) => variable(value, `resume_${name}_${i}`));
        const paramGroups = [{ params: vs[0]! }, { params: vs[1]!, lr: 0.02 }];
        const swa = own(new SWA(make(), { swaStart: 5, swaFreq: 1, paramGroups }));
        const schedule = cosineAnnealing({ from: 0.05, to: 0, steps: 8 });
        const cosine = new LambdaLR(swa, [schedule, constant(0.02)]);
        const anneal = new SWALR(swa, { swaLr: [0.01, 0.03], annealEpochs: 6 });
        return { vs, swa, cosine, anneal };
      };
      const train = ({ vs, swa, cosine, anneal }: ReturnType<typeof start>, i: number): void => {
        swa.minimize(half(...vs));
        (i < 4 ? cosine : anneal).step();
      };
      const resultOf = async ({ vs, swa }: ReturnType<typeof start>): Promise<number[]> => [
        ...(await valuesOf(vs)).flat(),
        ...ratesOf(swa),
      ];

      const broken = start([[1, -2], [3]]);
      for (let i = 0; i < 7; i++) train(broken, i);
      const states = structuredClone({
        swa: await broken.swa.stateDict(),
        cosine: broken.cosine.stateDict(),
        anneal: broken.anneal.stateDict(),
      });
      const values = await valuesOf(broken.vs);
      for (let i = 7; i < 12; i++) train(broken, i);
      const expected = await resultOf(broken);
      broken.vs.forEach((v) => v.dispose());

      const resumed = start(values);
      await resumed.swa.loadStateDict(states.swa);
      // in any order: both hold the rates of the moment
      resumed.anneal.loadStateDict(states.anneal);
      resumed.cosine.loadStateDict(states.cosine);
      for (let i = 7; i < 12; i++) train(resumed, i);
      assert.deepEqual(await resultOf(resumed), expected);
    });
  }

  it('takes over the options of an anneal, as torch does', () => {
    const state = new SWALR(sgd(0.5), {
      swaLr: 0.25,
      annealEpochs: 2,
      annealStrategy: 'linear',
    }).stateDict();
    const optimizer = sgd(0.9);
    const scheduler = new SWALR(optimizer, { swaLr: 0.1 });
    scheduler.loadStateDict(state);
    assert.equal(rateOf(optimizer), 0.5);
    scheduler.step();
    assert.equal(rateOf(optimizer), 0.375);
  });

  it('that does not fit is refused, and nothing has changed', async () => {
    const swa = grouped(0.5, 0.4);
    const lambda = new LambdaLR(swa, constant(0.5));
    const anneal = new SWALR(swa, { swaLr: 0.25, annealEpochs: 4 });
    anneal.step();
    const good = { lambda: lambda.stateDict(), anneal: anneal.stateDict() };
    const now = ratesOf(swa);
    const moved = { ...good.lambda, last_epoch: 3, lr: [0.9, 0.8] };
    const movedAnneal = { ...good.anneal, last_epoch: 3, lr: [0.9, 0.8] };
    const whole = 'a finite number >= 0';
    const cases: Array<[LambdaLR | SWALR, unknown, string]> = [
      [lambda, null, 'Invalid state: null (expected an object that stateDict() gave)'],
      [lambda, 'x', 'Invalid state: "x" (expected an object that stateDict() gave)'],
      [lambda, [], 'Invalid state: a list of 0 (expected an object that stateDict() gave)'],
      [
        lambda,
        good.anneal,
        "The state is not this scheduler's (missing: none; unexpected: swa_lr, anneal_epochs, " +
          'anneal_strategy)',
      ],
      [
        anneal,
        { ...good.lambda, more: 1 },
        "The state is not this scheduler's (missing: swa_lr, anneal_epochs, anneal_strategy; " +
          'unexpected: more)',
      ],
      [
        lambda,
        { last_epoch: 3, lr: [0.9, 0.8] },
        "The state is not this scheduler's (missing: _last_lr; unexpected: none)",
      ],
      [
        lambda,
        { ...moved, last_epoch: -1 },
        'Invalid last_epoch of the state: -1 (expected an integer >= 0)',
      ],
      [
        lambda,
        { ...moved, last_epoch: 1.5 },
        'Invalid last_epoch of the state: 1.5 (expected an integer >= 0)',
      ],
      [
        lambda,
        { ...moved, lr: 0.5 },
        'Invalid lr of the state: 0.5 (expected a list of rates, one a group)',
      ],
      [
        lambda,
        { ...moved, lr: [0.9] },
        'Invalid lr of the state: a list of 1 (expected one value, or one for each group: 2)',
      ],
      [
        lambda,
        { ...moved, lr: [0.9, null] },
        `Invalid rate in lr of the state: null (expected ${whole})`,
      ],
      [
        lambda,
        { ...moved, _last_lr: [NaN] },
        `Invalid rate in _last_lr of the state: NaN (expected ${whole})`,
      ],
      [
        anneal,
        { ...movedAnneal, swa_lr: -1 },
        `Invalid swa_lr of the state: -1 (expected ${whole})`,
      ],
      [
        anneal,
        { ...movedAnneal, swa_lr: [0.1] },
        'Invalid swa_lr of the state: a list of 1 (expected one value, or one for each group: 2)',
      ],
      [
        anneal,
        { ...movedAnneal, anneal_epochs: 0.5 },
        'Invalid anneal_epochs of the state: 0.5 (expected an integer >= 0)',
      ],
      [
        anneal,
        { ...movedAnneal, anneal_strategy: 'exp' },
        "Invalid anneal_strategy of the state: \"exp\" (expected 'cos' or 'linear')",
      ],
    ];
    for (const [scheduler, state, message] of cases) {
      await assertFails(() => scheduler.loadStateDict(state as never), message);
      assert.deepEqual(ratesOf(swa), now);
      assert.deepEqual(lambda.stateDict(), good.lambda);
      assert.deepEqual(anneal.stateDict(), good.anneal);
    }
  });
});

describe('schedulers: the examples of the docstrings', () => {
  it('a warm-up, then half a cosine', () => {
    const x = variable(4);
    const swa = own(new SWA(tf.train.momentum(0.1, 0.9)));
    const warmUp = linear({ from: 0.01, to: 0.1, steps: 5 });
    const cosine = cosineAnnealing({ from: 0.1, to: 0.01, steps: 45 });
    const scheduler = new LambdaLR(swa, sequence([[warmUp, 5], cosine]));
    for (let epoch = 0; epoch < 50; epoch++) {
      swa.minimize(() => tf.square(x) as tf.Scalar, false, [x]);
      scheduler.step();
    }
    assert.deepEqual(scheduler.lastLr, [0.01]);
  });

  it('half a cosine, then an anneal and averages', () => {
    const x = variable(4);
    const swa = own(new SWA(tf.train.sgd(0.1)));
    const scheduler = new LambdaLR(swa, cosineAnnealing({ from: 0.1, to: 0, steps: 60 }));
    const swaScheduler = new SWALR(swa, { swaLr: 0.05, annealEpochs: 5 });
    for (let epoch = 0; epoch < 60; epoch++) {
      swa.minimize(() => tf.square(x) as tf.Scalar, false, [x]);
      if (epoch < 30) scheduler.step();
      else {
        swaScheduler.step();
        swa.updateSwa();
      }
    }
    assert.deepEqual(swaScheduler.lastLr, [0.05]);
    assert.equal(swa.paramGroups[0]!.n_avg, 30);
  });
});
