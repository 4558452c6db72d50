/** ScheduleFree: its arithmetic, its average in and out of the variables, and its mistakes. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { ScheduleFree, SWA, updateBn, type ScheduleFreeOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { net, data } from '../support/fitted.js';
import {
  assertClose,
  assertFails,
  golden,
  half,
  own,
  quadratic,
  random,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

const freeOf = (optimizer: tf.Optimizer, options?: ScheduleFreeOptions): ScheduleFree =>
  own(new ScheduleFree(optimizer, options));

/** One step with these gradients, in the order of the variables; `null` for none. */
function apply(
  optimizer: tf.Optimizer,
  variables: readonly tf.Variable[],
  gradients: readonly (number[] | null)[],
): void {
  tf.tidy(() =>
    optimizer.applyGradients(
      variables.flatMap(({ name, shape }, i) => {
        const gradient = gradients[i];
        return gradient ? [{ name, tensor: tf.tensor(gradient, shape) }] : [];
      }),
    ),
  );
}

interface Run {
  base: 'sgd' | 'adam';
  hyper: { lr: number; lr_y?: number; lr_from_101?: number; beta2: number; epsilon: number };
  options: ScheduleFreeOptions;
  trace: { step: number; x: number[]; y: number[]; lr_max: number[]; weight_sum: number[] }[];
}

describe('ScheduleFree', () => {
  const { problem, runs } = golden('schedule_free') as {
    problem: unknown;
    runs: Record<string, Run>;
  };
  for (const [name, { base, hyper, options, trace }] of Object.entries(runs)) {
    it(`equals the trace ${name} of schedulefree`, async () => {
      const { x, y, loss } = quadratic(problem);
      const { lr, lr_y, lr_from_101, beta2, epsilon } = hyper;
      const optimizer = base === 'sgd' ? tf.train.sgd(lr) : tf.train.adam(lr, 0, beta2, epsilon);
      const groups = lr_y ? [{ params: x }, { params: y, lr: lr_y }] : [{ params: [x, y] }];
      const free = freeOf(optimizer, { ...options, paramGroups: groups });
      // tfjs forms Adam's bias correction in float32.
      const tolerance = base === 'sgd' ? 1e-5 : 1e-3;
      const held = async (): Promise<number[]> => (await valuesOf([x, y])).flat();
      let step = 0;
      const last = trace[trace.length - 1]!.step;
      for (const row of trace.filter((row) => row.step <= shareOf(last))) {
        for (; step < row.step; step++) {
          if (step === 100 && lr_from_101) free.learningRate = lr_from_101;
          free.minimize(loss);
        }
        assertClose(await held(), row.y, tolerance, `y at step ${step}`);
        free.swap();
        assertClose(await held(), row.x, tolerance, `x at step ${step}`);
        free.swap();
        const { param_groups } = await free.stateDict();
        param_groups.forEach((group, g) => {
          assert.closeTo(group['lr_max'] as number, row.lr_max[g]!, 1e-7);
          const sum = row.weight_sum[g]!;
          assert.closeTo(group['weight_sum'] as number, sum, 1e-9 * sum);
          assert.equal(group.step_counter, step);
        });
      }
    });
  }

  it('meets the worked numbers of the contract', async () => {
    const theta = variable([4, -2]);
    const free = freeOf(tf.train.sgd(0.05));
    const loss = () =>
      tf.tidy(() => tf.mul(0.5, tf.sum(tf.mul([1, 10], tf.square(theta))))) as tf.Scalar;
    for (let i = 0; i < 10; i++) free.minimize(loss, false, [theta]);
    assertClose((await valuesOf([theta]))[0]!, [2.931946316656658, 0.1063648681207], 1e-5);
    free.swap();
    assertClose((await valuesOf([theta]))[0]!, [3.0055477970520648, 0.0771264661367], 1e-5);
    free.swap();
  });

  it('takes two steps as by hand, and warms up', async () => {
    const v = variable([1]);
    const free = freeOf(tf.train.sgd(1), { beta: 0.5, warmupSteps: 4, weightLrPower: 1 });
    // Rate 1/4: z = 1 - 1/4 = 0.75; w = 0.25, c = 1: x = y = 0.75.
    apply(free, [v], [[1]]);
    assertClose((await valuesOf([v]))[0]!, [0.75], 1e-6);
    // Rate 2/4: z = 0.75 - 0.5 = 0.25; w = 0.5, c = 2/3: x = 0.75/3 + 0.25 2/3 = 5/12; y = 1/3.
    apply(free, [v], [[1]]);
    assertClose((await valuesOf([v]))[0]!, [1 / 3], 1e-6);
    await free.withAverage(async () => assertClose((await valuesOf([v]))[0]!, [5 / 12], 1e-6));
    assert.equal(free.learningRate, 1, 'the rate is what the user set');
  });

  it('has x stand still while all rates were 0', async () => {
    const v = variable([1]);
    const free = freeOf(tf.train.sgd(0));
    apply(free, [v], [[1]]);
    assert.deepEqual((await valuesOf([v]))[0], [1]);
    free.learningRate = 0.5;
    // The first weight that is not 0: c = 1, x = z = 0.5.
    apply(free, [v], [[1]]);
    assert.deepEqual((await valuesOf([v]))[0], [0.5]);
  });

  it('refuses weights that no longer are numbers, and changes nothing', async () => {
    const v = variable([1]);
    const free = freeOf(tf.train.sgd(10), { weightLrPower: 400 });
    await assertFails(
      () => apply(free, [v], [[1]]),
      'Invalid sum of weights: Infinity (expected a finite number)',
    );
    assert.deepEqual((await valuesOf([v]))[0], [1]);
  });

  it('leaves a parameter without a gradient as it is, and its average', async () => {
    const [a, b] = [variable([1]), variable([2])];
    const free = freeOf(tf.train.sgd(0.1), { paramGroups: [{ params: [a, b] }] });
    for (let i = 0; i < 3; i++) apply(free, [a, b], [[1], [1]]);
    const before = await valuesOf([b]);
    free.swap();
    const average = await valuesOf([b]);
    free.swap();
    apply(free, [a, b], [[1], null]);
    assert.deepEqual(await valuesOf([b]), before);
    free.swap();
    assert.deepEqual(await valuesOf([b]), average);
    free.swap();
  });

  it('only steps a group with average: false, at the warm-up rate too', async () => {
    const [a, b] = [variable([1]), variable([1])];
    const free = freeOf(tf.train.sgd(1), {
      warmupSteps: 2,
      paramGroups: [{ params: a }, { params: b, average: false }],
    });
    apply(free, [a, b], [[1], [1]]); // 1 - 1/2
    apply(free, [a, b], [[1], [1]]); // - 1
    assert.deepEqual((await valuesOf([b]))[0], [-0.5]);
    free.swap();
    assert.deepEqual((await valuesOf([b]))[0], [-0.5]);
    free.swap();
    assert.deepEqual(
      free.paramGroups.map(({ n_avg }) => n_avg),
      [2, 0],
    );
  });

  it('takes a variable that is its own gradient as y', async () => {
    const v = variable([1, -3]);
    const w = variable([1, -3]);
    const [one, other] = [freeOf(tf.train.sgd(0.1)), freeOf(tf.train.sgd(0.1))];
    for (let i = 0; i < 4; i++) {
      one.applyGradients({ [v.name]: v });
      other.minimize(half(w), false, [w]);
    }
    assert.deepEqual(await valuesOf([v]), await valuesOf([w]));
  });

  it('equals float64 arithmetic on random programs', async () => {
    const programs = fc.record({
      beta: fc.constantFrom(0.1, 0.5, 0.9, 1),
      warmupSteps: fc.nat({ max: 4 }),
      r: fc.constantFrom(0, 0.5, 2),
      weightLrPower: fc.constantFrom(0, 1, 2),
      momentum: fc.constantFrom(0, 0.5),
      start: fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 3 }),
      steps: fc.array(
        fc.record({
          lr: fc.constantFrom(0, 0.01, 0.1, 0.25),
          seed: fc.option(fc.nat(), { freq: 4 }),
          look: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
    });
    await fc.assert(
      fc.asyncProperty(programs, async ({ momentum, start, steps, ...options }) => {
        const { beta, warmupSteps, r, weightLrPower } = options;
        const v = tf.tidy(() => tf.variable(tf.tensor1d(start)));
        const base = momentum ? tf.train.momentum(0.1, momentum) : tf.train.sgd(0.1);
        const free = new ScheduleFree(base, { ...options, paramGroups: [{ params: v }] });
        const [z, x, y] = [[...start], [...start], [...start]];
        const slot = start.map(() => 0);
        let [max, sum] = [0, 0];
        for (const [k, { lr, seed, look }] of steps.entries()) {
          free.learningRate = lr;
          const next = random(seed ?? 0);
          const gradient = seed === null ? null : start.map(() => 2 * next() - 1);
          if (gradient) apply(free, [v], [gradient]);
          else free.applyGradients([]);

          const rate = warmupSteps ? lr * Math.min(1, (k + 1) / warmupSteps) : lr;
          max = Math.max(max, rate);
          const weight = (k + 1) ** r * max ** weightLrPower;
          sum += weight;
          const c = sum > 0 ? weight / sum : 0;
          gradient?.forEach((g, i) => {
            slot[i] = momentum * slot[i]! + g;
            z[i]! -= rate * slot[i]!;
            x[i] = (1 - c) * x[i]! + c * z[i]!;
            y[i] = (1 - beta) * z[i]! + beta * x[i]!;
          });
          assertClose(await v.data(), y, 1e-4, `y after ${k + 1}`);
          if (!look) continue;
          const before = (await v.data()).slice();
          free.swap();
          assertClose(await v.data(), x, 1e-3, `x after ${k + 1}`);
          free.swap();
          assert.deepEqual(await v.data(), before, 'y comes back bit for bit');
        }
        free.dispose();
        v.dispose();
      }),
      { seed: 20, numRuns: shareOf(60) },
    );
  });

  describe('holds the average or y', () => {
    it('one copy while training, two while swapped, none after dispose', () => {
      const v = variable([1, 2, 3, 4, 5, 6, 7, 8]);
      const bytes = tf.memory().numBytes;
      const free = new ScheduleFree(tf.train.sgd(0.1));
      const scalar = 4; // SGD's own rate
      for (let i = 0; i < 3; i++) free.minimize(half(v), false, [v]);
      assert.equal(tf.memory().numBytes - bytes, 32 + scalar);
      free.swap();
      assert.equal(tf.memory().numBytes - bytes, 64 + scalar);
      free.swap();
      assert.equal(tf.memory().numBytes - bytes, 32 + scalar);
      free.dispose();
      assert.equal(tf.memory().numBytes, bytes);
    });

    it('leaves nothing of a wrapper that is disposed while swapped', () => {
      const v = variable([1, 2]);
      const tensors = tf.memory().numTensors;
      const free = new ScheduleFree(tf.train.sgd(0.1));
      free.minimize(half(v), false, [v]);
      free.swap();
      free.dispose();
      assert.equal(tf.memory().numTensors, tensors);
      // Nobody holds it any more.
      const swa = own(new SWA(tf.train.sgd(0.1)));
      swa.minimize(half(v), false, [v]);
    });

    it('a copy that somebody took keeps its values through steps and swaps', async () => {
      const v = variable([1, 2]);
      const free = freeOf(tf.train.sgd(0.1));
      const seen: [tf.Tensor, number[]][] = [];
      const see = async (): Promise<void> => {
        seen.push([own(tf.clone(v)), [...(await v.data())]]);
      };
      for (let i = 0; i < 4; i++) {
        free.minimize(half(v), false, [v]);
        if (i % 2) await see();
        free.swap();
        await see();
        free.swap();
      }
      for (const [copy, values] of seen) assert.deepEqual([...(await copy.data())], values);
    });

    it('swaps before the first step do nothing, silently', async () => {
      const v = variable([1, 2]);
      const free = freeOf(tf.train.sgd(0.1), { paramGroups: [{ params: v }] });
      const warnings = await warningsOf(async () => {
        free.swap();
        await free.withAverage(() => {});
        freeOf(tf.train.sgd(0.1)).swap();
      });
      assert.deepEqual(warnings, []);
      assert.isFalse(free.swapped);
      assert.deepEqual((await valuesOf([v]))[0], [1, 2]);
    });

    it('refuses a step, a group and a load of another moment while swapped', async () => {
      const v = variable([1, 2]);
      const free = freeOf(tf.train.sgd(0.1));
      free.minimize(half(v), false, [v]);
      const state = await free.stateDict();
      free.swap();
      const inWords = (action: string): string =>
        `Cannot ${action} while swapped: call swap() first`;
      await assertFails(() => free.minimize(half(v), false, [v]), inWords('step'));
      await assertFails(() => apply(free, [v], [[1, 1]]), inWords('step'));
      await assertFails(
        () => free.addParamGroup({ params: variable(1) }),
        inWords('add a parameter group'),
      );
      await assertFails(
        () => free.loadStateDict(state),
        'Cannot load a state that was not swapped while swapped: call swap() first',
      );
      free.swap();
      await free.withAverage(() =>
        assertFails(() => free.loadStateDict(state), 'Cannot load a state inside withAverage()'),
      );
    });

    it('comes back from a scope that fails, and a dispose inside it waits', async () => {
      const v = variable([1, 2]);
      const free = new ScheduleFree(tf.train.sgd(0.1));
      for (let i = 0; i < 3; i++) free.minimize(half(v), false, [v]);
      const y = await valuesOf([v]);
      await assertFails(
        () =>
          free.withAverage(async () => {
            free.dispose();
            assert.notDeepEqual(await valuesOf([v]), y);
            throw new Error('as asked');
          }),
        'as asked',
      );
      assert.deepEqual(await valuesOf([v]), y);
    });

    it('statistics of batch normalization go back with it', async () => {
      const free = freeOf(tf.train.sgd(0.1));
      const model = net(free);
      const { x, y } = data();
      await model.fit(x, y, { epochs: 2, verbose: 0, shuffle: false });
      const before = await valuesOf(model.getWeights());
      await free.withAverage(async () => {
        await updateBn([x], model);
        const inside = await valuesOf(model.getWeights());
        inside.forEach((values, i) => assert.notDeepEqual(values, before[i], `weight ${i}`));
      });
      assert.deepEqual(await valuesOf(model.getWeights()), before);
    });
  });

  it('keeps y and z as they were when the base optimizer fails', async () => {
    class Failing extends tf.SGDOptimizer {
      static override get className(): string {
        return 'FailingSGD';
      }
      override applyGradients(
        gradients: tf.NamedTensorMap | { name: string; tensor: tf.Tensor }[],
      ) {
        super.applyGradients(gradients as never);
        if (failing) throw new Error('as asked');
      }
    }
    let failing = true;
    const [v, w] = [variable([1, 2]), variable([1, 2])];
    const free = freeOf(new Failing(0.5), { warmupSteps: 3 });
    const smooth = freeOf(tf.train.sgd(0.5), { warmupSteps: 3 });
    for (let i = 0; i < 3; i++) {
      failing = true;
      const before = await valuesOf([v]);
      await assertFails(() => apply(free, [v], [[1, -1]]), 'as asked');
      assert.deepEqual(await valuesOf([v]), before);
      assert.equal(free.learningRate, 0.5);
      failing = false;
      apply(free, [v], [[1, -1]]);
      apply(smooth, [w], [[1, -1]]);
      assert.deepEqual(await valuesOf([v]), await valuesOf([w]));
    }
  });

  it('refuses options that make no sense', async () => {
    const range = 'a number in (0, 1]';
    const wrong: [ScheduleFreeOptions, string][] = [
      [{ beta: 0 }, `Invalid beta: 0 (expected ${range})`],
      [{ beta: 1.1 }, `Invalid beta: 1.1 (expected ${range})`],
      [{ beta: NaN }, `Invalid beta: NaN (expected ${range})`],
      [{ warmupSteps: -1 }, 'Invalid warmupSteps: -1 (expected an integer >= 0)'],
      [{ warmupSteps: 1.5 }, 'Invalid warmupSteps: 1.5 (expected an integer >= 0)'],
      [{ r: -1 }, 'Invalid r: -1 (expected a finite number >= 0)'],
      [
        { weightLrPower: Infinity },
        'Invalid weightLrPower: Infinity (expected a finite number >= 0)',
      ],
      [
        { momentum: 1 } as ScheduleFreeOptions,
        'Unknown option momentum (known ones: beta, warmupSteps, r, weightLrPower, paramGroups)',
      ],
    ];
    const sgd = own(tf.train.sgd(0.1));
    for (const [options, message] of wrong) {
      await assertFails(() => new ScheduleFree(sgd, options), message);
    }
  });

  it('needs a rate only where it weighs or warms up by it', async () => {
    class Rateless extends tf.Optimizer {
      static get className(): string {
        return 'Rateless';
      }
      getConfig(): tf.serialization.ConfigDict {
        return {};
      }
      applyGradients(gradients: tf.NamedTensorMap | { name: string; tensor: tf.Tensor }[]): void {
        for (const { name, tensor } of gradients as { name: string; tensor: tf.Tensor }[]) {
          const v = tf.engine().registeredVariables[name]!;
          tf.tidy(() => v.assign(tf.sub(v, tensor)));
        }
      }
    }
    await assertFails(
      () => new ScheduleFree(new Rateless()),
      'Cannot set weightLrPower: the optimizer Rateless has no learningRate',
    );
    await assertFails(
      () => new ScheduleFree(new Rateless(), { weightLrPower: 0, warmupSteps: 1 }),
      'Cannot set warmupSteps: the optimizer Rateless has no learningRate',
    );
    const v = variable([4]);
    const free = freeOf(new Rateless(), { weightLrPower: 0, beta: 1 });
    apply(free, [v], [[1]]); // z 3, x 3
    apply(free, [v], [[1]]); // z 2, x 2.5
    assertClose((await valuesOf([v]))[0]!, [2.5], 1e-6);
  });

  it('refuses a state of another beta, also to go on with on purpose', async () => {
    const v = variable([1, 2]);
    const free = freeOf(tf.train.sgd(0.1));
    free.minimize(half(v), false, [v]);
    const state = await free.stateDict();
    const other = freeOf(tf.train.sgd(0.1), { beta: 0.5, paramGroups: [{ params: v }] });
    const kind = (beta: number): string =>
      `schedule_free(beta ${beta}, warmup_steps 0, r 0, weight_lr_power 2)`;
    for (const options of [{}, { avgFn: 'keep' as const }]) {
      await assertFails(
        () => other.loadStateDict(state, options),
        'The state does not fit this ScheduleFree; of the wrong shape or value: ' +
          `avg_fn of group 0 (${kind(0.9)}, not ${kind(0.5)})`,
      );
    }
  });

  it('refuses a state whose numbers or tensors are missing', async () => {
    const v = variable([1, 2]);
    const free = freeOf(tf.train.sgd(0.1));
    free.minimize(half(v), false, [v]);
    const state = await free.stateDict();
    const broken = structuredClone(state);
    broken.param_groups[0]!['weight_sum'] = -1;
    await assertFails(
      () => free.loadStateDict(broken),
      'Invalid state.param_groups[0].weight_sum: -1 (expected a finite number >= 0)',
    );
    const swapped = structuredClone(state);
    swapped.param_groups[0]!.swapped = true; // and no y
    await assertFails(() => free.loadStateDict(swapped), /^Invalid state\.swa_state\[0\]\.y/);
  });
});
