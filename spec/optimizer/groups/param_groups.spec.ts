import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { SWA, type ParamGroupOptions } from '../../../lib/index.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
} from '../../support/support.js';

describe('parameter groups', () => {
  describe('slots stay with their variables', () => {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      it(`${name}: when the set and order of gradients change from step to step`, async () => {
        const [a, b, c] = [variable([1, 2]), variable([3, 4]), variable([5, 6])];
        const swa = own(new SWA(make(), { paramGroups: [{ params: [a, b, c] }] }));
        // Each variable alone under an optimizer of its own that sees a gradient, or none, at every
        // step: what the wrapper's one optimizer must equal.
        const alone = [variable([1, 2]), variable([3, 4]), variable([5, 6])];
        const optimizers = alone.map(() => make());
        const programs = [[a, b, c], [c, a], [b], [c, b, a], [a], [b, c]];
        for (const program of programs) {
          swa.minimize(half(...program), false, program);
          [a, b, c].forEach((v, i) => {
            const twin = alone[i]!;
            const tensor = program.includes(v) ? tf.clone(twin) : undefined;
            const line = { name: twin.name, tensor: tensor as tf.Tensor };
            optimizers[i]!.applyGradients([line]);
            tensor?.dispose();
          });
        }
        assert.deepEqual(await valuesOf([a, b, c]), await valuesOf(alone));
        optimizers.forEach(disposeBare);
      });
    }

    it('of an optimizer that has two slots for one name by now, of which one is freed', async () => {
      const [a, b] = [variable([8]), variable([2])];
      const used = tf.train.momentum(0.5, 0.5);
      used.minimize(half(a), false, [a]); // velocity 8, a = 8 - 4 = 4
      // tfjs gives b the slot at its place, which is called a's, and a another: velocities 6 and 4.
      used.minimize(half(b, a), false, [b, a]); // b = 2 - 3 = -1, a = 4 - 2 = 2
      const { numTensors } = tf.memory();
      const swa = own(new SWA(used, { paramGroups: [{ params: [a, b] }] }));
      assert.equal(tf.memory().numTensors, numTensors - 1);
      swa.minimize(half(a)); // the first that is called a's: 3 + 2 = 5, a = 2 - 2.5 = -0.5
      assert.deepEqual(await valuesOf([a, b]), [[-0.5], [-1]]);
    });

    it('also when shapes differ, where tfjs alone throws', () => {
      const [a, b] = [variable([1, 2]), variable([[1], [2], [3]])];
      const swa = own(new SWA(tf.train.adam(0.1)));
      swa.minimize(half(a, b), false, [a, b]);
      swa.minimize(half(b), false, [b]);
      assert.equal(swa.paramGroups[0]!.step_counter, 2);
    });

    it('of an optimizer that was used before it was wrapped, in another order', async () => {
      const bare = () => {
        const [a, b] = [variable([1]), variable([3])];
        const optimizer = tf.train.momentum(0.5, 0.5);
        optimizer.minimize(half(a, b), false, [a, b]);
        return { a, b, optimizer };
      };
      const { a, b, optimizer } = bare();
      const swa = own(new SWA(optimizer, { paramGroups: [{ params: [b, a] }] }));
      swa.minimize(half(a, b));
      // a: 1, velocity 1, 0.5; velocity 0.5 + 0.5 = 1, 0. b: 3, velocity 3, 1.5; 1.5 + 1.5 = 3, 0
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [0, 0]);
      // By names that are not known, as after another's setWeights, the positions stand.
      const renamed = bare();
      const { accumulations } = renamed.optimizer as unknown as {
        accumulations: { originalName: string }[];
      };
      for (const slot of accumulations) slot.originalName = 'saved/momentum';
      const swaOfBoth = own(
        new SWA(renamed.optimizer, { paramGroups: [{ params: [renamed.a, renamed.b] }] }),
      );
      swaOfBoth.minimize(half(renamed.a, renamed.b));
      assert.deepEqual([(await renamed.a.data())[0], (await renamed.b.data())[0]], [0, 0]);
      // Wrapped for b alone: a's slot is freed, b keeps its own.
      const second = bare();
      const swaOfB = own(new SWA(second.optimizer, { paramGroups: [{ params: second.b }] }));
      swaOfB.minimize(half(second.b));
      assert.equal((await second.b.data())[0], 0);
    });
  });

  describe('each has hyper-parameters of its own', () => {
    it('laid over those of the wrapped optimizer when it was wrapped', async () => {
      const [a, b, c] = [variable([8]), variable([8]), variable([8])];
      const base = tf.train.momentum(0.5, 0.5);
      const swa = own(
        new SWA(base, { paramGroups: [{ params: a }, { params: b, momentum: 0.25 }] }),
      );
      swa.paramGroups[0]!.lr = 0.125; // later changes do not reach new groups
      swa.addParamGroup({ params: [c], useNesterov: true });
      assert.deepEqual(
        swa.paramGroups.map(({ optimizer }) => optimizer.getConfig()),
        [
          { learningRate: 0.125, momentum: 0.5, useNesterov: false },
          { learningRate: 0.5, momentum: 0.25, useNesterov: false },
          { learningRate: 0.5, momentum: 0.5, useNesterov: true },
        ],
      );
      assert.equal(swa.paramGroups[0]!.optimizer, base);
      swa.minimize(half(b, c));
      swa.minimize(half(b, c));
      // b: 8, velocity 8, 4; velocity 0.25 * 8 + 4 = 6, 1
      // c: 8, velocity 8, 8 - 0.5 (8 + 0.5 * 8) = 2; velocity 4 + 2 = 6, 2 - 0.5 (2 + 0.5 * 6) = -0.5
      assert.deepEqual([(await b.data())[0], (await c.data())[0]], [1, -0.5]);
    });

    it('or the optimizer that it brings', async () => {
      const [a, b] = [variable([8]), variable([8])];
      const own_ = tf.train.sgd(0.25);
      const swa = own(
        new SWA(tf.train.adam(0.5), {
          paramGroups: [{ params: a }, { params: b, optimizer: own_ }],
        }),
      );
      assert.equal(swa.paramGroups[1]!.optimizer, own_);
      swa.minimize(half(a, b));
      assertClose([(await a.data())[0]!, (await b.data())[0]!], [7.5, 6], 1e-5); // Adam's first step is lr
      const third = variable([8]);
      swa.addParamGroup({ params: third, optimizer: tf.train.sgd(0.5), lr: 0.125 });
      assert.equal(swa.paramGroups[2]!.lr, 0.125);
    });

    it('the first group may repeat what the wrapped optimizer has, and set its rate', async () => {
      const a = variable([8]);
      const base = tf.train.momentum(0.5, 0.5);
      const swa = own(new SWA(base, { paramGroups: [{ params: a, momentum: 0.5, lr: 0.25 }] }));
      swa.minimize(half(a));
      assert.equal((await a.data())[0], 6);
    });
  });

  describe('which variables', () => {
    it('without paramGroups: those of the first step, and later ones in a group of their own', async () => {
      const [a, b, c] = [variable([8]), variable([8]), variable([8])];
      const swa = own(new SWA(tf.train.sgd(0.5), { swaStart: 1, swaFreq: 1 }));
      assert.deepEqual(swa.paramGroups, []);
      swa.minimize(half(a, b), false, [b, a]);
      assert.deepEqual(swa.paramGroups[0]!.params, [b, a]);
      swa.minimize(half(a, b, c), false, [a, c]);
      assert.deepEqual(swa.paramGroups[1]!.params, [c]);
      assert.deepEqual(
        swa.paramGroups.map(({ step_counter, n_avg }) => [step_counter, n_avg]),
        [
          [2, 1],
          [2, 1],
        ],
        'in step with the first',
      );
      assert.deepEqual((await valuesOf([a, b, c])).flat(), [2, 4, 4]);
    });

    it('a variable of the first varList that has no gradient yet belongs too', async () => {
      const [a, b] = [variable([8]), variable([8])];
      const swa = own(new SWA(tf.train.momentum(0.5, 0.5)));
      swa.minimize(half(a), false, [a, b]);
      assert.deepEqual(swa.paramGroups[0]!.params, [a, b]);
      assert.equal((await b.data())[0], 8);
    });

    it('with paramGroups: exactly those', async () => {
      const [a, b, c] = [variable([8]), variable([8]), variable([8], 'groups/c')];
      const swa = own(
        new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: a }, { params: [b] }] }),
      );
      swa.minimize(half(a, b, c));
      assert.deepEqual((await valuesOf([a, b, c])).flat(), [4, 4, 8]);
      swa.minimize(half(a, b, c), false, [b]);
      assert.deepEqual((await valuesOf([a, b, c])).flat(), [4, 2, 8]);
      const message = 'Variable groups/c is in no parameter group; add it with addParamGroup()';
      const counted = { calls: 0 };
      const f = () => {
        counted.calls += 1;
        return half(a, c)();
      };
      const gradient = own(tf.tensor1d([1]));
      await assertFails(() => swa.minimize(f, false, [a, c]), message);
      await assertFails(() => swa.computeGradients(f, [c]), message);
      await assertFails(() => swa.applyGradients({ 'groups/c': gradient }), message);
      assert.deepEqual([counted.calls, swa.paramGroups.length], [0, 2]);
      swa.addParamGroup({ params: c });
      swa.minimize(half(a, b, c));
      assert.equal((await c.data())[0], 4);
    });

    it('groups that were added before the first step are named groups', async () => {
      const [a, b] = [variable([8]), variable([8], 'late/b')];
      const swa = own(new SWA(tf.train.sgd(0.5)));
      const group = swa.addParamGroup({ params: a });
      assert.equal(group, swa.paramGroups[0]);
      await assertFails(() => swa.minimize(half(a, b), false, [a, b]), /Variable late\/b is in no/);
    });
  });

  describe('mistakes', () => {
    const sgd = () => tf.train.momentum(0.5, 0.5);
    const fails = async (groups: (() => unknown)[], message: string | RegExp): Promise<void> => {
      const optimizer = sgd();
      const paramGroups = groups.map((group) => group()) as ParamGroupOptions[];
      const { numTensors } = tf.memory();
      await assertFails(() => new SWA(optimizer, { paramGroups }), message);
      assert.equal(tf.memory().numTensors, numTensors, 'nothing was made');
      assert.equal(optimizer.getConfig()['learningRate'], 0.5, 'nothing was set');
      disposeBare(optimizer);
    };
    const good = () => ({ params: variable([1]), lr: 0.125 });

    it('an empty group', () => fails([good, () => ({ params: [] })], 'Parameter group 1 is empty'));

    it('a group without params, or what is no group', async () => {
      const variableNeeded = /of parameter group 1: undefined \(expected a tf.Variable\)$/;
      await fails([good, () => ({ lr: 1 })], variableNeeded);
      await fails(
        [good, () => null],
        'Invalid paramGroups[1]: null (expected an object {params, ...})',
      );
    });

    it('a tensor for a variable', () =>
      fails(
        [() => ({ params: [variable([1]), own(tf.tensor1d([1]))] })],
        'Invalid params[1] of parameter group 0: an instance of Tensor (expected a tf.Variable)',
      ));

    it('a disposed variable', () =>
      fails(
        [
          good,
          () => {
            const gone = variable([1], 'mistakes/gone');
            gone.dispose();
            return { params: gone };
          },
        ],
        'Variable mistakes/gone is disposed',
      ));

    it('an integer variable', () =>
      fails(
        [
          good,
          () => ({
            params: own(tf.tidy(() => tf.variable(tf.tensor1d([1], 'int32'), false, 'mistakes/i'))),
          }),
        ],
        'Invalid dtype of variable mistakes/i: "int32" (expected float32)',
      ));

    it('a variable in two groups', async () => {
      const v = variable([1], 'mistakes/v');
      await fails(
        [good, () => ({ params: v }), () => ({ params: v })],
        'Variable mistakes/v is in parameter group 1 already',
      );
    });

    it('an unknown hyper-parameter lists the known ones', () =>
      fails(
        [good, () => ({ params: variable([1]), weightDecay: 1 })],
        'Unknown hyper-parameter weightDecay (known ones: ' + 'lr, momentum, useNesterov)',
      ));

    it('learningRate, which is called lr here', () =>
      fails([good, () => ({ params: variable([1]), learningRate: 1 })], /known ones: lr,/));

    it('a hyper-parameter of the wrong kind', async () => {
      await fails(
        [good, () => ({ params: variable([1]), momentum: '0.9' })],
        'Invalid momentum: "0.9" (expected a number)',
      );
      await fails(
        [good, () => ({ params: variable([1]), momentum: NaN })],
        'Invalid momentum: NaN (expected a finite number)',
      );
      await fails(
        [good, () => ({ params: variable([1]), useNesterov: 1 })],
        'Invalid useNesterov: 1 (expected a boolean)',
      );
    });

    it('a hyper-parameter that a given optimizer has otherwise', () =>
      fails(
        [() => ({ params: variable([1]), momentum: 0.9 })],
        'Invalid momentum: 0.9 (expected 0.5, as in the optimizer)',
      ));

    it('an optimizer that is none, for the first group, or of another group', async () => {
      await fails(
        [good, () => ({ params: variable([1]), optimizer: 'adam' })],
        'Invalid optimizer of parameter group 1: "adam" (expected a tf.train optimizer of its own)',
      );
      await fails(
        [() => ({ params: variable([1]), optimizer: own(tf.train.sgd(1)) })],
        'Invalid optimizer of parameter group 0: an instance of SGDOptimizer (expected the wrapped optimizer)',
      );
      const shared = own(tf.train.sgd(1));
      await fails(
        [
          good,
          () => ({ params: variable([1]), optimizer: shared }),
          () => ({ params: variable([1]), optimizer: shared }),
        ],
        'Invalid optimizer of parameter group 2: an instance of SGDOptimizer (expected a tf.train optimizer of its own)',
      );
    });

    it('an optimizer without a rate, where swaLr is to be set', async () => {
      class Rateless extends tf.Optimizer {
        static get className(): string {
          return 'Rateless';
        }
        applyGradients(): void {}
        getConfig() {
          return {};
        }
      }
      const base = sgd();
      const optimizer = new Rateless();
      const paramGroups = [{ params: variable([1]) }, { params: variable([1]), optimizer }];
      const message = 'Cannot set swaLr: the optimizer Rateless has no learningRate';
      const options = { swaStart: 0, swaFreq: 1, swaLr: 0.1 };
      await assertFails(() => new SWA(base, { ...options, paramGroups }), message);
      disposeBare(base);
      await assertFails(() => new SWA(optimizer, options), message);
      const swa = own(new SWA(sgd(), { ...options, paramGroups: [{ params: variable([1]) }] }));
      await assertFails(() => swa.addParamGroup({ params: variable([1]), optimizer }), message);
      assert.lengthOf(swa.paramGroups, 1);
    });

    it('an added group at fault leaves the groups as they were', async () => {
      const v = variable([1], 'mistakes/once');
      const swa = own(new SWA(sgd(), { paramGroups: [{ params: v }] }));
      const { numTensors } = tf.memory();
      await assertFails(
        () => swa.addParamGroup({ params: v }),
        'Variable mistakes/once is in parameter group 0 already',
      );
      assert.deepEqual([swa.paramGroups.length, tf.memory().numTensors], [1, numTensors]);
    });
  });
});
