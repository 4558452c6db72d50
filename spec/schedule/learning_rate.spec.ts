import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWA } from '../../lib/index.js';
import { settleLearningRate, setLearningRate } from '../../lib/schedule/learning_rate.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
} from '../support/support.js';

/** Steps v by -rate * gradient; reads its rate in a field of the given name. */
class Plain extends tf.Optimizer {
  static get className(): string {
    return 'Plain';
  }
  constructor(field?: string, rate?: number) {
    super();
    if (field) Object.assign(this, { [field]: rate });
  }
  applyGradients(gradients: tf.NamedTensorMap | { name: string; tensor: tf.Tensor }[]): void {
    const list = gradients as { name: string; tensor?: tf.Tensor }[];
    const { learningRate = 1 } = this as unknown as { learningRate?: number };
    for (const { name, tensor } of list) {
      const v = tf.engine().registeredVariables[name]!;
      if (tensor) tf.tidy(() => v.assign(tf.sub(v, tf.mul(tensor, learningRate))));
    }
  }
  getConfig(): tf.serialization.ConfigDict {
    const { learningRate } = this as unknown as { learningRate?: number };
    return learningRate === undefined ? {} : { learningRate };
  }
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    return new cls('learningRate', config['learningRate']);
  }
}

const square = (v: tf.Variable) => (): tf.Scalar =>
  tf.tidy(() => tf.sum(tf.square(v))) as tf.Scalar;

describe('the learning rate of a group', () => {
  // The move of the first step from 4 (gradient 8), rate 0.5 against rate 0.25: for each of these
  // the first step is proportional to the rate.
  const makers = { ...OPTIMIZERS, "a user's own": () => new Plain('learningRate', 0.05) };
  for (const [name, make] of Object.entries(makers)) {
    it(`reads and writes the live rate of ${name}`, async () => {
      // For each of these the first step, here from 4, is proportional to the rate.
      const vs = [0.05, 0.025].map((rate) => {
        const v = variable([4]);
        const swa = own(new SWA(make(), { paramGroups: [{ params: v }] }));
        const group = swa.paramGroups[0]!;
        assert.equal(group.lr, 0.05);
        group.lr = rate;
        assert.equal(group.lr, rate);
        swa.minimize(square(v));
        return v;
      });
      const moves = (await valuesOf(vs)).map(([value]) => 4 - value!);
      assert.isAbove(moves[0]!, 0);
      assertClose([moves[1]! / moves[0]!], [0.5], 1e-4);
    });

    it(`gives each group of ${name} its own`, async () => {
      const vs = [variable([4]), variable([4]), variable([4])] as const;
      const [a, b, c] = vs;
      const swa = own(
        new SWA(make(), {
          paramGroups: [{ params: a }, { params: b, lr: 0.025 }, { params: c }],
        }),
      );
      assert.deepEqual(
        swa.paramGroups.map(({ lr }) => lr),
        [0.05, 0.025, 0.05],
      );
      swa.minimize(() => tf.tidy(() => tf.addN(vs.map((v) => tf.sum(tf.square(v))))) as tf.Scalar);
      const moves = (await valuesOf(vs)).map(([value]) => 4 - value!);
      assertClose([moves[1]! / moves[0]!, moves[2]! / moves[0]!], [0.5, 1], 1e-4);
    });
  }

  it('goes through setLearningRate where there is one', () => {
    const given: number[] = [];
    class Setter extends Plain {
      setLearningRate(rate: number): void {
        given.push(rate);
      }
    }
    const v = variable([4]);
    const swa = own(new SWA(new Setter('learningRate', 0.5), { paramGroups: [{ params: v }] }));
    swa.paramGroups[0]!.lr = 0.25;
    assert.deepEqual(given, [0.25]);
  });

  it('refuses what is no rate, and keeps the old one', async () => {
    const v = variable([4]);
    const swa = own(new SWA(tf.train.adam(0.5), { paramGroups: [{ params: v }] }));
    const [group] = swa.paramGroups;
    for (const lr of [-1, NaN, Infinity, '0.1', null]) {
      await assertFails(() => {
        group!.lr = lr as number;
      }, /^Invalid lr: .* \(expected a finite number >= 0\)$/);
      await assertFails(
        () => swa.addParamGroup({ params: variable([1]), lr: lr as number }),
        /^Invalid lr: /,
      );
    }
    assert.equal(group!.lr, 0.5);
  });

  it('of an optimizer that has none: a clear error when it is used, and only then', async () => {
    const [v, w] = [variable([4]), variable([4])];
    const swa = own(
      new SWA(new Plain(), { swaStart: 0, swaFreq: 1, paramGroups: [{ params: v }] }),
    );
    swa.minimize(square(v)); // 4 - 8 = -4
    assert.equal((await v.data())[0], -4);
    const none = 'the optimizer Plain has no learningRate';
    await assertFails(() => (swa.paramGroups[0]!.lr = 1), `Cannot set lr: ${none}`);
    await assertFails(() => swa.paramGroups[0]!.lr, 'The optimizer Plain has no learningRate');
    await assertFails(
      () => new SWA(new Plain(), { swaStart: 0, swaFreq: 1, swaLr: 0.1 }),
      `Cannot set swaLr: ${none}`,
    );
    await assertFails(() => swa.addParamGroup({ params: w, lr: 1 }), `Cannot set lr: ${none}`);
    const rated = own(new SWA(tf.train.sgd(1), { swaStart: 0, swaFreq: 1, swaLr: 0.1 }));
    rated.addParamGroup({ params: v });
    await assertFails(
      () => rated.addParamGroup({ params: w, optimizer: new Plain() }),
      `Cannot set swaLr: ${none}`,
    );
    assert.lengthOf(swa.paramGroups, 1);
  });
});

describe('a rate that is written from outside', () => {
  /** A bare optimizer and a variable at 1; a step settles the rate first, as the wrapper does. */
  function start(make: () => tf.Optimizer) {
    const optimizer = make();
    own({ dispose: () => disposeBare(optimizer) });
    const v = variable([1]);
    return {
      optimizer: optimizer as tf.Optimizer & { learningRate: number },
      v,
      step() {
        settleLearningRate(optimizer);
        optimizer.minimize(half(v), false, [v]);
      },
    };
  }

  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    it(`is what ${name} steps with, as if it had been set, in any order`, async () => {
      // Writes to the field, sets by our function or by tfjs's own, each before a step.
      const way = fc.constantFrom('write', 'set', 'own', 'none');
      const rate = fc.double({ min: 0, max: 0.1, noNaN: true });
      const program = fc.array(fc.tuple(way, rate), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(program, async (moves) => {
          const [outside, inside] = [start(make), start(make)];
          for (const [how, value] of moves) {
            const own = (outside.optimizer as { setLearningRate?: (lr: number) => void })
              .setLearningRate;
            if (how === 'set') setLearningRate(outside.optimizer, value);
            else if (how === 'own' && own) own.call(outside.optimizer, value);
            else if (how !== 'none') outside.optimizer.learningRate = value;
            if (how !== 'none') setLearningRate(inside.optimizer, value);
            assert.equal(outside.optimizer.learningRate, inside.optimizer.learningRate);
            outside.step();
            inside.optimizer.minimize(half(inside.v), false, [inside.v]);
          }
          assert.deepEqual(...((await valuesOf([outside.v, inside.v])) as [number[], number[]]));
        }),
        { seed: 20180314, numRuns: 20 },
      );
    });
  }

  it('worked: SGD at 0.5, then written 0.25', async () => {
    const { optimizer, v, step } = start(() => tf.train.sgd(0.5));
    step(); // 1 - 0.5
    assert.equal((await v.data())[0], 0.5);
    optimizer.learningRate = 0.25;
    step(); // 0.5 - 0.25 * 0.5
    assert.equal((await v.data())[0], 0.375);
    optimizer.learningRate = 0.5;
    step(); // 0.375 - 0.5 * 0.375
    assert.equal((await v.data())[0], 0.1875);
  });

  it('makes one tensor anew for each write, none else, and none that a tidy would free', () => {
    const { optimizer, v, step } = start(() => tf.train.momentum(0.5, 0.5));
    step();
    const cached = (): unknown => (optimizer as unknown as { c: tf.Tensor }).c;
    const { numTensors } = tf.memory();
    const before = cached();
    for (let i = 0; i < 3; i++) step();
    assert.strictEqual(cached(), before);
    optimizer.learningRate = 0.25;
    tf.tidy(() => step());
    assert.notStrictEqual(cached(), before);
    step();
    assert.equal(tf.memory().numTensors, numTensors);
    assert.isFalse(v.isDisposed);
  });

  it('of an optimizer of a user: nothing is called but setLearningRate, only where a rate is cached', () => {
    const given: number[] = [];
    class Setter extends Plain {
      setLearningRate(rate: number): void {
        given.push(rate);
      }
    }
    const optimizer = new Setter('learningRate', 0.5);
    settleLearningRate(optimizer);
    assert.deepEqual(given, []);
    Object.assign(optimizer, { c: own(tf.scalar(-0.5)) });
    settleLearningRate(optimizer);
    settleLearningRate(optimizer);
    assert.deepEqual(given, [0.5]);
    settleLearningRate(new Plain());
  });
});
