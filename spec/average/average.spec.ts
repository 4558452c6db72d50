import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { startAverage, updateAverages } from '../../lib/average/average.js';
import { emaAvgFn, finiteOnly, SWA, swaAvgFn, type AvgFn } from '../../lib/index.js';
import { assertClose, assertFails, half, own, random, variable } from '../support/support.js';

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

  it('finds a first value that was not finite at the second update', async () => {
    const v = variable([NaN]);
    const swa = own(
      new SWA(tf.train.sgd(0.1), { avgFn: finiteOnly(), paramGroups: [{ params: v }] }),
    );
    swa.updateSwa();
    assign(v, [1]);
    await assertFails(() => swa.updateSwa(), /^Refused an average of shape \[1\]/);
  });

  it('refuses what is no function', () =>
    assertFails(() => finiteOnly(0.9 as never), 'Invalid avgFn: 0.9 (expected a function)'));
});
