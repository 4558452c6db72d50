/** Optimizers of users' own that descend from tfjs's: made again, saved and loaded, or refused. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { SWA } from '../../../lib/index.js';
import {
  assertClose,
  assertFails,
  half,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../../support/support.js';

type Gradients = { name: string; tensor: tf.Tensor }[];

/** Decoupled weight decay; its constructor takes other arguments, and it has no fromConfig. */
class AdamW extends tf.AdamOptimizer {
  static override get className(): string {
    return 'AdamW';
  }
  constructor(
    rate: number,
    readonly weightDecay: number,
    beta1 = 0.9,
    beta2 = 0.999,
    epsilon = 1e-7,
  ) {
    super(rate, beta1, beta2, epsilon);
  }
  override applyGradients(gradients: Gradients): void {
    for (const { name } of gradients) {
      const v = tf.engine().registeredVariables[name]!;
      tf.tidy(() => v.assign(tf.mul(v, 1 - this.learningRate * this.weightDecay)));
    }
    super.applyGradients(gradients);
  }
  override getConfig() {
    return { ...super.getConfig(), weightDecay: this.weightDecay };
  }
}

describe('a subclass of a tfjs optimizer', () => {
  describe('for a second group', () => {
    it('is made like the first, though it inherits a fromConfig for other arguments', async () => {
      const make = () => [variable([4, -2]), variable([1, 3])] as const;
      const [a, b] = make();
      const swa = own(
        new SWA(new AdamW(0.01, 0.1), { paramGroups: [{ params: a }, { params: b }] }),
      );
      const [first, second] = swa.paramGroups.map(({ optimizer }) => optimizer);
      assert.instanceOf(second, AdamW);
      assert.deepEqual(second!.getConfig(), first!.getConfig());
      const [c, d] = make();
      const both = own(new SWA(new AdamW(0.01, 0.1), { paramGroups: [{ params: [c, d] }] }));
      for (let i = 0; i < 5; i++) {
        swa.minimize(half(a, b));
        both.minimize(half(c, d));
      }
      assert.deepEqual(await valuesOf([a, b]), await valuesOf([c, d]));
    });

    it('takes the options of the group', () => {
      const paramGroups = [{ params: variable([1]) }, { params: variable([1]), weightDecay: 0 }];
      const swa = own(new SWA(new AdamW(0.01, 0.1), { paramGroups }));
      assert.equal(swa.paramGroups[1]!.optimizer.getConfig()['weightDecay'], 0);
    });

    it('is refused where it cannot be made as asked, and leaves nothing', async () => {
      class Counting extends AdamW {
        seen = 0;
      }
      const optimizer = new Counting(0.01, 0.1);
      const { numTensors } = tf.memory();
      const paramGroups = [{ params: variable([1]) }, { params: variable([1]) }];
      await assertFails(
        () => new SWA(optimizer, { paramGroups }),
        'Cannot make the optimizer of parameter group 1: Counting.fromConfig() gives ' +
          'beta1 0.999, not 0.9. Give the class a fromConfig() of its own, or the group an optimizer',
      );
      assert.equal(tf.memory().numTensors, numTensors + 2, 'the two variables');
      optimizer.dispose();
      class Factory extends tf.SGDOptimizer {
        static override fromConfig(): never {
          return tf.train.sgd(0.5) as never;
        }
      }
      const factory = own(new Factory(0.5));
      await assertFails(
        () => new SWA(factory, { paramGroups }),
        /gives an optimizer of the class SGDOptimizer/,
      );
    });
  });

  describe('in a state', () => {
    it('keeps the numbers of its own, which the next rate depends on', async () => {
      class Decaying extends tf.AdamOptimizer {
        seen = 0;
        override applyGradients(gradients: Gradients): void {
          this.seen += 1;
          this.learningRate = 0.1 / this.seen;
          super.applyGradients(gradients);
        }
      }
      const [a, b] = [variable([1, 2]), variable([1, 2])];
      const of = (v: tf.Variable) =>
        own(new SWA(new Decaying(0.1, 0.9, 0.999, 1e-7), { paramGroups: [{ params: v }] }));
      const [first, second] = [of(a), of(b)];
      for (let i = 0; i < 5; i++) first.minimize(half(a));
      const state = structuredClone(await first.stateDict());
      assert.deepEqual(state.param_groups[0]!['own_fields'], { seen: 5 });
      b.assign(a);
      await second.loadStateDict(state);
      first.minimize(half(a));
      second.minimize(half(b));
      assert.deepEqual(await valuesOf([b]), await valuesOf([a]));
      assertClose([second.paramGroups[0]!.lr], [0.1 / 6], 1e-12);
      const third = of(b);
      Object.assign(first.optimizer, { seen: -Infinity, best: NaN });
      Object.assign(third.optimizer, { best: 0 });
      await third.setWeights(await first.getWeights());
      const { seen, best } = third.optimizer as unknown as { seen: number; best: number };
      assert.deepEqual([seen, best], [-Infinity, NaN]);
      // The state is not shared with the optimizer.
      assert.deepEqual(state.param_groups[0]!['own_fields'], { seen: 5 });
    });

    it('keeps a field of its own that has the name of an option of another optimizer', async () => {
      class Cooling extends tf.SGDOptimizer {
        decay = 1;
        override applyGradients(gradients: Gradients): void {
          this.decay /= 2;
          this.setLearningRate(this.decay);
          super.applyGradients(gradients);
        }
      }
      const v = variable([1, 2]);
      const [first, second] = [0, 1].map(() =>
        own(new SWA(new Cooling(1), { paramGroups: [{ params: v }] })),
      );
      for (let i = 0; i < 3; i++) first!.minimize(half(v));
      const state = await first!.stateDict();
      assert.deepEqual(state.param_groups[0]!['own_fields'], { decay: 0.125 });
      await second!.loadStateDict(state);
      second!.minimize(half(v));
      assert.equal(second!.paramGroups[0]!.lr, 0.0625); // 2^-4
    });

    it('is refused where it has slots that only it knows, before anything is saved', async () => {
      class Amsgrad extends tf.AdamOptimizer {
        largest: tf.Variable[] = [];
        override applyGradients(gradients: Gradients): void {
          super.applyGradients(gradients);
          this.largest[0] ??= tf.tidy(() => tf.variable(tf.scalar(0), false));
        }
        override dispose(): void {
          super.dispose();
          tf.dispose(this.largest);
        }
      }
      const v = variable([1]);
      const swa = own(
        new SWA(new Amsgrad(0.1, 0.9, 0.999, 1e-7), { paramGroups: [{ params: v }] }),
      );
      const before = await swa.stateDict();
      swa.minimize(half(v));
      const message =
        'Cannot save or load the optimizer Amsgrad: its largest takes a getWeights() and a ' +
        'setWeights() of its own';
      await assertFails(() => swa.stateDict(), message);
      await assertFails(() => swa.getWeights(), message);
      await assertFails(() => swa.loadStateDict(before), message);
      assert.equal(swa.paramGroups[0]!.step_counter, 1);
    });

    it('with a name of its own is read as its parent, and loads leave no tensor', async () => {
      class Named extends tf.AdamOptimizer {
        static override get className(): string {
          return 'Named';
        }
      }
      const v = variable([1, 2]);
      const swa = own(new SWA(new Named(0.1, 0.9, 0.999, 1e-7), { paramGroups: [{ params: v }] }));
      for (let i = 0; i < 3; i++) swa.minimize(half(v));
      const state = await swa.stateDict();
      const { numTensors } = tf.memory();
      for (let i = 0; i < 10; i++) await swa.loadStateDict(state);
      assert.equal(tf.memory().numTensors, numTensors);
      assert.deepEqual(await swa.stateDict(), state);
    });

    it('may have any key in its configuration', async () => {
      class Decayed extends tf.SGDOptimizer {
        static override get className(): string {
          return 'Decayed';
        }
        constructor(
          rate: number,
          readonly weight: number,
          readonly shape: readonly number[],
        ) {
          super(rate);
        }
        override getConfig() {
          return {
            learningRate: this.learningRate,
            weight: this.weight,
            shape: [...this.shape],
            values: { weight: 3, tensor: 'none' },
          };
        }
      }
      const v = variable([1, 2]);
      const swa = own(new SWA(new Decayed(0.1, 0, [2, 3]), { paramGroups: [{ params: v }] }));
      swa.minimize(half(v));
      swa.updateSwa();
      const state = await swa.stateDict();
      await swa.setWeights(await swa.getWeights());
      assert.deepEqual(await swa.stateDict(), state);
    });
  });

  describe('saved with a model', () => {
    it('is refused under the name of its parent, as which it would be loaded', async () => {
      class Nameless extends tf.AdamOptimizer {}
      await assertFails(
        () => own(new SWA(new Nameless(0.1, 0.9, 0.999, 1e-7))).getConfig(),
        'Cannot save the optimizer Nameless as Adam, which is another: give it a static ' +
          'className, and tf.serialization.registerClass() it',
      );
    });
  });
});

describe('SWA around SWA', () => {
  it('saves and loads, in a state dict and as weights, and goes on bit for bit', async () => {
    const make = () =>
      own(
        new SWA(new SWA(tf.train.adam(0.1), { swaStart: 0, swaFreq: 1 }), {
          swaStart: 3,
          swaFreq: 2,
        }),
      );
    const [a, b, c] = [variable([4, -2]), variable([4, -2]), variable([4, -2])];
    const first = make();
    for (let i = 0; i < 9; i++) first.minimize(half(a), false, [a]);
    const [second, third] = [make(), make()];
    const state = await first.stateDict();
    await second.loadStateDict(structuredClone(state));
    await third.setWeights(await first.getWeights());
    for (const v of [b, c]) v.assign(a);
    for (const [swa, v] of [
      [first, a],
      [second, b],
      [third, c],
    ] as const) {
      for (let i = 0; i < 3; i++) swa.minimize(half(v), false, [v]);
    }
    assert.deepEqual(await valuesOf([b, c]), [...(await valuesOf([a])), ...(await valuesOf([a]))]);
    for (const swa of [first, second, third]) {
      swa.swapSwaSgd();
      assert.deepEqual(await warningsOf(() => {}), []);
    }
    assert.deepEqual(await valuesOf([b, c]), [...(await valuesOf([a])), ...(await valuesOf([a]))]);
    const inner = [first, second].map(({ optimizer }) => (optimizer as SWA).paramGroups[0]!);
    assert.deepEqual([inner[1]!.n_avg, inner[1]!.step_counter], [12, 12]);
    assert.deepEqual([inner[0]!.n_avg, inner[0]!.step_counter], [12, 12]);
  });
});
