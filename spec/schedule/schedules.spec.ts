import { assert } from 'chai';
import fc from 'fast-check';
import {
  constant,
  cosineAnnealing,
  cyclic,
  exponential,
  linear,
  oneCycle,
  sequence,
  stepDecay,
  triangular,
  warmRestarts,
  type Schedule,
} from '../../lib/index.js';
import { interpolate } from '../../lib/schedule/schedules.js';
import { assertClose, assertFails, golden } from '../support/support.js';

/** The first `count` rates of a schedule. */
const rates = (schedule: Schedule, count: number): number[] =>
  Array.from({ length: count }, (_, step) => schedule(step));

/** Asserts that the rates are the recorded ones, within 1e-7 of the largest of them. */
function assertTrace(schedule: Schedule, recorded: number[], what: string): void {
  assert.isAtLeast(recorded.length, 30, what);
  const tolerance = 1e-7 * Math.max(...recorded);
  assertClose(rates(schedule, recorded.length), recorded, tolerance, what);
}

const rate = fc.double({ min: 0, max: 10, noNaN: true });
const share = fc.double({ min: 0, max: 1, noNaN: true });
const steps = fc.integer({ min: 1, max: 50 });
const step = fc.integer({ min: 0, max: 1000 });
/** Every property runs on the same numbers each time. */
const seeded = { seed: 20180314, numRuns: 300 };

/** A schedule with its least and greatest rate. */
const bounded: fc.Arbitrary<{ schedule: Schedule; min: number; max: number }> = fc.oneof(
  rate.map((lr) => ({ schedule: constant(lr), min: lr, max: lr })),
  fc.tuple(fc.constantFrom(linear, cosineAnnealing), rate, rate, steps).map((drawn) => {
    const [make, from, to, count] = drawn;
    const schedule = make({ from, to, steps: count });
    return { schedule, min: Math.min(from, to), max: Math.max(from, to) };
  }),
  fc.tuple(rate, rate, steps, steps).map(([a, b, stepsUp, stepsDown]) => {
    const [min, max] = [Math.min(a, b), Math.max(a, b)];
    return { schedule: triangular({ low: min, high: max, stepsUp, stepsDown }), min, max };
  }),
  fc.tuple(rate, rate, steps).map(([a, b, count]) => {
    const [min, max] = [Math.min(a, b), Math.max(a, b)];
    return { schedule: cyclic({ low: min, high: max, steps: count }), min, max };
  }),
  fc.tuple(rate, rate, steps, fc.integer({ min: 1, max: 4 })).map(([a, b, count, growth]) => {
    const [min, max] = [Math.min(a, b), Math.max(a, b)];
    return { schedule: warmRestarts({ low: min, high: max, steps: count, growth }), min, max };
  }),
  fc.tuple(rate, steps, share, share, share).map(([max, count, ...shares]) => {
    const [startFactor, endFactor, warmup] = shares;
    const schedule = oneCycle({ max, steps: count, startFactor, endFactor, warmup });
    return { schedule, min: max * startFactor * endFactor, max };
  }),
  fc.tuple(rate, share, steps).map(([from, factor, every]) => {
    return { schedule: stepDecay({ from, factor, every }), min: 0, max: from };
  }),
  fc.tuple(rate, share).map(([from, factor]) => {
    return { schedule: exponential({ from, factor }), min: 0, max: from };
  }),
);

describe('schedules: worked numbers', () => {
  it('constant gives the same rate at every step', () => {
    assert.deepEqual(rates(constant(0.1), 3), [0.1, 0.1, 0.1]);
  });

  it('linear goes by equal steps and stays', () => {
    // 0.1 - 0.05 k / 5 for k = 0 ... 5, then 0.05
    const expected = [0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.05, 0.05];
    assertClose(rates(linear({ from: 0.1, to: 0.05, steps: 5 }), 8), expected, 1e-15);
  });

  it('linear warms up as well', () => {
    // 0.1 k / 4
    const expected = [0, 0.025, 0.05, 0.075, 0.1, 0.1];
    assertClose(rates(linear({ from: 0, to: 0.1, steps: 4 }), 6), expected, 1e-15);
  });

  it('cosineAnnealing goes by (1 - cos(pi k / 4)) / 2 of the way, and back', () => {
    // cos(pi k / 4) = 1, r, 0, -r, -1, -r, 0, r, 1 with r = sqrt(1/2);
    // 0.06 + 0.04 cos(...): 0.0882842712 = 0.06 + 0.04 * 0.7071067812
    const expected = [0.1, 0.0882842712, 0.06, 0.0317157288, 0.02];
    const there = rates(cosineAnnealing({ from: 0.1, to: 0.02, steps: 4 }), 9);
    assertClose(there.slice(0, 5), expected, 1e-10);
    assertClose(there.slice(4), [...expected].reverse(), 1e-10);
  });

  it('triangular climbs in stepsUp and falls in stepsDown', () => {
    // up by 0.04 / 2 = 0.02, down by 0.04 / 4 = 0.01
    const expected = [0.01, 0.03, 0.05, 0.04, 0.03, 0.02, 0.01, 0.03, 0.05];
    const schedule = triangular({ low: 0.01, high: 0.05, stepsUp: 2, stepsDown: 4 });
    assertClose(rates(schedule, 9), expected, 1e-15);
  });

  it('cyclic falls by a c-th of the way from below high to low, and jumps', () => {
    // c = 4: t = 1/4, 2/4, 3/4, 4/4; 0.05 - 0.04 t
    const expected = [0.04, 0.03, 0.02, 0.01, 0.04, 0.03, 0.02, 0.01, 0.04];
    assertClose(rates(cyclic({ high: 0.05, low: 0.01, steps: 4 }), 9), expected, 1e-15);
  });

  it('cyclic with steps 1 is the constant low rate', () => {
    assert.deepEqual(rates(cyclic({ high: 0.05, low: 0.01, steps: 1 }), 3), [0.01, 0.01, 0.01]);
  });

  it('stepDecay halves every so many steps, exponential at each', () => {
    const stairs = [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2];
    assertClose(rates(stepDecay({ from: 0.8, factor: 0.5, every: 3 }), 7), stairs, 1e-15);
    assertClose(rates(exponential({ from: 0.8, factor: 0.5 }), 4), [0.8, 0.4, 0.2, 0.1], 1e-15);
    assert.deepEqual(rates(exponential({ from: 0.5, factor: 0 }), 3), [0.5, 0, 0]);
  });

  it('oneCycle goes up to max and down to nearly nothing, and stays', () => {
    // w = 0.3 * 10 - 1 = 2: from 0.2 up by (1 - cos(pi k / 2)) / 2 = 0, 1/2, 1 to 1; then of 7 steps
    // to 0.2 * 0.5 = 0.1, after 7 / 2 = 3.5 of them half the way: 0.55.
    const schedule = oneCycle({ max: 1, steps: 9, startFactor: 0.2, endFactor: 0.5 });
    assertClose(
      [0, 1, 2, 5.5, 9, 10, 1e9].map(schedule),
      [0.2, 0.6, 1, 0.55, 0.1, 0.1, 0.1],
      1e-15,
    );
  });

  it('oneCycle has no warm-up where warmup (steps + 1) <= 1, and nothing else where it is 1', () => {
    // 0.25 * 4 = 1; 1, then down to 0 by (1 - cos(pi k / 3)) / 2 = 1/4, 3/4, 1
    const down = oneCycle({ max: 1, steps: 3, endFactor: 0, warmup: 0.25 });
    assertClose(rates(down, 5), [1, 0.75, 0.25, 0, 0], 1e-15);
    assertClose(
      rates(oneCycle({ max: 1, steps: 3, endFactor: 0, warmup: 0 }), 2),
      [1, 0.75],
      1e-15,
    );
    // 0.2 + 0.8 (1/4, 3/4, 1)
    const up = oneCycle({ max: 1, steps: 3, startFactor: 0.2, warmup: 1 });
    assertClose(rates(up, 5), [0.2, 0.4, 0.8, 1, 1], 1e-15);
  });

  it('warmRestarts falls by half a cosine and jumps, in cycles that grow', () => {
    // cycles of 2 and 4: (1 + cos(pi k / 2)) / 2 = 1, 1/2; then (1 + cos(pi k / 4)) / 2 = 1,
    // 0.8535533906, 1/2, 0.1464466094
    const cycles = [1, 0.5, 1, 0.8535533906, 0.5, 0.1464466094, 1];
    const growing = warmRestarts({ high: 1, low: 0, steps: 2, growth: 2 });
    assertClose(rates(growing, 7), cycles, 1e-10);
    const equal = warmRestarts({ high: 1, low: 0.5, steps: 2 });
    assertClose(rates(equal, 5), [1, 0.75, 1, 0.75, 1], 1e-15);
    assert.equal(equal(1e10), 1);
  });

  it('takes fractions of a step, where cyclic waits for the next', () => {
    assert.closeTo(linear({ from: 0.1, to: 0.05, steps: 5 })(2.5), 0.075, 1e-15);
    // (1 - cos(pi / 3)) / 2 = 1/4: 0.1 - 0.08 / 4
    const cosine = cosineAnnealing({ from: 0.1, to: 0.02, steps: 3 });
    assert.closeTo(cosine(1), 0.08, 1e-15);
    assert.closeTo(cosine(1.5), 0.06, 1e-15);
    const saw = cyclic({ high: 0.05, low: 0.01, steps: 4 });
    assert.equal(saw(3.9), 0.01);
    assert.equal(saw(0.9), saw(0));
  });

  it('interpolate meets both ends exactly, where from + (to - from) misses one', () => {
    assert.equal(0.1 + (0.01 - 0.1) * 1, 0.009999999999999995);
    assert.deepEqual([interpolate(0.1, 0.01, 0), interpolate(0.1, 0.01, 1)], [0.1, 0.01]);
  });

  it('interpolate stays put between equal ends, where (1 - t) from + t to does not', () => {
    assert.equal((1 - 0.3) * 0.1 + 0.3 * 0.1, 0.09999999999999999);
    assert.equal(interpolate(0.1, 0.1, 0.3), 0.1);
  });

  it('cosineAnnealing is as exact after 10^10 steps as at the start', () => {
    // 10^10 is a multiple of 8, so this is half the way down again; cos(pi (10^10 + 2) / 4), formed
    // at once, is off by 4e-8.
    const schedule = cosineAnnealing({ from: 1, to: 0, steps: 4 });
    assert.closeTo(schedule(1e10 + 2), 0.5, 1e-15);
  });
});

describe('schedules: the examples of the docstrings', () => {
  const examples: Record<string, [Schedule, number[], number[]]> = {
    constant: [constant(0.1), [1000], [0.1]],
    linear: [
      linear({ from: 0.1, to: 0.05, steps: 5 }),
      [0, 1, 4, 5, 6],
      [0.1, 0.09, 0.06, 0.05, 0.05],
    ],
    cosineAnnealing: [
      cosineAnnealing({ from: 0.1, to: 0.02, steps: 4 }),
      [0, 2, 4, 6, 8],
      [0.1, 0.06, 0.02, 0.06, 0.1],
    ],
    triangular: [
      triangular({ low: 0.01, high: 0.05, stepsUp: 1, stepsDown: 4 }),
      [0, 1, 2, 3, 4, 5],
      [0.01, 0.05, 0.04, 0.03, 0.02, 0.01],
    ],
    cyclic: [
      cyclic({ high: 0.05, low: 0.01, steps: 4 }),
      [0, 1, 2, 3, 4],
      [0.04, 0.03, 0.02, 0.01, 0.04],
    ],
    stepDecay: [
      stepDecay({ from: 0.1, factor: 0.5, every: 30 }),
      [0, 29, 30, 60],
      [0.1, 0.1, 0.05, 0.025],
    ],
    exponential: [exponential({ from: 0.1, factor: 0.5 }), [0, 1, 2], [0.1, 0.05, 0.025]],
    oneCycle: [
      oneCycle({ max: 0.1, steps: 4, startFactor: 0.5, endFactor: 0, warmup: 0.4 }),
      [0, 1, 2, 3, 4],
      [0.05, 0.1, 0.075, 0.025, 0],
    ],
    warmRestarts: [
      warmRestarts({ high: 0.1, low: 0, steps: 2, growth: 2 }),
      [0, 1, 2, 4, 6],
      [0.1, 0.05, 0.1, 0.05, 0.1],
    ],
    sequence: [
      sequence([
        [constant(0.1), 20],
        [cosineAnnealing({ from: 0.1, to: 0.01, steps: 30 }), 30],
        cyclic({ high: 0.05, low: 0.01, steps: 5 }),
      ]),
      [0, 20, 35, 50, 54],
      [0.1, 0.1, 0.055, 0.042, 0.01],
    ],
  };
  for (const [name, [schedule, at, expected]] of Object.entries(examples)) {
    it(name, () => assertClose(at.map(schedule), expected, 1e-15));
  }
});

describe('schedules: torch and the paper, recorded', () => {
  const trace = golden('schedules');

  it('torch ConstantLR, factor 0.5 for 4 steps', () => {
    const schedule = sequence([[constant(0.05), 4], constant(0.1)]);
    assertTrace(schedule, trace.torch_constant.lrs, 'constant');
  });

  it('torch CosineAnnealingLR, T_max 12: beyond it the rate rises again', () => {
    const schedule = cosineAnnealing({ from: 0.1, to: 0.01, steps: 12 });
    assertTrace(schedule, trace.torch_cosine.lrs, 'cosine');
  });

  it('torch CyclicLR, mode triangular', () => {
    const schedule = triangular({ low: 0.01, high: 0.05, stepsUp: 1, stepsDown: 9 });
    assertTrace(schedule, trace.torch_cyclic.lrs, 'triangular');
  });

  it('torch SequentialLR of the three', () => {
    const { lr, constant_steps, cosine_T_max, eta_min, cyclic: wave, milestones, lrs } =
      trace.constant_cosine_cyclic_sequential; // prettier-ignore
    const schedule = sequence([
      [constant(lr), constant_steps],
      [cosineAnnealing({ from: lr, to: eta_min, steps: cosine_T_max }), cosine_T_max],
      triangular({
        low: wave.base_lr,
        high: wave.max_lr,
        stepsUp: wave.step_size_up,
        stepsDown: wave.step_size_down,
      }),
    ]);
    assert.deepEqual(milestones, [50, 100]);
    assertTrace(schedule, lrs, 'sequence');
  });

  it("the paper's cyclic rate", () => {
    const { alpha1, alpha2, c, lrs } = trace.paper_cyclic;
    assertTrace(cyclic({ high: alpha1, low: alpha2, steps: c }), lrs, 'cyclic');
  });

  it('torch SWALR alone is a linear or a cosine that ends', () => {
    for (const epochs of [1, 5, 10]) {
      const options = { from: 0.1, to: 0.05, steps: epochs };
      const line = rates(linear(options), 16);
      assertClose(line, trace[`swalr_linear_${epochs}`].lrs, 5e-9, `linear ${epochs}`);
      const cosine = rates(sequence([[cosineAnnealing(options), epochs]]), 16);
      assertClose(cosine, trace[`swalr_cos_${epochs}`].lrs, 5e-9, `cos ${epochs}`);
    }
  });
});

describe('schedules: more of torch, recorded', () => {
  const trace = golden('schedules_more');
  const met = (schedule: Schedule, recorded: number[]): void => {
    assert.isAtLeast(recorded.length, 21);
    assertClose(rates(schedule, recorded.length), recorded, 1e-15);
  };

  it('StepLR', () => {
    const { lr: from, factor, every, lrs } = trace.step;
    met(stepDecay({ from, factor, every }), lrs);
  });

  it('ExponentialLR', () => {
    const { lr: from, factor, lrs } = trace.exponential;
    met(exponential({ from, factor }), lrs);
  });

  it('OneCycleLR', () => {
    const { max, steps: count, lrs } = trace.one_cycle;
    assert.lengthOf(lrs, (count as number) + 1);
    met(oneCycle({ max, steps: count }), lrs);
  });

  it('CosineAnnealingWarmRestarts', () => {
    const { high, low, steps: count, mult: growth, lrs } = trace.warm_restarts;
    met(warmRestarts({ high, low, steps: count, growth }), lrs);
  });
});

describe('schedules: properties', () => {
  it('stay within their bounds, exactly, also between steps', () => {
    const anyStep = fc.oneof(step, fc.double({ min: 0, max: 1e6, noNaN: true }));
    fc.assert(
      fc.property(bounded, anyStep, ({ schedule, min, max }, at) => {
        const lr = schedule(at);
        return lr >= min && lr <= max;
      }),
      seeded,
    );
  });

  it('are pure: the order of the calls does not matter', () => {
    fc.assert(
      fc.property(bounded, fc.array(step, { minLength: 1 }), ({ schedule }, at) => {
        const forward = at.map(schedule);
        assert.deepEqual([...at].reverse().map(schedule).reverse(), forward);
      }),
      seeded,
    );
  });

  it('linear and cosineAnnealing start at from and are at to after steps, exactly', () => {
    fc.assert(
      fc.property(rate, rate, steps, step, (from, to, count, more) => {
        const options = { from, to, steps: count };
        const line = linear(options);
        assert.deepEqual([line(0), line(count), line(count + more)], [from, to, to]);
        const cosine = cosineAnnealing(options);
        assert.deepEqual([cosine(0), cosine(count), cosine(2 * count)], [from, to, from]);
        const ended = sequence([[cosine, count]]);
        assert.equal(ended(count + more), to);
      }),
      seeded,
    );
  });

  it('triangular is at low where a cycle starts and at high after stepsUp, exactly', () => {
    fc.assert(
      fc.property(rate, rate, steps, steps, step, (low, more, stepsUp, stepsDown, cycle) => {
        const high = low + more;
        const wave = triangular({ low, high, stepsUp, stepsDown });
        const start = cycle * (stepsUp + stepsDown);
        assert.deepEqual([wave(start), wave(start + stepsUp)], [low, high]);
      }),
      seeded,
    );
  });

  it('cyclic is at low where c divides i = step + 1, exactly, and only there', () => {
    fc.assert(
      fc.property(rate, fc.double({ min: 0.01, max: 1, noNaN: true }), steps, step, (...drawn) => {
        const [low, more, c, at] = drawn;
        const saw = cyclic({ high: low + more, low, steps: c });
        assert.equal(saw(at) === low, (at + 1) % c === 0);
        assert.equal(saw(at), saw(at + c));
      }),
      seeded,
    );
  });

  it('a sequence is its parts, one after the other, each from its step 0', () => {
    const parts = fc.array(fc.tuple(bounded, steps), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(parts, bounded, fc.boolean(), (drawn, tail, bare) => {
        const phases = drawn.map(([{ schedule }, count]) => [schedule, count] as const);
        const expected = phases.flatMap(([schedule, count]) => rates(schedule, count));
        const [last, lastSteps] = phases.at(-1)!;
        const rest = bare
          ? rates(tail.schedule, 100)
          : Array.from({ length: 100 }, () => last(lastSteps));
        const whole = sequence(bare ? [...phases, tail.schedule] : phases);
        assert.deepEqual(rates(whole, expected.length + 100), [...expected, ...rest]);
      }),
      seeded,
    );
  });

  it('a sequence within a sequence is the flat one', () => {
    const [a, b] = [linear({ from: 1, to: 0, steps: 3 }), cyclic({ high: 2, low: 1, steps: 2 })];
    const nested = sequence([[sequence([[a, 3], b]), 5], a]);
    assert.deepEqual(rates(nested, 12), rates(sequence([[a, 3], [b, 2], a]), 12));
  });
});

describe('schedules: mistakes', () => {
  const notRates = [-0.1, NaN, Infinity, -Infinity, '0.1', null, undefined];
  const notCounts = [0, -1, 1.5, NaN, Infinity, '5', null, undefined];
  const shown = (value: unknown): string =>
    typeof value === 'string' ? `"${value}"` : String(value);
  const expectations = { rate: 'a finite number >= 0', count: 'an integer >= 1' };

  const valid: Record<string, { make: (options: never) => Schedule; options: object }> = {
    linear: { make: linear, options: { from: 0.1, to: 0.01, steps: 5 } },
    cosineAnnealing: { make: cosineAnnealing, options: { from: 0.1, to: 0.01, steps: 5 } },
    triangular: {
      make: triangular,
      options: { low: 0.01, high: 0.1, stepsUp: 1, stepsDown: 5 },
    },
    cyclic: { make: cyclic, options: { high: 0.1, low: 0.01, steps: 5 } },
    stepDecay: { make: stepDecay, options: { from: 0.1, factor: 0.5, every: 5 } },
    exponential: { make: exponential, options: { from: 0.1, factor: 0.5 } },
    oneCycle: { make: oneCycle, options: { max: 0.1, steps: 5 } },
    warmRestarts: { make: warmRestarts, options: { high: 0.1, low: 0.01, steps: 5, growth: 2 } },
  };
  for (const [name, { make, options }] of Object.entries(valid)) {
    for (const key of Object.keys(options)) {
      it(`${name} refuses a wrong ${key}`, async () => {
        const kind = /^steps|every|growth/.test(key) ? 'count' : 'rate';
        for (const value of kind === 'count' ? notCounts : notRates) {
          if (key === 'growth' && value === undefined) continue; // the default
          await assertFails(
            () => make({ ...options, [key]: value } as never),
            `Invalid ${key}: ${shown(value)} (expected ${expectations[kind]})`,
          );
        }
      });
    }
  }

  it('constant refuses a wrong lr', async () => {
    for (const value of notRates) {
      await assertFails(
        () => constant(value as number),
        `Invalid lr: ${shown(value)} (expected a finite number >= 0)`,
      );
    }
  });

  it('oneCycle refuses shares beyond 0 and 1, and all refuse options that they do not know', async () => {
    for (const name of ['startFactor', 'endFactor', 'warmup']) {
      for (const value of [-0.1, 1.1, NaN, '0.1', null]) {
        await assertFails(
          () => oneCycle({ max: 0.1, steps: 5, [name]: value as number }),
          `Invalid ${name}: ${shown(value)} (expected a number in [0, 1])`,
        );
      }
    }
    for (const { make, options } of Object.values(valid)) {
      await assertFails(() => make({ ...options, gamma: 1 } as never), /^Unknown option gamma /);
      for (const none of [null, undefined, 0.1]) {
        await assertFails(() => make(none as never), /^Invalid options: /);
      }
    }
  });

  it('triangular and cyclic refuse a low above high, but not equal to it', async () => {
    const [low, high] = [0.2, 0.1];
    const message = 'Invalid low: 0.2 (expected a finite number from 0 to high, 0.1)';
    await assertFails(() => cyclic({ high, low, steps: 5 }), message);
    await assertFails(() => triangular({ high, low, stepsUp: 1, stepsDown: 1 }), message);
    await assertFails(() => warmRestarts({ high, low, steps: 5 }), message);
    assert.equal(cyclic({ high, low: high, steps: 5 })(2), 0.1);
  });

  it('sequence refuses what is no list of phases', async () => {
    const flat = constant(0.1);
    const pairs = 'expected [schedule, steps]; only the last may be a schedule alone';
    const wrong: Array<[unknown, string]> = [
      [[], 'Invalid sequence: a list of 0 (expected a list [[schedule, steps], ..., schedule])'],
      ['abc', 'Invalid sequence: "abc" (expected a list [[schedule, steps], ..., schedule])'],
      [[[flat, 5], 0.1], `Invalid sequence[1]: 0.1 (${pairs})`],
      [[[0.1, 5], flat], `Invalid sequence[0]: a list of 2 (${pairs})`],
      [[[flat, 0], flat], 'Invalid steps of sequence[0]: 0 (expected an integer >= 1)'],
      [[[flat, 2.5]], 'Invalid steps of sequence[0]: 2.5 (expected an integer >= 1)'],
      [[[flat, '5']], 'Invalid steps of sequence[0]: "5" (expected an integer >= 1)'],
    ];
    for (const [parts, message] of wrong) {
      await assertFails(() => sequence(parts as Schedule[]), message);
    }
    await assertFails(() => sequence([flat, flat]), /^Invalid sequence\[0\]: .*only the last/s);
    await assertFails(() => sequence([[flat, 1, 2]] as never), /^Invalid sequence\[0\]: /);
  });

  it('every schedule refuses a step that is none', async () => {
    const all = [
      constant(0.1),
      ...Object.values(valid).map(({ make, options }) => make(options as never)),
      sequence([[constant(0.1), 5]]),
      sequence([() => 0.1]),
    ];
    for (const schedule of all) {
      for (const value of [-1, NaN, Infinity, '3', undefined]) {
        await assertFails(
          () => schedule(value as number),
          `Invalid step: ${shown(value)} (expected a finite number >= 0)`,
        );
      }
    }
  });
});
