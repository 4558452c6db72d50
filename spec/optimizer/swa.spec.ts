import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import {
  emaAvgFn,
  SWA,
  type ParamGroup,
  type ParamGroupOptions,
  type SWAOptions,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  golden,
  half,
  OPTIMIZERS,
  own,
  quadratic,
  random,
  variable,
  warningsOf,
} from '../support/support.js';

const swaOf = (optimizer: tf.Optimizer, options?: SWAOptions): SWA =>
  own(new SWA(optimizer, options));

interface GoldenTensor {
  values: number[];
}
interface GoldenStep {
  x: GoldenTensor;
  y: GoldenTensor;
  loss_before: number;
  swa_buffer: (GoldenTensor | null)[];
  param_groups: { lr: number; n_avg: number; step_counter: number }[];
}

function checkCounters(swa: SWA, expected: GoldenStep['param_groups'], label: string): void {
  assert.equal(swa.paramGroups.length, expected.length, label);
  swa.paramGroups.forEach((group, i) => {
    const { lr, n_avg, step_counter } = expected[i]!;
    assert.equal(group.n_avg, n_avg, `${label}: n_avg`);
    assert.equal(group.step_counter, step_counter, `${label}: step_counter`);
    assert.closeTo(group.lr, lr, 1e-7, `${label}: lr`);
  });
}

async function checkBuffers(
  swa: SWA,
  expected: (GoldenTensor | null)[],
  tolerance: number,
  label: string,
): Promise<void> {
  const { swa_state } = await swa.stateDict();
  expected.forEach((buffer, i) => {
    const actual = swa_state[i]?.swa_buffer.values;
    if (buffer === null) assert.isUndefined(actual, `${label}: no average ${i}`);
    else assertClose(actual!, buffer.values.flat(), tolerance, `${label}: average ${i}`);
  });
}

describe('SWA', () => {
  describe('equals the traces of torchcontrib', () => {
    const base: Record<string, (o: { lr: number; momentum: number }) => tf.Optimizer> = {
      auto_sgd: ({ lr }) => tf.train.sgd(lr),
      auto_momentum: ({ lr, momentum }) => tf.train.momentum(lr, momentum),
      auto_nesterov: ({ lr, momentum }) => tf.train.momentum(lr, momentum, true),
      auto_adam: ({ lr }) => tf.train.adam(lr, 0.9, 0.999, 1e-7),
      auto_two_groups: ({ lr, momentum }) => tf.train.momentum(lr, momentum),
      auto_group_added: ({ lr, momentum }) => tf.train.momentum(lr, momentum),
      manual_all: ({ lr, momentum }) => tf.train.momentum(lr, momentum),
      manual_group_1_only: ({ lr, momentum }) => tf.train.momentum(lr, momentum),
    };

    for (const [name, optimizer] of Object.entries(base)) {
      it(name, async () => {
        const data = golden(name);
        // tfjs forms Adam's bias correction in float32.
        const tolerance = name === 'auto_adam' ? 1e-3 : 1e-5;
        const { x, y, loss } = quadratic(data.problem);
        const variables: Record<string, tf.Variable> = { x, y };
        const groupOf = (group: string[] | { params: string[]; lr?: number }) => {
          const { params, ...rest } = Array.isArray(group) ? { params: group } : group;
          return { ...rest, params: params.map((param) => variables[param]!) };
        };
        const automatic = 'swa_start' in data;
        const swa = swaOf(optimizer(data.optimizer), {
          ...(automatic && { swaStart: data.swa_start, swaFreq: data.swa_freq }),
          ...(data.swa_lr != null && { swaLr: data.swa_lr }),
          paramGroups: data.groups.map(groupOf),
        });
        for (const [i, row] of (data.trace as GoldenStep[]).entries()) {
          const label = `step ${i + 1}`;
          const cost = swa.minimize(loss, true)!;
          assert.closeTo(
            (await cost.data())[0]!,
            row.loss_before,
            tolerance * 10,
            `${label}: loss`,
          );
          cost.dispose();
          if (data.update_after_steps?.includes(i + 1)) {
            if (name === 'manual_group_1_only') swa.updateSwaGroup(swa.paramGroups[1]!);
            else swa.updateSwa();
          }
          if (i + 1 === data.added_after_step) swa.addParamGroup(groupOf(data.added_group));
          assertClose(await x.data(), row.x.values, tolerance, `${label}: x`);
          assertClose(await y.data(), row.y.values.flat(), tolerance, `${label}: y`);
          checkCounters(swa, row.param_groups, label);
          await checkBuffers(swa, row.swa_buffer, tolerance, label);
        }
        const warnings = await warningsOf(() => swa.swapSwaSgd());
        assert.lengthOf(warnings, data.swap_warnings);
        assertClose(await x.data(), data.after_swap.x.values, tolerance, 'x after the swap');
        assertClose(await y.data(), data.after_swap.y.values.flat(), tolerance, 'y after the swap');
        await checkBuffers(swa, data.after_swap.swa_buffer, tolerance, 'after the swap');
      });
    }

    it('swap_during_training', async () => {
      const data = golden('swap_during_training');
      const { x, y, loss } = quadratic(data.problem);
      const swa = swaOf(tf.train.momentum(data.optimizer.lr, data.optimizer.momentum), {
        swaStart: data.swa_start,
        swaFreq: data.swa_freq,
        paramGroups: [{ params: [x, y] }],
      });
      for (let step = 1; step <= data.steps; step++) {
        swa.minimize(loss);
        const look = data.swaps.find((swap: { step: number }) => swap.step === step);
        if (look === undefined) continue;
        swa.swapSwaSgd();
        assertClose(await x.data(), look.averaged_x.values, 1e-5, 'averaged x');
        assertClose(await y.data(), look.averaged_y.values.flat(), 1e-5, 'averaged y');
        const cost = own(loss());
        assert.closeTo((await cost.data())[0]!, look.loss_at_average, 1e-5);
        swa.swapSwaSgd();
        assertClose(await x.data(), look.x.values, 1e-5, 'x');
        assertClose(await y.data(), look.y.values.flat(), 1e-5, 'y');
      }
      assertClose(await x.data(), data.x.values, 1e-5, 'x');
      assertClose(await y.data(), data.y.values.flat(), 1e-5, 'y');
      await checkBuffers(swa, data.swa_buffer, 1e-5, 'at the end');
    });

    it('rosenbrock_sgd', async () => {
      const data = golden('rosenbrock_sgd');
      const point = variable(data.start as number[]);
      const swa = swaOf(tf.train.sgd(data.lr), {
        swaStart: data.swa_start,
        swaFreq: data.swa_freq,
        swaLr: data.swa_lr,
      });
      for (let step = 0; step < data.steps; step++) {
        const [a, b] = (await point.data()) as unknown as [number, number];
        // d/da (1 - a)^2 + 100 (b - a^2)^2 = -2 (1 - a) - 400 a (b - a^2); d/db = 200 (b - a^2)
        const gradient = [-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)];
        const tensor = tf.tensor1d(gradient);
        swa.applyGradients([{ name: point.name, tensor }]);
        tensor.dispose();
      }
      assertClose(await point.data(), data.last.values, 1e-5, 'last');
      checkCounters(swa, data.param_groups, 'at the end');
      await checkBuffers(swa, [data.averaged], 1e-5, 'at the end');
    });
  });

  describe('averages what every optimizer makes, as sums kept by hand in float64', () => {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      it(`${name}, automatic mode`, async () => {
        const v = variable([1, -2, 3]);
        const swa = swaOf(make(), { swaStart: 7, swaFreq: 3, paramGroups: [{ params: v }] });
        const bare = variable([1, -2, 3]);
        const optimizer = make();
        const sum = new Float64Array(3);
        for (let step = 1; step <= 25; step++) {
          swa.minimize(half(v));
          optimizer.minimize(half(bare), false, [bare]);
          assert.deepEqual(await v.data(), await bare.data(), 'the wrapper trains as the bare one');
          // averaged at 9, 12, 15, 18, 21, 24: the multiples of 3 above 7
          if (step > 7 && step % 3 === 0) (await bare.data()).forEach((w, i) => (sum[i]! += w));
        }
        assert.equal(swa.paramGroups[0]!.n_avg, 6);
        const { swa_state } = await swa.stateDict();
        const mean = sum.map((total) => total / 6);
        assertClose(swa_state[0]!.swa_buffer.values, mean, 1e-6);
        disposeBare(optimizer);
      });

      it(`${name}, two groups, one of them added late, averaged by hand`, async () => {
        const v = variable([1, -2]);
        const w = variable([[0.5], [4]]);
        const swa = swaOf(make(), { paramGroups: [{ params: v }] });
        const sums = [new Float64Array(2), new Float64Array(2)];
        const take = async (i: number, x: tf.Variable) =>
          (await x.data()).forEach((value, j) => (sums[i]![j]! += value));
        let late: ParamGroup | undefined;
        for (let step = 1; step <= 20; step++) {
          if (step === 6) late = swa.addParamGroup({ params: [w] });
          swa.minimize(half(v, w));
          if (step % 4 === 0) {
            swa.updateSwaGroup(swa.paramGroups[0]!);
            await take(0, v);
          }
          if (late && step % 5 === 0) {
            swa.updateSwaGroup(late);
            await take(1, w);
          }
        }
        // v at 4, 8, 12, 16, 20; w at 10, 15, 20
        assert.deepEqual(
          swa.paramGroups.map(({ n_avg, step_counter }) => [n_avg, step_counter]),
          [
            [5, 20],
            [3, 15],
          ],
        );
        const { swa_state } = await swa.stateDict();
        assertClose(
          swa_state[0]!.swa_buffer.values,
          sums[0]!.map((s) => s / 5),
          1e-6,
        );
        assertClose(
          swa_state[1]!.swa_buffer.values,
          sums[1]!.map((s) => s / 3),
          1e-6,
        );
      });
    }

    it('stays within float32 of the mean of 1000 values', async () => {
      const v = variable([0]);
      const swa = swaOf(tf.train.sgd(0.1), { paramGroups: [{ params: v }] });
      const next = random(1);
      let sum = 0;
      for (let i = 0; i < 1000; i++) {
        const value = Math.fround(next());
        sum += value;
        tf.tidy(() => v.assign(tf.tensor1d([value])));
        swa.updateSwa();
      }
      swa.swapSwaSgd();
      assertClose(await v.data(), [sum / 1000], 1e-6);
    });

    it('averages only after swaStart, and only every swaFreq-th step', async () => {
      const v = variable([8]);
      const swa = swaOf(tf.train.sgd(0.5), { swaStart: 2, swaFreq: 2 });
      const counts = [];
      for (let step = 1; step <= 7; step++) {
        swa.minimize(half(v), false, [v]);
        counts.push(swa.paramGroups[0]!.n_avg);
      }
      // Step 2 is not after swaStart = 2; steps 4 and 6 are, and are multiples of 2.
      assert.deepEqual(counts, [0, 0, 0, 1, 1, 2, 2]);
      swa.swapSwaSgd();
      // v: 8, then 4, 2, 1, [0.5], 0.25, [0.125], ...; (0.5 + 0.125) / 2 = 0.3125
      assert.deepEqual([...(await v.data())], [0.3125]);
    });

    it('sets swaLr from step swaStart on, before the step, and over any other rate', async () => {
      const v = variable([8]);
      const swa = swaOf(tf.train.sgd(0.5), { swaStart: 2, swaFreq: 1, swaLr: 0.25 });
      const values = [];
      for (let step = 1; step <= 4; step++) {
        swa.minimize(half(v), false, [v]);
        values.push((await v.data())[0]);
        if (step === 3) swa.paramGroups[0]!.lr = 0.75; // a scheduler, say; swaLr wins
      }
      // 8 * 0.5 = 4, * 0.5 = 2, then at 0.25: * 0.75 = 1.5, * 0.75 = 1.125
      assert.deepEqual(values, [4, 2, 1.5, 1.125]);
      assert.equal(swa.paramGroups[0]!.lr, 0.25);
    });
  });

  describe('as a tfjs optimizer', () => {
    it('minimize returns the cost on request, and the cost before the step', async () => {
      const v = variable([4]);
      const swa = swaOf(tf.train.sgd(0.5));
      assert.isNull(swa.minimize(half(v), false, [v]));
      const cost = own(swa.minimize(half(v), true, [v])!);
      assert.deepEqual([...(await cost.data())], [2]); // 0.5 * 2^2, after 4 * 0.5 = 2
      assert.deepEqual([...(await v.data())], [1]);
    });

    it('applyGradients takes a map and a list', async () => {
      const [a, b] = [variable([4]), variable([8])];
      const swa = swaOf(tf.train.sgd(0.5));
      const gradient = own(tf.tensor1d([2]));
      swa.applyGradients({ [a.name]: gradient, [b.name]: gradient });
      swa.applyGradients([{ name: b.name, tensor: gradient }]);
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [3, 6]);
      assert.deepEqual([gradient.isDisposed, swa.iterations], [false, 2]);
    });

    it('computeGradients takes no step', async () => {
      const v = variable([4]);
      const swa = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
      const { value, grads } = swa.computeGradients(half(v));
      assert.deepEqual([(await value.data())[0], (await grads[v.name]!.data())[0]], [8, 4]);
      assert.deepEqual([(await v.data())[0], swa.paramGroups[0]!.step_counter], [4, 0]);
      tf.dispose([value, grads]);
    });

    it('two wrappers at once do not know of each other', async () => {
      const [a, b] = [variable([4]), variable([8])];
      const one = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
      const two = swaOf(tf.train.adam(0.1), { swaStart: 1, swaFreq: 1 });
      for (let i = 0; i < 3; i++) {
        one.minimize(half(a, b), false, [a]);
        two.minimize(half(a, b), false, [b]);
      }
      one.swapSwaSgd();
      two.minimize(half(a, b), false, [b]); // may step: only the other one is swapped
      assert.equal((await a.data())[0], Math.fround((2 + 1 + 0.5) / 3));
      assert.deepEqual(
        [one, two].map((swa) => [swa.paramGroups[0]!.n_avg, swa.paramGroups[0]!.params.length]),
        [
          [3, 1],
          [3, 1],
        ],
      );
    });

    it('steps without a varList over all trainable variables that the loss depends on', async () => {
      const [a, b] = [variable([4]), variable([8])];
      const swa = swaOf(tf.train.sgd(0.5));
      swa.minimize(half(a));
      assert.deepEqual(swa.paramGroups[0]!.params, [a]);
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [2, 8]);
    });

    it('calls the minimize of a base optimizer that has one of its own', async () => {
      class Doubled extends tf.SGDOptimizer {
        calls: string[][] = [];
        override minimize(f: () => tf.Scalar, returnCost?: boolean, varList?: tf.Variable[]) {
          this.calls.push(varList!.map(({ name }) => name));
          super.minimize(f, false, varList);
          return super.minimize(f, returnCost, varList);
        }
      }
      const [a, b] = [variable([4]), variable([8])];
      const base = new Doubled(0.5);
      const swa = swaOf(base, { swaStart: 0, swaFreq: 1 });
      swa.minimize(half(a, b), false, [a, b]);
      swa.minimize(half(a, b), false, [b, a]);
      assert.deepEqual(base.calls, [
        [a.name, b.name],
        [a.name, b.name],
      ]);
      // Two steps a call: 4 -> 1 -> 0.25; average (1 + 0.25) / 2
      assert.deepEqual([(await a.data())[0], swa.paramGroups[0]!.step_counter], [0.25, 2]);
      swa.swapSwaSgd();
      assert.equal((await a.data())[0], 0.625);
      swa.swapSwaSgd();

      const rated = swaOf(new Doubled(0.5), { swaStart: 0, swaFreq: 1, swaLr: 0.25 });
      const c = variable([16]);
      rated.minimize(half(c), false, [c]); // at swaLr: 16 * 0.75 * 0.75 = 9
      assert.equal((await c.data())[0], 9);

      const lone = swaOf(new Doubled(0.5));
      lone.minimize(half(a)); // without a varList: the variables that the loss depends on
      assert.deepEqual(lone.paramGroups[0]!.params, [a]);
      let evaluations = 0;
      const f = () => {
        evaluations += 1;
        return half(a)();
      };
      const cost = own(lone.minimize(f, true)!);
      assert.deepEqual([cost.isDisposed, evaluations], [false, 2]);
    });

    it('with several groups each base optimizer steps its own', async () => {
      class Refused extends tf.SGDOptimizer {
        override minimize(): never {
          throw new Error('not with two groups');
        }
      }
      const [a, b] = [variable([4]), variable([8])];
      const swa = swaOf(new Refused(0.5), {
        paramGroups: [{ params: a }, { params: b, lr: 0.25 }],
      });
      swa.minimize(half(a, b));
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [2, 6]);
    });

    it('shows the learning rate and the iterations of what it wraps', async () => {
      const [a, b] = [variable([4]), variable([8])];
      const swa = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: a }, { params: b, lr: 1 }] });
      assert.equal(swa.learningRate, 0.5);
      swa.learningRate = 0.25;
      assert.deepEqual(
        swa.paramGroups.map(({ lr }) => lr),
        [0.25, 0.25],
      );
      swa.minimize(half(a, b));
      assert.deepEqual([(await a.data())[0], (await b.data())[0], swa.iterations], [3, 6, 1]);
    });

    it('is told from other optimizers by instanceof', () => {
      const swa = swaOf(tf.train.sgd(0.5));
      const bare = own(tf.train.sgd(0.5));
      assert.deepEqual(
        [swa instanceof SWA, swa instanceof tf.Optimizer, bare instanceof SWA],
        [true, true, false],
      );
      assert.isFalse((null as unknown) instanceof SWA);
    });

    it('is registered, and made again from its configuration', () => {
      const swa = swaOf(tf.train.momentum(0.5, 0.75), { swaStart: 3, swaFreq: 2, swaLr: 0.125 });
      const { SerializationMap } = tf.serialization;
      const [cls, fromConfig] = SerializationMap.getMap().classNameMap['SWA']!;
      assert.equal(swa.getClassName(), 'SWA');
      const config = JSON.parse(JSON.stringify(swa.getConfig()));
      const again = own(fromConfig(cls, config) as SWA);
      assert.deepEqual(again.getConfig(), swa.getConfig());
      assert.deepEqual(again.getConfig(), {
        optimizer: {
          className: 'Momentum',
          config: { learningRate: 0.5, momentum: 0.75, useNesterov: false },
        },
        swaStart: 3,
        swaFreq: 2,
        swaLr: 0.125,
      });
      const manual = swaOf(tf.train.adamax(0.5));
      const manualAgain = own(SWA.fromConfig(SWA as never, manual.getConfig()) as SWA);
      assert.deepEqual([manualAgain.autoMode, manualAgain.swaLr], [false, null]);
    });

    it('keeps an EMA in its configuration, and warns of a function that it cannot keep', async () => {
      const v = variable([8]);
      const avgFn = emaAvgFn(0.75, { warmup: true });
      const swa = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1, avgFn });
      const config = JSON.parse(JSON.stringify(swa.getConfig()));
      const again = own(SWA.fromConfig(SWA as never, config) as SWA);
      // In the same order too: the state of a wrapper around this one compares texts.
      assert.equal(JSON.stringify(again.getConfig()), JSON.stringify(config));
      for (let i = 0; i < 3; i++) again.minimize(half(v), false, [v]);
      again.swapSwaSgd();
      // v: 4, 2, 1; decays 2/11 and 3/12: 4 * 2/11 + 2 * 9/11 = 26/11, then / 4 + 1 * 3/4
      assert.closeTo((await v.data())[0]!, 26 / 44 + 0.75, 1e-6);
      const mine = swaOf(tf.train.sgd(0.5), { avgFn: (_, current) => current });
      const warnings = await warningsOf(() => [mine.getConfig(), mine.getConfig()]);
      assert.deepEqual(warnings, ['getConfig() leaves out avgFn, a function of your own']);
    });

    it('fromConfig refuses a decay that makes no sense', () => {
      const config = swaOf(tf.train.sgd(0.5), { avgFn: emaAvgFn(0.75) }).getConfig();
      return assertFails(
        () => SWA.fromConfig(SWA as never, { ...config, avgFn: { decay: 5, warmup: false } }),
        'Invalid decay: 5 (expected a number in [0, 1])',
      );
    });

    it('fromConfig names an optimizer class that is not registered', () =>
      assertFails(
        () =>
          SWA.fromConfig(SWA as never, { optimizer: { className: 'Lion', config: {} } } as never),
        'The optimizer Lion is not registered with tf.serialization',
      ));
  });

  describe('swap', () => {
    it('is its own inverse, bit for bit', async () => {
      const v = variable([1, 1 / 3, -7e-12]);
      const swa = swaOf(tf.train.sgd(0.3), { swaStart: 0, swaFreq: 1 });
      for (let i = 0; i < 3; i++) swa.minimize(half(v), false, [v]);
      const before = (await v.data()).slice();
      swa.swapSwaSgd();
      assert.isTrue(swa.swapped);
      assert.notDeepEqual(await v.data(), before);
      swa.swapSwaSgd();
      assert.isFalse(swa.swapped);
      assert.deepEqual(await v.data(), before);
    });

    it('without an average warns once a parameter and keeps the values', async () => {
      const [a, b] = [variable([1], 'first/a'), variable([2], 'first/b')];
      const swa = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: [a, b] }] });
      const warnings = await warningsOf(() => {
        swa.swapSwaSgd();
        swa.swapSwaSgd();
      });
      assert.deepEqual(warnings, [
        "SWA wasn't applied to param first/a; skipping it",
        "SWA wasn't applied to param first/b; skipping it",
      ]);
      assert.deepEqual([(await a.data())[0], (await b.data())[0], swa.swapped], [1, 2, false]);
      swa.minimize(half(a, b)); // may step: nothing is swapped
    });

    it('before any variable is known says so', async () => {
      const swa = swaOf(tf.train.sgd(0.5));
      const warnings = await warningsOf(() => swa.swapSwaSgd());
      assert.deepEqual(warnings, ["SWA wasn't applied: no variable is known yet"]);
    });

    it('of a group without an average leaves that group and swaps the others, there and back', async () => {
      const [a, b] = [variable([1], 'second/a'), variable([2], 'second/b')];
      const swa = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: a }, { params: b }] });
      swa.updateSwaGroup(swa.paramGroups[1]!);
      swa.minimize(half(a, b));
      const warnings = await warningsOf(() => swa.swapSwaSgd());
      assert.deepEqual(warnings, ["SWA wasn't applied to param second/a; skipping it"]);
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [0.5, 2]);
      assert.deepEqual(await warningsOf(() => swa.swapSwaSgd()), []);
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [0.5, 1]);
    });

    it('leaves what the caller cloned before it as it was', async () => {
      const v = variable([8]);
      const swa = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
      swa.minimize(half(v), false, [v]);
      const clone = own(tf.clone(v));
      const view = own(tf.reshape(v, [1, 1]));
      swa.minimize(half(v), false, [v]);
      swa.swapSwaSgd();
      assert.deepEqual(
        [(await v.data())[0], (await clone.data())[0], (await view.data())[0]],
        [3, 4, 4],
      );
    });
  });

  describe('withSwa', () => {
    const trained = (): [tf.Variable, SWA] => {
      const v = variable([8]);
      const swa = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
      for (let i = 0; i < 2; i++) swa.minimize(half(v), false, [v]);
      return [v, swa]; // v = 2, its average (4 + 2) / 2 = 3
    };

    it('runs on the averages, passes on the result and swaps back', async () => {
      const [v, swa] = trained();
      const seen = await swa.withSwa(() => own(tf.clone(v)));
      assert.equal((await seen.data())[0], 3);
      assert.deepEqual([(await v.data())[0], swa.swapped], [2, false]);
    });

    it('stays swapped while an asynchronous function runs', async () => {
      const [v, swa] = trained();
      const seen = await swa.withSwa(async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return [(await v.data())[0], swa.swapped];
      });
      assert.deepEqual(seen, [3, true]);
      assert.isFalse(swa.swapped);
    });

    it('swaps back when the function throws or rejects, and passes the error on', async () => {
      const [v, swa] = trained();
      const boom = (): never => {
        throw new Error('boom');
      };
      await assertFails(() => swa.withSwa(boom), 'boom');
      await assertFails(() => swa.withSwa(() => Promise.reject(new Error('late'))), 'late');
      assert.deepEqual([(await v.data())[0], swa.swapped], [2, false]);
    });

    it('inside another, or after a swap, leaves the averages in place', async () => {
      const [v, swa] = trained();
      await swa.withSwa(async () => {
        assert.equal(await swa.withSwa(async () => (await v.data())[0]), 3);
        assert.equal((await v.data())[0], 3);
      });
      assert.equal((await v.data())[0], 2);
      swa.swapSwaSgd();
      assert.equal(await swa.withSwa(async () => (await v.data())[0]), 3);
      assert.isTrue(swa.swapped);
    });

    it('overlapping, swaps back at the end of the last', async () => {
      const [v, swa] = trained();
      const seen: number[] = [];
      const look = async (after: number): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, after));
        seen.push((await v.data())[0]!);
      };
      await Promise.all([swa.withSwa(() => look(1)), swa.withSwa(() => look(10))]);
      assert.deepEqual([seen, (await v.data())[0], swa.swapped], [[3, 3], 2, false]);
      swa.swapSwaSgd();
      await swa.withSwa(() => undefined);
      assert.isTrue(swa.swapped, 'a swap of the caller outlives the next scope');
    });

    it('does not swap twice when the function has swapped back itself', async () => {
      const [v, swa] = trained();
      await swa.withSwa(() => swa.swapSwaSgd());
      assert.deepEqual([(await v.data())[0], swa.swapped], [2, false]);
    });
  });

  describe('while swapped', () => {
    const message = (action: string): string =>
      `Cannot ${action} while swapped: call swapSwaSgd() first`;

    it('refuses steps, updates and new groups, and changes nothing', async () => {
      const v = variable([8]);
      const w = variable([1]);
      const swa = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
      swa.minimize(half(v), false, [v]);
      swa.minimize(half(v), false, [v]);
      swa.swapSwaSgd();
      const before = JSON.stringify(await swa.stateDict());
      const gradient = own(tf.tensor1d([1]));
      const counted = { calls: 0 };
      const f = () => {
        counted.calls += 1;
        return half(v)();
      };
      await assertFails(() => swa.minimize(f, false, [v]), message('step'));
      await assertFails(() => swa.applyGradients({ [v.name]: gradient }), message('step'));
      await assertFails(() => swa.updateSwa(), message('update the average'));
      const [group] = swa.paramGroups;
      await assertFails(() => swa.updateSwaGroup(group!), message('update the average'));
      await assertFails(() => swa.addParamGroup({ params: w }), message('add a parameter group'));
      await assertFails(() => swa.applyGradients({ [w.name]: gradient }), message('step'));
      assert.deepEqual([counted.calls, swa.paramGroups.length], [0, 1]);
      assert.equal(JSON.stringify(await swa.stateDict()), before);
      assert.equal((await v.data())[0], 3);
      swa.swapSwaSgd();
      swa.minimize(half(v), false, [v]);
      assert.equal((await v.data())[0], 1);
    });
  });

  describe('mistakes', () => {
    it('an update before any variable is known says how to name them', () =>
      assertFails(
        () => swaOf(tf.train.sgd(0.5)).updateSwa(),
        'No variable is known yet: take a step first, or name them with paramGroups or ' +
          'addParamGroup()',
      ));

    it('an update of a group of another wrapper', async () => {
      const v = variable([1]);
      const one = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
      const two = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
      await assertFails(
        () => two.updateSwaGroup(one.paramGroups[0]!),
        'Invalid group: an instance of Group (expected one of paramGroups)',
      );
      assert.equal(one.paramGroups[0]!.n_avg, 0);
    });

    it('a base optimizer that is none', async () => {
      for (const optimizer of [null, undefined, 'adam', {}]) {
        await assertFails(
          () => new SWA(optimizer as never),
          /^Invalid optimizer: .* \(expected a tf/,
        );
      }
    });

    it('a gradient for a variable that does not exist, twice, or of another shape', async () => {
      const v = variable([8, 8], 'third/v');
      const swa = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
      const good = own(tf.tensor1d([1, 1]));
      const other = own(tf.tensor1d([1, 1]));
      const bad = own(tf.tensor1d([1, 1, 1]));
      const entry = { name: 'third/v', tensor: good };
      await assertFails(() => swa.applyGradients({ nobody: good }), 'There is no variable nobody');
      await assertFails(
        () => swa.applyGradients([entry, { ...entry, tensor: other }]),
        'There is more than one gradient for variable third/v',
      );
      await assertFails(
        () => swa.applyGradients([{ name: 'third/v', tensor: bad }]),
        'The gradient for variable third/v has shape [3], not [2]',
      );
      assert.deepEqual([...(await v.data()), swa.paramGroups[0]!.step_counter], [8, 8, 0]);
    });

    it('a disposed variable in the varList of the first step', async () => {
      const gone = variable([1], 'fifth/gone');
      gone.dispose();
      const swa = swaOf(tf.train.sgd(0.5));
      await assertFails(
        () => swa.minimize(half(gone), false, [gone]),
        'Variable fifth/gone is disposed',
      );
    });

    it('a loss that fails leaves the counters and no tensor', async () => {
      const v = variable([1]);
      const swa = swaOf(tf.train.sgd(0.5), {
        swaStart: 0,
        swaFreq: 1,
        paramGroups: [{ params: v }],
      });
      await assertFails(
        () =>
          swa.minimize(() => {
            tf.zeros([3]);
            throw new Error('boom');
          }),
        'boom',
      );
      assert.deepEqual([(await v.data())[0], swa.paramGroups[0]!.step_counter], [1, 0]);
    });

    it('a base optimizer that fails in its step leaves the cost and gradients to nobody', async () => {
      class Broken extends tf.SGDOptimizer {
        override applyGradients(): never {
          throw new Error('broken');
        }
      }
      const v = variable([1]);
      const swa = swaOf(new Broken(0.5), { paramGroups: [{ params: v }] });
      await assertFails(() => swa.minimize(half(v), true), 'broken');
      assert.equal(swa.paramGroups[0]!.step_counter, 0);
    });

    it('a second dispose does nothing', () => {
      let calls = 0;
      class Counting extends tf.SGDOptimizer {
        override dispose(): void {
          calls += 1;
          super.dispose();
        }
      }
      const swa = new SWA(new Counting(0.5));
      swa.dispose();
      swa.dispose();
      assert.equal(calls, 1);
    });

    it('any use after dispose', async () => {
      const v = variable([1]);
      const swa = new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
      const [group] = swa.paramGroups;
      swa.dispose();
      swa.dispose();
      const disposed = 'This SWA has been disposed';
      assert.deepEqual(swa.paramGroups, []);
      await assertFails(() => swa.minimize(half(v)), disposed);
      await assertFails(() => swa.computeGradients(half(v)), disposed);
      await assertFails(() => swa.applyGradients({}), disposed);
      await assertFails(() => swa.updateSwa(), disposed);
      await assertFails(() => swa.updateSwaGroup(group!), disposed);
      await assertFails(() => swa.swapSwaSgd(), disposed);
      await assertFails(() => swa.addParamGroup({ params: v }), disposed);
      await assertFails(() => swa.stateDict(), disposed);
      await assertFails(() => swa.loadStateDict({} as never), disposed);
      await assertFails(() => swa.getWeights(), disposed);
      await assertFails(() => swa.setLearningRate(1), disposed);
    });
  });

  describe('memory', () => {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      it(`${name}: one buffer a parameter, and nothing else, through to dispose`, async () => {
        const before = tf.memory();
        const v = variable([[1, 2], [3, 4]]); // prettier-ignore
        const w = variable([5]);
        const swa = new SWA(make(), { paramGroups: [{ params: v }, { params: [w] }] });
        swa.minimize(half(v, w));
        const stepped = tf.memory();
        swa.minimize(half(v, w));
        assert.equal(tf.memory().numTensors, stepped.numTensors, 'a step leaves nothing');
        swa.updateSwa();
        swa.minimize(half(v, w));
        const averaged = tf.memory();
        assert.equal(averaged.numTensors, stepped.numTensors + 2);
        assert.equal(averaged.numBytes, stepped.numBytes + 4 * (4 + 1));
        assert.equal(averaged.numDataBuffers, stepped.numDataBuffers + 2);
        swa.updateSwa();
        swa.swapSwaSgd();
        await swa.loadStateDict(await swa.stateDict());
        swa.swapSwaSgd();
        swa.minimize(half(v, w));
        assert.equal(tf.memory().numTensors, averaged.numTensors);
        assert.equal(tf.memory().numBytes, averaged.numBytes);
        swa.dispose();
        v.dispose();
        w.dispose();
        assert.equal(tf.memory().numTensors, before.numTensors);
        assert.equal(tf.memory().numBytes, before.numBytes);
      });
    }

    it('thousands of steps, swaps and state dicts leave nothing', async () => {
      const v = variable([1]);
      const swa = swaOf(tf.train.momentum(0.001, 0.9), { swaStart: 10, swaFreq: 3, swaLr: 0.002 });
      for (let i = 0; i < 20; i++) swa.minimize(half(v), false, [v]);
      const { numTensors, numBytes, numDataBuffers } = tf.memory();
      for (let i = 0; i < shareOf(10_000); i++) swa.minimize(half(v), false, [v]);
      for (let i = 0; i < shareOf(1_000); i++) swa.swapSwaSgd();
      for (let i = 0; i < shareOf(100); i++) await swa.loadStateDict(await swa.stateDict());
      const now = tf.memory();
      assert.deepEqual(
        [now.numTensors, now.numBytes, now.numDataBuffers],
        [numTensors, numBytes, numDataBuffers],
      );
    });

    it('a group made inside a tidy outlives it', async () => {
      const [a, b] = [variable([4]), variable([8])];
      const swa = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      const options: ParamGroupOptions = { params: [b] };
      tf.tidy(() => {
        swa.minimize(half(a), false, [a]);
        swa.addParamGroup(options);
        swa.minimize(half(a, b), false, [a, b]);
      });
      swa.minimize(half(a, b), false, [a, b]);
      // b: 8, gradient 8, velocity 8, 8 - 4 = 4; gradient 4, velocity 4 + 4 = 8, 4 - 4 = 0
      assert.equal((await b.data())[0], 0);
    });
  });
});
