import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import {
  constant,
  cosineAnnealing,
  LambdaLR,
  linear,
  sequence,
  SWA,
  SWALR,
} from '../../lib/index.js';
import { RATES, type Rate } from '../../lib/schedule/learning_rate.js';
import {
  grouped,
  listed,
  rateOf,
  Rateless,
  ratesOf,
  seeded,
  sgd,
  stepOn,
} from '../support/rates.js';
import {
  assertFails,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

describe('schedulers: optimizers', () => {
  const makers: Record<string, (optimizer: tf.Optimizer) => unknown> = {
    LambdaLR: (optimizer) => new LambdaLR(optimizer, constant(0.1)),
    SWALR: (optimizer) => new SWALR(optimizer, { swaLr: 0.1 }),
  };
  for (const [name, make] of Object.entries(makers)) {
    it(`${name} refuses an optimizer without a rate, wrapped or not`, async () => {
      const message = 'The optimizer Rateless has no learningRate';
      await assertFails(
        () => make(own(new Rateless())),
        'Cannot set lr: the optimizer Rateless has no learningRate',
      );
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

describe('schedulers: the rates that a wrapper lists', () => {
  /** A wrapper of which only its rates are known. */
  class Wrapper extends Rateless {
    readonly [RATES]: Rate[];
    constructor(...rates: number[]) {
      super();
      this[RATES] = rates.map((lr) => ({ lr }));
    }
    get lrs(): number[] {
      return this[RATES].map(({ lr }) => lr);
    }
  }

  it('are all set, groups that wait for their variables included', () => {
    const wrapper = own(new Wrapper(0.9, 0.8));
    const lambda = new LambdaLR(wrapper, [listed(0.5, 0.25), constant(0.75)]);
    assert.deepEqual(wrapper.lrs, [0.5, 0.75]);
    lambda.step();
    assert.deepEqual(wrapper.lrs, [0.25, 0.75]);
    // 0.25 half the way to 0, 0.75 half the way to 0.25
    const anneal = new SWALR(wrapper, {
      swaLr: [0, 0.25],
      annealEpochs: 2,
      annealStrategy: 'linear',
    });
    anneal.step();
    assert.deepEqual(wrapper.lrs, [0.125, 0.5]);
    assert.deepEqual(anneal.lastLr, [0.125, 0.5]);
  });

  it('count when a state is loaded: before, it is refused with a hint', async () => {
    const saved = new LambdaLR(own(new Wrapper(0.9, 0.8)), [listed(0.5, 0.25), constant(0.75)]);
    saved.step();
    const wrapper = own(new Wrapper(0.9));
    const lambda = new LambdaLR(wrapper, listed(0.5, 0.25));
    await assertFails(
      () => lambda.loadStateDict(saved.stateDict()),
      'Invalid lr of the state: a list of 2 (expected one rate for each group: 1; load the ' +
        "optimizer's own state first)",
    );
    assert.deepEqual(lambda.stateDict(), { last_epoch: 0, _last_lr: [0.5], lr: [0.5] });
    wrapper[RATES].push({ lr: 0.1 }); // as a loaded state does
    lambda.loadStateDict(saved.stateDict());
    assert.deepEqual(wrapper.lrs, [0.25, 0.75]);
    assert.equal(lambda.stateDict().last_epoch, 1);
  });

  it('that is none is refused', async () => {
    await assertFails(
      () => new LambdaLR(own(new Wrapper(0.9, NaN)), constant(0.5)),
      'Cannot set lr: a parameter group has no learningRate',
    );
  });

  it('are as before where one of them refuses, and the count too', async () => {
    const wrapper = own(new Wrapper(0.9, 0.8));
    const lambda = new LambdaLR(wrapper, listed(0.5, 0.25, 0.125));
    const anneal = new SWALR(wrapper, { swaLr: 0.1 });
    const states = [lambda.stateDict(), anneal.stateDict()] as const;
    const refusing = {
      get lr() {
        return 0.7;
      },
      set lr(_: number) {
        throw new Error('no');
      },
    };
    wrapper[RATES].push(refusing);
    await assertFails(() => lambda.step(), 'no');
    await assertFails(() => anneal.step(), 'no');
    const moved = { last_epoch: 3, _last_lr: [0.3, 0.3, 0.3], lr: [0.3, 0.3, 0.3] };
    await assertFails(() => lambda.loadStateDict(moved), 'no');
    await assertFails(() => anneal.loadStateDict({ ...states[1], ...moved, swa_lr: 0.4 }), 'no');
    assert.deepEqual(wrapper.lrs, [0.5, 0.5, 0.7]);
    wrapper[RATES].pop();
    assert.deepEqual([lambda.stateDict(), anneal.stateDict()], [...states]);
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

  it('of a moment when a group had just joined is loaded as well', () => {
    const swa = grouped(0.5);
    const scheduler = new LambdaLR(swa, listed(0.5, 0.25));
    swa.addParamGroup({ params: variable(1), lr: 0.75 });
    const state = scheduler.stateDict();
    assert.deepEqual(state, { last_epoch: 0, _last_lr: [0.5], lr: [0.5, 0.75] });
    const fresh = grouped(0.1, 0.1);
    const resumed = new LambdaLR(fresh, listed(0.5, 0.25));
    resumed.loadStateDict(state);
    assert.deepEqual([...ratesOf(fresh), ...resumed.lastLr], [0.5, 0.75, 0.5]);
    resumed.step();
    assert.deepEqual(ratesOf(fresh), [0.25, 0.25]);
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
        'Invalid lr of the state: a list of 1 (expected one rate for each group: 2; load the ' +
          "optimizer's own state first)",
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
