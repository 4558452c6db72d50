/** Scopes and swaps that overlap: whatever runs into whatever, the weights come back. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { emaAvgFn, SWA, updateBn, type SWAOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertClose,
  assertFails,
  half,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

/** A manual wrapper that holds the average of 1 and 3, over a variable that holds 10. */
function averaged(options: SWAOptions = {}): { v: tf.Variable; swa: SWA } {
  const v = variable([0]);
  const swa = own(new SWA(tf.train.sgd(0.5), { ...options, paramGroups: [{ params: v }] }));
  for (const value of [1, 3, 10]) {
    tf.tidy(() => v.assign(tf.tensor1d([value])));
    if (value < 10) swa.updateSwa();
  }
  return { v, swa };
}

const valueOf = async (v: tf.Variable): Promise<number> => (await v.data())[0]!;

describe('scopes', () => {
  describe('of two wrappers over one variable', () => {
    /** The same variable under a second wrapper, whose average is 10. */
    const both = () => {
      const { v, swa } = averaged();
      const other = own(
        new SWA(tf.train.sgd(0.5), { avgFn: emaAvgFn(0.5), paramGroups: [{ params: v }] }),
      );
      other.updateSwa();
      return { v, swa, other };
    };
    const held =
      /holds the averages of another wrapper; swap that one back first, or dispose of it$/;

    it('refuse the second, and lose nothing', async () => {
      const { v, swa, other } = both();
      let inside = NaN;
      await swa.withSwa(async () => {
        await assertFails(() => other.withSwa(() => {}), held);
        await assertFails(() => other.swapSwaSgd(), held);
        inside = await valueOf(v);
      });
      assert.deepEqual([inside, await valueOf(v), other.swapped], [2, 10, false]);
      assert.equal(await other.withSwa(() => valueOf(v)), 10);
    });

    it('refuse steps and updates of the other meanwhile, which would take averages for weights', async () => {
      const { v, swa, other } = both();
      swa.swapSwaSgd();
      const gradient = own(tf.tensor1d([1]));
      await assertFails(() => other.minimize(half(v)), held);
      await assertFails(() => other.applyGradients({ [v.name]: gradient }), held);
      await assertFails(() => other.updateSwa(), held);
      await assertFails(() => other.updateSwaGroup(other.paramGroups[0]!), held);
      await assertFails(() => other.assignSwa(), held);
      assert.deepEqual([await valueOf(v), other.paramGroups[0]!.step_counter], [2, 0]);
      swa.swapSwaSgd();
      other.minimize(half(v));
      assert.equal(await valueOf(v), 5);
    });

    it('go on with the averages where the first was disposed of while swapped by hand', async () => {
      const { v, swa, other } = both();
      swa.swapSwaSgd();
      swa.dispose();
      other.minimize(half(v));
      assert.equal(await valueOf(v), 1);
    });

    it('in any program: what a variable holds when all is swapped back are its weights', async () => {
      const command = fc.constantFrom('update', 'swap', 'scope', 'failing scope', 'step', 'state');
      const commands = fc.array(fc.tuple(fc.nat({ max: 1 }), command), { maxLength: 25 });
      await fc.assert(
        fc.asyncProperty(commands, async (program) => {
          const v = tf.tidy(() => tf.variable(tf.tensor1d([64])));
          const make = () => new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
          const swas = [make(), make()];
          let weight = 64; // a step halves it
          await warningsOf(async () => {
            for (const [which, what] of program) {
              const swa = swas[which]!;
              const other = swas[1 - which]!;
              const may = !swa.swapped && !other.swapped;
              const attempt = async (f: () => unknown): Promise<void> => {
                if (may) await f();
                else await assertFails(f, /swap/);
              };
              if (what === 'update') await attempt(() => swa.updateSwa());
              if (what === 'step') {
                await attempt(() => swa.minimize(half(v)));
                if (may) weight /= 2;
              }
              if (what === 'state' && !swa.swapped) await swa.loadStateDict(await swa.stateDict());
              if (what === 'swap' && (swa.swapped || !other.swapped)) swa.swapSwaSgd();
              if (!what.endsWith('scope')) continue;
              const run = swa.withSwa(() => {
                if (what === 'failing scope') throw new Error('inside');
              });
              await run.catch((error: unknown) =>
                assert.match((error as Error).message, /^inside$|another wrapper/),
              );
            }
          });
          for (const swa of swas) if (swa.swapped) swa.swapSwaSgd();
          assert.equal(await valueOf(v), weight);
          for (const swa of swas) swa.dispose();
          v.dispose();
        }),
        { seed: 417, numRuns: shareOf(200) },
      );
    });
  });

  describe('inside withSwa', () => {
    it('a state is not loaded, and the weights come back', async () => {
      const { v, swa } = averaged();
      const state = await swa.stateDict();
      const message = 'Cannot load a state inside withSwa()';
      await swa.withSwa(() => assertFails(() => swa.loadStateDict(state), message));
      assert.equal(await valueOf(v), 10);
      await swa.loadStateDict(state);
    });

    it('dispose waits for its end: the weights come back, and nothing is left', async () => {
      const v = variable([10]);
      const before = tf.memory().numTensors;
      const swa = new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: v }] });
      swa.updateSwa();
      swa.minimize(half(v)); // 5
      const inside = await swa.withSwa(async () => {
        swa.dispose();
        await assertFails(() => swa.updateSwa(), 'This SWA has been disposed');
        return valueOf(v);
      });
      assert.deepEqual([inside, await valueOf(v)], [10, 5]);
      assert.equal(tf.memory().numTensors, before);
    });

    it('a variable may be disposed; the others come back', async () => {
      const [a, b] = [variable([8]), variable([8])];
      const swa = own(new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: [a, b] }] }));
      swa.updateSwa();
      swa.minimize(half(a, b)); // 4
      const warnings = await warningsOf(() => swa.withSwa(() => a.dispose()));
      assert.deepEqual(warnings, [
        `Variable ${a.name} was disposed: it is in its parameter group no more`,
      ]);
      assert.deepEqual([await valueOf(b), swa.swapped], [4, false]);
    });
  });

  it('after a state that was swapped is loaded into a wrapper that is not, and the other way', async () => {
    const { v, swa } = averaged();
    const weights = await swa.stateDict();
    swa.swapSwaSgd();
    const swapped = await swa.stateDict();
    await assertFails(
      () => swa.loadStateDict(weights),
      'Cannot load a state that was not swapped while swapped: call swapSwaSgd() first',
    );
    await swa.loadStateDict(swapped);
    swa.swapSwaSgd();
    assert.equal(await valueOf(v), 10);
  });

  describe('before the first average', () => {
    it('warn once in all, of a hundred parameters', async () => {
      const vs = Array.from({ length: 100 }, (_, i) => variable([i], `scope/${i}`));
      const swa = own(new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: vs }] }));
      const warnings = await warningsOf(async () => {
        await swa.withSwa(() => {});
        await swa.withSwa(() => {});
      });
      assert.lengthOf(warnings, 1);
      assert.match(
        warnings[0]!,
        /^SWA wasn't applied to param scope\/0, scope\/1, .*; skipping it$/,
      );
    });
  });

  describe('statistics of batch normalization', () => {
    /** One batch normalization and a weight behind it, trained a little and averaged. */
    async function trained() {
      const model = own(
        tfl.sequential({
          layers: [
            tfl.layers.dense({ units: 2, inputShape: [1], kernelInitializer: 'ones' }),
            tfl.layers.batchNormalization(),
            tfl.layers.dense({ units: 1, kernelInitializer: 'ones' }),
          ],
        }),
      );
      const xs = own(tf.tensor2d([[1], [2], [3], [4]]));
      const ys = own(tf.tensor2d([[1], [0], [1], [0]]));
      const swa = own(new SWA(tf.train.sgd(0.05), { swaStart: 1, swaFreq: 2 }));
      const vs = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
      const loss = (): tf.Scalar =>
        tf.losses.meanSquaredError(ys, model.apply(xs, { training: true }) as tf.Tensor);
      for (let i = 0; i < 9; i++) swa.minimize(loss, false, vs);
      const statistics = () => valuesOf(model.weights.slice(-2).map((weight) => weight.read()));
      return { model, swa, xs, statistics };
    }

    it('go back with the weights', async () => {
      const { model, swa, xs, statistics } = await trained();
      const before = await statistics();
      const inside = await swa.withSwa(async () => {
        await updateBn([xs], model);
        return statistics();
      });
      assert.notDeepEqual(inside, before);
      assert.deepEqual(await statistics(), before);
    });

    it('also where the function fails, and of overlapping scopes at the end of the last', async () => {
      const { model, swa, xs, statistics } = await trained();
      const before = await statistics();
      const failing = swa.withSwa(async () => {
        await updateBn([xs], model);
        throw new Error('evaluation');
      });
      await assertFails(() => failing, 'evaluation');
      assert.deepEqual(await statistics(), before);
      let end = (): void => {};
      const second = new Promise<void>((resolve) => (end = resolve));
      const first = swa.withSwa(() => updateBn([xs], model));
      const last = swa.withSwa(() => second);
      await first;
      assert.notDeepEqual(await statistics(), before);
      end();
      await last;
      assert.deepEqual(await statistics(), before);
    });

    it('of another model that is re-estimated meanwhile stay', async () => {
      const { swa } = await trained();
      const other = own(
        tfl.sequential({
          layers: [
            tfl.layers.batchNormalization({ inputShape: [1] }),
            tfl.layers.dense({ units: 1 }),
          ],
        }),
      );
      const batch = own(tf.tensor2d([[1], [5]]));
      await swa.withSwa(() => updateBn([batch], other));
      assertClose(await other.layers[0]!.getWeights()[2]!.data(), [3], 1e-6);
    });

    it('stay after a swap by hand, as do the averages', async () => {
      const { model, swa, xs, statistics } = await trained();
      swa.swapSwaSgd();
      await swa.withSwa(() => updateBn([xs], model));
      const after = await statistics();
      assert.isTrue(swa.swapped);
      swa.swapSwaSgd();
      assert.deepEqual(await statistics(), after);
    });
  });
});

describe('assignSwa', () => {
  it('gives the parameters the averages, from which training goes on', async () => {
    const { v, swa } = averaged();
    swa.assignSwa();
    assert.deepEqual([await valueOf(v), swa.swapped], [2, false]);
    swa.minimize(half(v)); // 1
    swa.updateSwa(); // (1 + 3 + 1) / 3
    assertClose([await swa.withSwa(() => valueOf(v)), await valueOf(v)], [5 / 3, 1], 1e-6);
  });

  it('warns of a parameter without an average, and is refused while swapped', async () => {
    const v = variable([8], 'assign/v');
    const swa = own(new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: v }] }));
    assert.deepEqual(await warningsOf(() => swa.assignSwa()), [
      "SWA wasn't applied to param assign/v; skipping it",
    ]);
    swa.updateSwa();
    swa.swapSwaSgd();
    await assertFails(() => swa.assignSwa(), /^Cannot assign the averages while swapped/);
    await assertFails(
      () => own(new SWA(tf.train.sgd(0.5))).assignSwa(),
      /^No variable is known yet/,
    );
  });
});

describe('a group with average: false', () => {
  it('is stepped, never averaged, and left by a swap, without a warning', async () => {
    const [a, b] = [variable([8]), variable([8])];
    const swa = own(
      new SWA(tf.train.sgd(0.5), {
        swaStart: 0,
        swaFreq: 1,
        paramGroups: [{ params: a }, { params: b, average: false }],
      }),
    );
    swa.minimize(half(a, b));
    swa.minimize(half(a, b)); // 4, 2
    assert.deepEqual(
      swa.paramGroups.map(({ n_avg, step_counter }) => [n_avg, step_counter]),
      [
        [2, 2],
        [0, 2],
      ],
    );
    assert.deepEqual(await warningsOf(() => swa.swapSwaSgd()), []);
    assert.deepEqual([await valueOf(a), await valueOf(b)], [3, 2]);
    swa.swapSwaSgd();
    swa.updateSwaGroup(swa.paramGroups[1]!);
    assert.equal(swa.paramGroups[1]!.n_avg, 0);
    await assertFails(
      () => swa.addParamGroup({ params: variable([1]), average: 'no' as never }),
      'Invalid average of parameter group 2: "no" (expected a boolean)',
    );
  });
});
