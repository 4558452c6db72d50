import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { SWA } from '../../lib/index.js';
import {
  assertClose,
  assertFails,
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
