import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { moveTowards, startAverage, updateAverages } from '../../lib/average/average.js';
import { avgFnConfig, avgFnKind } from '../../lib/average/avg_fn.js';
import {
  AveragedModel,
  emaAvgFn,
  finiteOnly,
  SWA,
  swaAvgFn,
  weightedAvgFn,
  type AvgFn,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertClose,
  assertFails,
  half,
  own,
  random,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

describe('averaging functions', () => {
  const apply = async (
    avgFn: AvgFn,
    averaged: number[],
    current: number[],
    n: number,
  ): Promise<number[]> => {
    const [a, c] = [own(tf.tensor1d(averaged)), own(tf.tensor1d(current))];
    const next = own(avgFn(a, c, n));
    assert.deepEqual([[...(await a.data())], [...(await c.data())]], [averaged, current], 'pure');
    return [...(await next.data())];
  };

  it('swaAvgFn is averaged + (current - averaged) / (n + 1)', async () => {
    // 1 + 4/4 = 2, 2 + 0/4 = 2, 3 - 8/4 = 1
    assert.deepEqual(await apply(swaAvgFn(), [1, 2, 3], [5, 2, -5], 3), [2, 2, 1]);
  });

  it('emaAvgFn is decay averaged + (1 - decay) current, 0.999 by default', async () => {
    assert.deepEqual(await apply(emaAvgFn(0.75), [8, -4], [4, 4], 1), [7, -2]);
    assert.deepEqual(await apply(emaAvgFn(0), [8], [4], 5), [4]);
    assert.deepEqual(await apply(emaAvgFn(1), [8], [4], 5), [8]);
    assertClose(await apply(emaAvgFn(), [1000], [0], 5), [999], 1e-4);
  });

  it('emaAvgFn with warmup has the decay min(decay, (1 + n) / (10 + n))', async () => {
    const average = emaAvgFn(0.75, { warmup: true });
    // From 1 towards 0 what is left is the decay: 2/11, 9/18 = 0.5, 26/35 = 0.743, then 0.75
    const decays = await Promise.all(
      [1, 8, 25, 27, 1000].map(async (n) => (await apply(average, [1], [0], n))[0]!),
    );
    assertClose(decays, [2 / 11, 0.5, 26 / 35, 0.75, 0.75], 1e-7);
    assertClose(await apply(emaAvgFn(0.1, { warmup: true }), [1], [0], 1), [0.1], 1e-7);
  });

  it('emaAvgFn(0) is the current value exactly, emaAvgFn(1) the first one', async () => {
    // By the formula 1e10 + (1 / 3 - 1e10) would be 0, and Infinity + (1 - Infinity) NaN.
    const [averaged, current] = [
      [1e10, Infinity, NaN, 5],
      [Math.fround(1 / 3), 1, 2, NaN],
    ];
    assert.deepEqual(await apply(emaAvgFn(0), averaged!, current!, 5), current);
    assert.deepEqual(await apply(emaAvgFn(1), averaged!, current!, 5), averaged);
    for (const [decay, expected] of [
      [0, current],
      [1, averaged],
    ] as const) {
      const [buffer, value] = [variable(averaged!), variable(current!)];
      const { numTensors } = tf.memory();
      assert.isTrue(updateAverages([buffer], [value], 5, emaAvgFn(decay)));
      assert.equal(tf.memory().numTensors, numTensors);
      assert.deepEqual([...(await buffer.data())], expected);
      tf.tidy(() => value.assign(tf.zeros([4])));
      assert.deepEqual([...(await buffer.data())], expected);
    }
  });

  it('emaAvgFn of a half-life has the decay 2 ** (-1 / halfLife)', async () => {
    // One update: 0.5; two: 0.5 ** 0.5 = 0.70710678, twice that is one half.
    assert.deepEqual(await apply(emaAvgFn({ halfLife: 1 }), [8], [4], 5), [6]);
    const once = await apply(emaAvgFn({ halfLife: 2 }), [1], [0], 5);
    assertClose(once, [Math.SQRT1_2], 1e-7);
    assertClose(await apply(emaAvgFn({ halfLife: 2 }), once, [0], 6), [0.5], 1e-7);
    assert.deepEqual(avgFnConfig(emaAvgFn({ halfLife: 1 }, { warmup: true })), {
      decay: 0.5,
      warmup: true,
    });
  });

  for (const halfLife of [0, -1, NaN, Infinity, '3', undefined]) {
    it(`emaAvgFn refuses the half-life ${halfLife}`, () =>
      assertFails(
        () => emaAvgFn({ halfLife: halfLife as number }),
        /^Invalid halfLife: .* \(expected a finite number > 0\)$/,
      ));
  }

  it('emaAvgFn refuses what is no half-life', () =>
    assertFails(
      () => emaAvgFn({ halflife: 3 } as never),
      'Unknown property of decay halflife (known ones: halfLife)',
    ));

  it('weightedAvgFn goes the weight of the way', async () => {
    // decays 1 - (1 + n) ** (-2 / 3), from 0 towards 1
    const power = weightedAvgFn((n) => 1 - (1 - (1 + n) ** (-2 / 3)));
    const decays = await Promise.all(
      [1, 2, 3].map(async (n) => (await apply(power, [1], [0], n))[0]!),
    );
    assertClose(decays, [0.37003948, 0.51925014, 0.60314974], 1e-7);
    // 8 + (4 - 8) * 2, beyond the value
    assert.deepEqual(
      await apply(
        weightedAvgFn(() => 2),
        [8],
        [4],
        1,
      ),
      [0],
    );
  });

  it('weightedAvgFn asks for the weight once an update', () => {
    const asked: number[] = [];
    const avgFn = weightedAvgFn((n) => {
      asked.push(n);
      return 2;
    });
    const [a, b] = [variable([1]), variable([2])];
    updateAverages([a, b], [b, a], 3, avgFn);
    updateAverages([a, b], [b, a], 4, finiteOnly(avgFn));
    assert.deepEqual(asked, [3, 4]);
  });

  it('weightedAvgFn refuses a weight that is not finite, and nothing has changed', async () => {
    await assertFails(
      () => weightedAvgFn(0.5 as never),
      'Invalid weight: 0.5 (expected a function)',
    );
    for (const weight of [NaN, Infinity, undefined, '1']) {
      const [a, b] = [variable([1]), variable([2])];
      await assertFails(
        () =>
          updateAverages(
            [a],
            [b],
            3,
            weightedAvgFn(() => weight as number),
          ),
        /^Invalid weight\(3\): .* \(expected a finite number\)$/,
      );
      assert.deepEqual([...(await a.data())], [1]);
    }
  });

  it('each is of a kind, and finiteOnly of that which it guards', () => {
    const own = weightedAvgFn(() => 0.5);
    for (const [avgFn, kind, config] of [
      [swaAvgFn(), 'swa', null],
      [emaAvgFn(0.99), 'ema(decay 0.99)', { decay: 0.99, warmup: false }],
      [emaAvgFn(0.99, { warmup: true }), 'ema(decay 0.99, warmup)', { decay: 0.99, warmup: true }],
      [emaAvgFn({ halfLife: 1 }), 'ema(decay 0.5)', { decay: 0.5, warmup: false }],
      [own, 'own', undefined],
      [(averaged: tf.Tensor) => averaged, 'own', undefined],
    ] as const) {
      for (const one of [avgFn, finiteOnly(avgFn), finiteOnly(finiteOnly(avgFn))]) {
        assert.equal(avgFnKind(one), kind);
        assert.deepEqual(avgFnConfig(one), config);
      }
    }
  });

  it('an EMA whose decay is 1 - 1/(n + 1) is SWA', async () => {
    const value = fc.float({ min: -100, max: 100, noNaN: true });
    const averages = ([first, ...others]: number[]): tf.Tensor[] => {
      let [ema, swa] = [tf.scalar(first!), tf.scalar(first!)] as [tf.Tensor, tf.Tensor];
      others.forEach((current, i) => {
        const n = i + 1;
        [ema, swa] = [
          emaAvgFn(1 - 1 / (n + 1))(ema, tf.scalar(current), n),
          swaAvgFn()(swa, tf.scalar(current), n),
        ];
      });
      return [ema, swa];
    };
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 2, maxLength: 30 }), async (values) => {
        const [ema, swa] = tf.tidy(() => averages(values)).map(own);
        assertClose(await ema!.data(), await swa!.data(), 1e-4);
      }),
      { seed: 3 },
    );
  });

  for (const decay of [-0.1, 1.0001, NaN, Infinity, '0.9', null]) {
    it(`emaAvgFn refuses the decay ${JSON.stringify(decay)}`, () =>
      assertFails(
        () => emaAvgFn(decay as number),
        /^Invalid decay: .* \(expected a number in \[0, 1\]\)$/,
      ));
  }

  it('emaAvgFn refuses a warmup that is no boolean', () =>
    assertFails(
      () => emaAvgFn(0.9, { warmup: 10 as never }),
      'Invalid warmup: 10 (expected a boolean)',
    ));
});

describe('the running average of a variable', () => {
  it('of equal values is that value, exactly', async () => {
    const values = [1 / 3, -7e20, 1e-30, 0];
    const v = variable(values);
    const buffer = own(startAverage(v));
    for (let n = 1; n < 50; n++) updateAverages([buffer], [v], n, swaAvgFn());
    assert.deepEqual(await buffer.data(), Float32Array.from(values));
  });

  for (const size of [0, 1, 3, 4, 5, 63, 64, 65, 65_537]) {
    it(`over ${size} values equals the mean in float64, and leaves no tensor`, async () => {
      const next = random(size);
      const v = own(tf.tidy(() => tf.variable(tf.zeros([size]))));
      const sum = new Float64Array(size);
      let buffer: tf.Variable | undefined;
      for (let n = 0; n < 20; n++) {
        const values = Float32Array.from({ length: size }, () => 2 * next() - 1);
        values.forEach((value, i) => (sum[i]! += value));
        tf.tidy(() => v.assign(tf.tensor1d(values)));
        const { numTensors } = tf.memory();
        if (buffer) updateAverages([buffer], [v], n, swaAvgFn());
        else buffer = own(startAverage(v));
        assert.equal(tf.memory().numTensors, numTensors + (n === 0 ? 1 : 0));
      }
      assertClose(
        await buffer!.data(),
        sum.map((total) => total / 20),
        1e-6,
      );
    });
  }

  it('starts as a copy that neither later values nor disposal reach', async () => {
    const v = variable([1, 2]);
    const buffer = own(startAverage(v));
    assert.isFalse(buffer.trainable);
    tf.tidy(() => v.assign(tf.tensor1d([5, 5])));
    assert.deepEqual([...(await buffer.data())], [1, 2]);
    v.dispose();
    assert.deepEqual([...(await buffer.data())], [1, 2]);
  });

  it('carries NaN and infinity as arithmetic does', async () => {
    const v = variable([NaN, Infinity, -Infinity, 1]);
    const buffer = own(startAverage(variable([0, 0, 0, 0])));
    updateAverages([buffer], [v], 1, swaAvgFn());
    assert.deepEqual([...(await buffer.data())], [NaN, Infinity, -Infinity, 0.5]);
  });
});

describe('moveTowards', () => {
  it('is target + (value - target) * weight, tensor by tensor, and leaves no tensor', async () => {
    const targets = [variable([1, 2]), variable([[0]])];
    const values = [own(tf.tensor1d([5, -2])), own(tf.tensor2d([[8]]))];
    const { numTensors } = tf.memory();
    moveTowards(targets, values, 0.25);
    assert.equal(tf.memory().numTensors, numTensors);
    // 1 + 4 / 4, 2 - 4 / 4; 0 + 8 / 4
    const [first, second] = await valuesOf(targets);
    assertClose(first!, [2, 1], 2 ** -23);
    assertClose(second!, [2], 2 ** -23);
    assert.deepEqual(await valuesOf(values), [[5, -2], [8]]);
  });

  it('by 0.005 three times from 0 to 1, 2 and 4', async () => {
    const target = variable([0]);
    for (const value of [1, 2, 4]) moveTowards([target], [own(tf.tensor1d([value]))], 0.005);
    // 0.005; 0.005 * 0.995 + 0.01 = 0.014975; 0.014975 * 0.995 + 0.02 = 0.034900125
    assertClose(await target.data(), [0.034900125], 1e-7);
  });

  it('by 0 does nothing, by 1 copies, and what is copied is not tied to its source', async () => {
    const [target, value] = [variable([1e10, Infinity]), variable([Math.fround(0.1), NaN])];
    moveTowards([target], [value], 0);
    assert.deepEqual([...(await target.data())], [1e10, Infinity]);
    moveTowards([target], [value], 1);
    assert.deepEqual([...(await target.data())], [Math.fround(0.1), NaN]);
    moveTowards([target], [own(tf.tensor1d([2, 2]))], 0.5);
    assert.deepEqual([...(await value.data())], [Math.fround(0.1), NaN]);
  });

  it('of a variable towards itself, or towards an alias of it, changes nothing', async () => {
    for (const weight of [0.5, 1]) {
      const target = variable([1 / 3, 2]);
      const alias = own(tf.clone(target));
      moveTowards([target], [target], weight);
      moveTowards([target], [alias], weight);
      assert.deepEqual(await target.data(), Float32Array.of(1 / 3, 2));
    }
  });

  it('comes to the same, bit for bit, whoever shares the data', async () => {
    const size = 65;
    const next = random(4);
    const uniform = (): tf.Tensor =>
      tf.tensor1d(Float32Array.from({ length: size }, () => 2 * next() - 1));
    const value = own(tf.tidy(() => tf.variable(uniform())));
    const [alone, shared, started] = tf
      .tidy(() => [tf.mul(value, 1), tf.mul(value, 1)].map((start) => tf.variable(start)))
      .concat(startAverage(value))
      .map(own) as [tf.Variable, tf.Variable, tf.Variable];
    for (let n = 0; n < 5; n++) {
      // First by the very value that one of the three shares its data with.
      if (n > 0) tf.tidy(() => value.assign(uniform()));
      const alias = tf.clone(shared);
      moveTowards([alone, shared, started], [value, value, value], 1 / 3);
      alias.dispose();
      const expected = await alone.data();
      assert.deepEqual(await shared.data(), expected);
      assert.deepEqual(await started.data(), expected);
    }
  });

  it('never writes through an alias of a target', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(0, 1, 2, 3)), async (actions) => {
        const target = tf.tidy(() => tf.variable(tf.tensor1d([1, 2])));
        const value = tf.tensor1d([3, 5]);
        const aliases: [tf.Tensor, number[]][] = [];
        for (const action of actions) {
          const held = [...(await target.data())];
          if (action === 0) aliases.push([tf.clone(target), held]);
          else if (action === 1) aliases.push([tf.reshape(target, [2, 1]), held]);
          else if (action === 2) tf.dispose(aliases.pop()?.[0] ?? []);
          else moveTowards([target], [value], 0.5);
        }
        for (const [alias, held] of aliases) assert.deepEqual([...(await alias.data())], held);
        tf.dispose([target, value, aliases.map(([alias]) => alias)]);
      }),
      { numRuns: shareOf(60), seed: 5 },
    );
  });
});

describe("SWA's avgFn", () => {
  /** v is 8, 4, 2, 1, ...; the average starts with 4. */
  const run = (avgFn: AvgFn, steps: number): [SWA, tf.Variable] => {
    const v = variable([8]);
    const swa = own(new SWA(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1, avgFn }));
    for (let i = 0; i < steps; i++) swa.minimize(half(v), false, [v]);
    return [swa, v];
  };
  const averageOf = async ([swa, v]: [SWA, tf.Variable]): Promise<number> => {
    swa.swapSwaSgd();
    return (await v.data())[0]!;
  };

  it('makes an EMA', async () => {
    // 4; 0.75 * 4 + 0.25 * 2 = 3.5; 0.75 * 3.5 + 0.25 * 1 = 2.875
    assert.equal(await averageOf(run(emaAvgFn(0.75), 3)), 2.875);
  });

  it("is the caller's own: a new tensor, with what came before it and how many", async () => {
    const seen: number[] = [];
    const largest: AvgFn = (averaged, current, n) => {
      seen.push(n);
      return tf.maximum(averaged, tf.mul(current, tf.ones([1])));
    };
    assert.equal(await averageOf(run(largest, 4)), 4);
    assert.deepEqual(seen, [1, 2, 3]);
  });

  it('may return a tensor that it was handed; nothing leaks and nothing is freed twice', async () => {
    for (const [avgFn, expected] of [
      [(averaged: tf.Tensor) => averaged, 4],
      [(_: tf.Tensor, current: tf.Tensor) => current, 1],
      [(averaged: tf.Tensor) => tf.reshape(averaged, [1]), 4],
      [(_: tf.Tensor, current: tf.Tensor) => tf.clone(current), 1],
    ] as [AvgFn, number][]) {
      const [swa, v] = run(avgFn, 2);
      const { numTensors, numDataBuffers } = tf.memory();
      swa.minimize(half(v), false, [v]);
      assert.equal(tf.memory().numTensors, numTensors);
      assert.isAtMost(tf.memory().numDataBuffers, numDataBuffers);
      assert.equal((await v.data())[0], 1);
      assert.equal(await averageOf([swa, v]), expected);
      swa.swapSwaSgd();
      assert.equal((await v.data())[0], 1);
    }
  });

  it('that fails, or returns something else, changes no average and leaves no tensor', async () => {
    const [a, b] = [variable([8], 'avgFn/a'), variable([8, 8], 'avgFn/b')];
    let result: (averaged: tf.Tensor) => unknown = (averaged) => averaged;
    const avgFn = ((averaged: tf.Tensor) =>
      averaged.size === 1 ? tf.zeros([1]) : result(averaged)) as AvgFn;
    const swa = own(new SWA(tf.train.sgd(0.5), { avgFn, paramGroups: [{ params: [a, b] }] }));
    swa.updateSwa();
    const before = await swa.stateDict();
    const { numTensors } = tf.memory();
    const cases: [(averaged: tf.Tensor) => unknown, string][] = [
      [() => null, 'avgFn returned null for avgFn/b, not float32 [2]'],
      [() => tf.zeros([3]), 'avgFn returned float32 [3] for avgFn/b, not float32 [2]'],
      [
        (averaged) => tf.cast(averaged, 'int32'),
        'avgFn returned int32 [2] for avgFn/b, not float32 [2]',
      ],
      [
        () => {
          throw new Error('boom');
        },
        'boom',
      ],
    ];
    for (const [next, message] of cases) {
      result = next;
      await assertFails(() => swa.updateSwa(), message);
      assert.deepEqual(await swa.stateDict(), before);
      assert.equal(tf.memory().numTensors, numTensors);
    }
  });

  it('is refused if it is no function', async () => {
    const optimizer = own(tf.train.sgd(0.5));
    await assertFails(
      () => new SWA(optimizer, { avgFn: 0.9 as never }),
      'Invalid avgFn: 0.9 (expected a function)',
    );
  });
});

describe('finiteOnly', () => {
  const assign = (v: tf.Variable, values: number[]): void =>
    tf.tidy(() => v.assign(tf.tensor1d(values)));

  it('averages as the function that it was given, by default the equal average', () => {
    const [a, c] = [own(tf.tensor1d([8, -4])), own(tf.tensor1d([4, 4]))];
    // 0.75 * 8 + 0.25 * 4 = 7, 0.75 * -4 + 0.25 * 4 = -2; (3 * 8 + 4) / 4 = 7, (3 * -4 + 4) / 4 = -2
    for (const avgFn of [finiteOnly(emaAvgFn(0.75)), finiteOnly()]) {
      assert.deepEqual([...own(avgFn(a, c, 3)).dataSync()], [7, -2]);
    }
  });

  for (const bad of [NaN, Infinity, -Infinity]) {
    it(`refuses ${bad}, and every average and count stays as it was`, async () => {
      const [a, b] = [variable([1, 2]), variable([[3], [4]])];
      const swa = own(
        new SWA(tf.train.sgd(0.1), { avgFn: finiteOnly(), paramGroups: [{ params: [a, b] }] }),
      );
      swa.updateSwa();
      assign(a, [3, 4]);
      tf.tidy(() => b.assign(tf.tensor2d([[5], [bad]])));
      const before = await swa.stateDict();
      const { numTensors } = tf.memory();
      await assertFails(
        () => swa.updateSwa(),
        'Refused an average of shape [2,1]: value 2 would make it NaN or infinite',
      );
      assert.equal(tf.memory().numTensors, numTensors);
      assert.deepEqual(await swa.stateDict(), before);
      tf.tidy(() => b.assign(tf.tensor2d([[5], [6]])));
      swa.updateSwa();
      swa.swapSwaSgd();
      assert.deepEqual([...a.dataSync(), ...b.dataSync()], [2, 3, 4, 5]);
    });
  }

  it("refuses what a caller's own function makes of finite values", async () => {
    const [buffer, value] = [variable([0]), variable([1])];
    const inverse: AvgFn = (averaged, current) => tf.div(current, averaged);
    await assertFails(
      () => updateAverages([buffer], [value], 1, finiteOnly(inverse)),
      'Refused an average of shape [1]: value 2 would make it NaN or infinite',
    );
    assert.deepEqual([...(await buffer.data())], [0]);
  });

  it('refuses an average that is finite no more because a difference is not', async () => {
    // -3e38 and 3e38 are finite, and lie 6e38 apart.
    const [buffer, value] = [variable([-3e38]), variable([3e38])];
    await assertFails(
      () => updateAverages([buffer], [value], 1, finiteOnly()),
      /^Refused an average of shape \[1\]/,
    );
    assert.deepEqual([...(await buffer.data())], [Math.fround(-3e38)]);
    // 1e20 + (2e20 - 1e20) * 1e25, by weights outside of [0, 1]
    for (const weight of [1e25, -1e25]) {
      const [near, far] = [variable([1e20]), variable([2e20])];
      const beyond = finiteOnly(weightedAvgFn(() => weight));
      await assertFails(() => updateAverages([near], [far], 1, beyond), /^Refused an average/);
    }
  });

  it('takes large values that have a finite average', async () => {
    const [buffer, value] = [variable([2e38]), variable([1e38])];
    assert.isTrue(updateAverages([buffer], [value], 1, finiteOnly()));
    assertClose([(await buffer.data())[0]! / 1e38], [1.5], 1e-6);
  });

  it('finds an average that was made NaN by another', async () => {
    const [buffer, value] = [variable([1]), variable([3])];
    const guarded = finiteOnly();
    assert.isTrue(updateAverages([buffer], [value], 1, guarded));
    moveTowards([buffer], [own(tf.tensor1d([NaN]))], 0.5);
    await assertFails(() => updateAverages([buffer], [value], 2, guarded), /^Refused an average/);
  });

  it('with skip keeps the averages of the group and says so once', async () => {
    const skipping = finiteOnly(swaAvgFn(), { onNonFinite: 'skip' });
    const [a, b] = [variable([1, 2]), variable([3])];
    const buffers = [own(startAverage(a)), own(startAverage(b))];
    const update = (n: number): boolean => updateAverages(buffers, [a, b], n, skipping);
    const warnings = await warningsOf(async () => {
      for (const bad of [NaN, Infinity, -Infinity]) {
        assign(a, [5, 6]);
        assign(b, [bad]);
        const { numTensors } = tf.memory();
        assert.isFalse(update(1));
        assert.equal(tf.memory().numTensors, numTensors);
        assert.deepEqual(await valuesOf(buffers), [[1, 2], [3]]);
      }
      assign(b, [5]);
      assert.isTrue(update(1));
    });
    assert.deepEqual(warnings, [
      'Refused an average of shape [1]: value 2 would make it NaN or infinite; ' +
        'skipping it, and later ones without a word',
    ]);
    // (1 + 5) / 2, (2 + 6) / 2, (3 + 5) / 2
    assert.deepEqual(await valuesOf(buffers), [[3, 4], [4]]);
    const [averaged, bad] = [own(tf.tensor1d([1])), own(tf.tensor1d([NaN]))];
    assert.deepEqual([...(await own(skipping(averaged, bad, 1)).data())], [1]);
  });

  it('equals what it guards wherever that is finite', async () => {
    const value = fc.oneof(
      { weight: 9, arbitrary: fc.float({ min: -100, max: 100, noNaN: true }) },
      { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, 3e38, -3e38, 2 ** 100) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 2, maxLength: 12 }), async (values) => {
        const buffer = tf.tidy(() => tf.variable(tf.tensor1d([1, values[0]!])));
        const v = tf.variable(buffer);
        const guarded = finiteOnly(emaAvgFn(0.5), { onNonFinite: 'skip' });
        let expected = Math.fround(values[0]!);
        const warnings = await warningsOf(async () => {
          for (const next of values.slice(1).map(Math.fround)) {
            tf.tidy(() => v.assign(tf.tensor1d([1, next])));
            const average = Math.fround(expected + Math.fround(next - expected) / 2);
            const scale = Math.max(
              ...[expected, next].filter(Number.isFinite).map(Math.abs),
              1e-30,
            );
            if (updateAverages([buffer], [v], 1, guarded)) expected = average;
            else assert.isFalse(Number.isFinite(average), `${next}`);
            const [one, actual] = await buffer.data();
            assert.equal(one, 1);
            if (Number.isFinite(expected)) assert.closeTo(actual!, expected, 1e-6 * scale);
            else assert.isFalse(Number.isFinite(actual));
          }
        });
        assert.isAtMost(warnings.length, 1);
        tf.dispose([buffer, v]);
      }),
      { numRuns: shareOf(100), seed: 9 },
    );
  });

  it('refuses or skips a first value that is not finite, and begins with the next', async () => {
    const v = variable([NaN]);
    const make = (onNonFinite: 'throw' | 'skip') => {
      const avgFn = finiteOnly(swaAvgFn(), { onNonFinite });
      const swa = own(new SWA(tf.train.sgd(0.1), { avgFn, paramGroups: [{ params: v }] }));
      const averaged = own(new AveragedModel([v], { avgFn }));
      return { swa, averaged };
    };
    const [strict, lenient] = [make('throw'), make('skip')];
    const message = 'Refused an average of shape [1]: value 1 would make it NaN or infinite';
    await assertFails(() => strict.swa.updateSwa(), message);
    await assertFails(() => strict.averaged.updateParameters(), message);
    const warnings = await warningsOf(() => {
      lenient.swa.updateSwa();
      lenient.averaged.updateParameters();
    });
    assert.deepEqual(warnings, [`${message}; skipping it, and later ones without a word`]);
    for (const { swa, averaged } of [strict, lenient]) {
      assert.deepEqual([swa.paramGroups[0]!.n_avg, averaged.nAveraged], [0, 0]);
    }
    assign(v, [2]);
    for (const { swa, averaged } of [strict, lenient]) {
      swa.updateSwa();
      averaged.updateParameters();
      assert.deepEqual([swa.paramGroups[0]!.n_avg, averaged.nAveraged], [1, 1]);
      assert.equal((await averaged.module[0]!.data())[0], 2);
    }
  });

  it('refuses what is no function, and options that make no sense', async () => {
    await assertFails(() => finiteOnly(0.9 as never), 'Invalid avgFn: 0.9 (expected a function)');
    await assertFails(
      () => finiteOnly(swaAvgFn(), { onNonFinite: 'ignore' as never }),
      `Invalid onNonFinite: "ignore" (expected 'throw' or 'skip')`,
    );
    await assertFails(
      () => finiteOnly(swaAvgFn(), { skip: true } as never),
      'Unknown option skip (known ones: onNonFinite)',
    );
  });
});
