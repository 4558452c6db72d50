/** `loadStateDict(state, {strict: false})` of the wrappers: what fits is taken, the rest begins anew. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  emaAvgFn,
  Lookahead,
  ScheduleFree,
  SWA,
  type ParamGroupOptions,
  type SWAStateDict,
} from '../../../lib/index.js';
import { shareOf } from '../../support/backends.js';
import {
  assertFails,
  disposeOwned,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../../support/support.js';

type Wrapper = SWA | ScheduleFree | Lookahead;
const NOTHING = { missing: [], unexpected: [], mismatched: [] };

/** An SWA of these groups, of Momentum or what is given. */
const swaOf = (
  params: tf.Variable[][],
  optimizer: tf.Optimizer = tf.train.momentum(0.1, 0.5),
): SWA => own(new SWA(optimizer, { paramGroups: params.map((list) => ({ params: list })) }));

/** Steps towards 0 and averages each. */
function train(wrapper: Wrapper, steps: number): void {
  for (let step = 0; step < steps; step++) {
    wrapper.minimize(half(...wrapper.paramGroups.flatMap(({ params }) => [...params])));
    if (wrapper instanceof SWA) wrapper.updateSwa();
  }
}

/** A state of `names`, each in a group or all in one, after so many steps; its variables are gone. */
async function savedState(
  groups: Record<string, number[]>[],
  steps = 2,
  optimizer?: tf.Optimizer,
): Promise<SWAStateDict> {
  const params = groups.map((group) =>
    Object.entries(group).map(([name, values]) => variable(values, name)),
  );
  const swa = swaOf(params, optimizer);
  train(swa, steps);
  const state = await swa.stateDict();
  disposeOwned();
  return state;
}
const countsOf = ({ paramGroups }: Wrapper) =>
  paramGroups.map(({ params, n_avg, step_counter }) => [
    params.map(({ name }) => name).join(),
    n_avg,
    step_counter,
  ]);

describe('a load that takes what fits', () => {
  it('reports the rest, which begins anew in a group of its own', async () => {
    const state = await savedState([{ 'part/a': [8], 'part/b': [2], 'part/d': [1, 1] }]);
    // Momentum: m = 0.5 m + v, v -= 0.1 m: 8, 7.2 (m 8), 6.08 (m 11.2); averaged 6.64.
    const [a, c, d] = [
      variable([6.08], 'part/a'),
      variable([3], 'part/c'),
      variable([1], 'part/d'),
    ];
    const swa = swaOf([[c, a, d]]);
    swa.paramGroups[0]!.lr = 9;
    const before = structuredClone(state);
    assert.deepEqual(await swa.loadStateDict(state, { strict: false }), {
      missing: ['part/c'],
      unexpected: ['part/b'],
      mismatched: ['part/d'],
    });
    assert.deepEqual(state, before);
    assert.deepEqual(countsOf(swa), [['part/a', 2, 2], ['part/c,part/d', 0, 2]]); // prettier-ignore
    assert.deepEqual(swa.paramGroups.map(({ lr }) => lr), [0.1, 0.1]); // prettier-ignore
    const warnings = await warningsOf(() => swa.swapSwaSgd());
    assert.deepEqual(
      warnings,
      ['part/c', 'part/d'].map((name) => `SWA wasn't applied to param ${name}; skipping it`),
    );
    const [average] = await valuesOf([a]);
    assert.approximately(average![0]!, 6.64, 1e-6);
    assert.deepEqual(await valuesOf([c, d]), [[3], [1]]);
    swa.swapSwaSgd();
    swa.minimize(half(a, c, d));
    // m = 0.5 * 11.2 + 6.08 = 11.68, and c and d start with no momentum.
    const [x, y, z] = (await valuesOf([a, c, d])).map(([value]) => value!);
    assert.approximately(x!, 6.08 - 1.168, 1e-5);
    assert.approximately(y!, 2.7, 1e-6);
    assert.approximately(z!, 0.9, 1e-6);
  });

  const wrappers: Record<string, (groups: ParamGroupOptions[]) => Wrapper> = {};
  for (const [name, optimizer] of Object.entries(OPTIMIZERS)) {
    wrappers[`SWA of ${name}`] = (paramGroups) => new SWA(optimizer(), { paramGroups });
  }
  for (const name of ['sgd', 'adam'] as const) {
    const optimizer = OPTIMIZERS[name]!;
    wrappers[`ScheduleFree of ${name}`] = (paramGroups) =>
      new ScheduleFree(optimizer(), { paramGroups });
    wrappers[`Lookahead of ${name}`] = (paramGroups) =>
      new Lookahead(optimizer(), { k: 2, paramGroups });
  }
  for (const [kind, make] of Object.entries(wrappers)) {
    it(`goes on, of any parameters, as if they had always been alone: ${kind}`, async () => {
      const names = ['a', 'b', 'c', 'd', 'e'].map((name) => `part/${name}`);
      const startOf = (i: number, size = 2) =>
        Array.from({ length: size }, (_, k) => 1 + i - 3 * k);
      const parameter = fc.record({
        saved: fc.constantFrom(null, 0, 1),
        now: fc.constantFrom('absent', 'same', 'same', 'other shape'),
        stray: fc.nat(2),
      });
      /** What is kept of each name: its value, then what stands for it in the state. */
      const snapshot = async (wrapper: Wrapper) => {
        const { param_groups, swa_state } = await wrapper.stateDict();
        const params = wrapper.paramGroups.flatMap((group) => [...group.params]);
        const values = await valuesOf(params);
        const found = param_groups.flatMap((group) =>
          group.params.map((index, i) => {
            const kept = Object.entries(swa_state[index] ?? {});
            const buffers = kept.map(([key, tensor]) => [key, ...tensor.values]);
            return [group.param_names[i]!, [group.n_avg, values[index], ...buffers]] as const;
          }),
        );
        return new Map(found);
      };
      const groupsOf = (lists: tf.Variable[][], rates: number[]): ParamGroupOptions[] =>
        lists.flatMap((params, g) => (params.length > 0 ? [{ params, lr: rates[g]! }] : []));
      const alone = async (start: number[], lr: number) => {
        const v = variable(start);
        const wrapper = own(make([{ params: v, lr }]));
        train(wrapper, 3);
        return (await snapshot(wrapper)).get(v.name)!;
      };
      await fc.assert(
        fc.asyncProperty(fc.tuple(...names.map(() => parameter)), async (plan) => {
          // The unbroken run of 4 + 3 steps.
          const before = [0, 1].map((g) =>
            names.flatMap((name, i) => (plan[i]!.saved === g ? [variable(startOf(i), name)] : [])),
          );
          const savedGroups = groupsOf(before, [0.05, 0.02]);
          if (savedGroups.length === 0) return;
          const unbroken = own(make(savedGroups));
          train(unbroken, 4);
          const state = await unbroken.stateDict();
          const at4 = await snapshot(unbroken);
          train(unbroken, 3);
          const at7 = await snapshot(unbroken);
          disposeOwned();

          const fits = plan.map(({ saved, now }) => saved !== null && now === 'same');
          const lists: tf.Variable[][] = [[], [], []];
          plan.forEach(({ saved, now, stray }, i) => {
            if (now === 'absent') return;
            const start = startOf(i, now === 'same' ? 2 : 3);
            const value = fits[i] ? (at4.get(names[i]!)![1] as number[]) : start;
            lists[fits[i] ? saved! : stray]!.push(variable(value, names[i]));
          });
          const rates = [0.01, 0.015, 0.03];
          const groups = groupsOf(lists, rates);
          if (groups.length === 0) {
            disposeOwned();
            return;
          }
          const wrapper = own(make(groups));
          const named = (which: (p: (typeof plan)[number]) => boolean) =>
            names.filter((_, i) => which(plan[i]!));
          const report = await wrapper.loadStateDict(state, { strict: false });
          const sorted = Object.values(report).map((list) => [...list].sort());
          assert.deepEqual(sorted, [
            named(({ saved, now }) => saved === null && now !== 'absent'),
            named(({ saved, now }) => saved !== null && now === 'absent'),
            named(({ saved, now }) => saved !== null && now === 'other shape'),
          ]);
          train(wrapper, 3);
          const end = await snapshot(wrapper);
          for (const [i, { now, stray }] of plan.entries()) {
            if (now === 'absent') continue;
            const name = names[i]!;
            if (fits[i]) {
              assert.deepEqual(end.get(name), at7.get(name), name);
              continue;
            }
            // At the rate of its group: the saved one, if the group took one.
            const taken = plan.some(({ saved }, j) => fits[j] && saved === stray);
            const lr = taken ? [0.05, 0.02][stray]! : rates[stray]!;
            const start = startOf(i, now === 'same' ? 2 : 3);
            assert.deepEqual(end.get(name), await alone(start, lr), name);
          }
          disposeOwned();
        }),
        { numRuns: shareOf(kind.startsWith('SWA') ? 12 : 8) },
      );
    });
  }

  it('averages what begins anew in step with the rest, in automatic mode', async () => {
    const params = [variable([8], 'part/a')];
    const options = { swaStart: 2, swaFreq: 2 };
    const from = own(new SWA(tf.train.sgd(0.1), { ...options, paramGroups: [{ params }] }));
    for (let step = 0; step < 5; step++) from.minimize(half(...params));
    const state = await from.stateDict();
    disposeOwned();
    const [a, b] = [variable([1], 'part/a'), variable([1], 'part/b')];
    for (const paramGroups of [[{ params: [a, b] }], [{ params: b }, { params: a }]]) {
      const swa = own(new SWA(tf.train.sgd(0.1), { ...options, paramGroups }));
      await swa.loadStateDict(state, { strict: false });
      swa.minimize(half(a, b));
      const counts = countsOf(swa).sort();
      assert.deepEqual(counts, [['part/a', 2, 6], ['part/b', 1, 6]]); // prettier-ignore
    }
  });

  it('takes no name that tfjs made up, and changes nothing where nothing fits', async () => {
    const from = swaOf([[variable([8]), variable([2])]]);
    train(from, 2);
    const state = await from.stateDict();
    const [a, b] = [variable([1]), variable([1], 'part/b')];
    const swa = swaOf([[a, b]]);
    train(swa, 1);
    const before = await swa.stateDict();
    assert.deepEqual(await swa.loadStateDict(state, { strict: false }), {
      missing: [a.name, 'part/b'],
      unexpected: state.param_groups[0]!.param_names,
      mismatched: [],
    });
    assert.deepEqual(await swa.stateDict(), before);
    // Its own names, which say nothing either.
    assert.deepEqual((await swa.loadStateDict(before, { strict: false })).missing, [a.name]);
    assert.deepEqual(countsOf(swa), [['part/b', 1, 1], [a.name, 0, 1]]); // prettier-ignore
  });

  it('of all names is a load like any other', async () => {
    const [a, b] = [variable([8], 'part/a'), variable([2], 'part/b')];
    const swa = swaOf([[a], [b]]);
    train(swa, 3);
    const state = await swa.stateDict();
    const groups = swa.paramGroups.map((group) => group);
    train(swa, 2);
    assert.deepEqual(await swa.loadStateDict(state, { strict: false }), NOTHING);
    assert.deepEqual(await swa.stateDict(), state);
    assert.deepEqual(swa.paramGroups, groups);
    assert.deepEqual(await swa.loadStateDict(state), NOTHING);
    assert.deepEqual(await swa.loadStateDict(state, { strict: true }), NOTHING);
  });

  it('of a group whose parameters stand in another, each its own numbers', async () => {
    const state = await savedState([{ 'part/a': [8], 'part/b': [2] }]);
    const swa = swaOf([[variable([1], 'part/b')], [variable([1], 'part/a')]]);
    assert.deepEqual(await swa.loadStateDict(state, { strict: false }), NOTHING);
    assert.deepEqual(countsOf(swa), [['part/b', 2, 2], ['part/a', 2, 2]]); // prettier-ignore
    const { swa_state, param_groups } = await swa.stateDict();
    const of = (place: number) => state.swa_state[place]!.swa_buffer.values;
    assert.deepEqual([swa_state[0], swa_state[1]].map((kept) => kept!.swa_buffer.values), [of(1), of(0)]); // prettier-ignore
    assert.deepEqual(param_groups.map(({ lr }) => lr), [0.1, 0.1]); // prettier-ignore
  });

  it('of a state that was swapped swaps back what it has, and leaves the rest', async () => {
    const [a, b] = [variable([8], 'part/a'), variable([2], 'part/b')];
    const from = swaOf([[a, b]]);
    train(from, 2);
    const [weights] = await valuesOf([a]);
    from.swapSwaSgd();
    const [average] = await valuesOf([a]);
    const state = await from.stateDict();
    disposeOwned();
    const [x, y] = [variable(average!, 'part/a'), variable([5], 'part/c')];
    const swa = swaOf([[x, y]]);
    await swa.loadStateDict(state, { strict: false });
    assert.isTrue(swa.swapped);
    await assertFails(
      () => swa.loadStateDict(state, { strict: false }),
      'Cannot load with strict: false while swapped: call swapSwaSgd() first',
    );
    await assertFails(() => swa.updateSwa(), /while swapped/);
    swa.swapSwaSgd();
    assert.deepEqual(await valuesOf([x, y]), [weights, [5]]);
    assert.isFalse(swa.swapped);
    swa.minimize(half(x, y));
  });

  it('leaves a group that is not averaged what it is', async () => {
    const state = await savedState([{ 'part/a': [8] }, { 'part/b': [2] }]);
    state.param_groups[1]!.n_avg = 0;
    delete state.swa_state[1];
    const params = ['a', 'b', 'c'].map((name) => variable([1], `part/${name}`));
    const swa = own(
      new SWA(tf.train.momentum(0.1, 0.5), {
        paramGroups: [{ params: params[0]! }, { params: params.slice(1), average: false }],
      }),
    );
    await swa.loadStateDict(state, { strict: false });
    train(swa, 1);
    assert.deepEqual(countsOf(swa), [['part/a', 3, 3], ['part/b', 0, 3], ['part/c', 0, 3]]); // prettier-ignore
  });

  describe('refuses, and has changed nothing,', () => {
    const refuses = async (
      swa: SWA,
      state: SWAStateDict,
      message: string | RegExp,
      options = {},
    ): Promise<void> => {
      const before = await swa.stateDict();
      const groups = [...swa.paramGroups];
      const { numTensors } = tf.memory();
      await assertFails(() => swa.loadStateDict(state, { strict: false, ...options }), message);
      assert.equal(tf.memory().numTensors, numTensors);
      assert.deepEqual(await swa.stateDict(), before);
      assert.deepEqual(swa.paramGroups, groups);
    };
    async function trained(names: string[][], optimizer?: tf.Optimizer): Promise<SWA> {
      const swa = swaOf(names.map((list) => list.map((name) => variable([1], name))), optimizer); // prettier-ignore
      train(swa, 1);
      return swa;
    }

    it('before the variables are known, and while a state waits for them', async () => {
      const state = await savedState([{ 'part/a': [8] }]);
      const swa = own(new SWA(tf.train.momentum(0.1, 0.5)));
      const message =
        'Cannot load with strict: false before the variables are known: name them with paramGroups ' +
        'or addParamGroup(), or take a step';
      await assertFails(() => swa.loadStateDict(state, { strict: false }), message);
      await swa.loadStateDict(state);
      await assertFails(() => swa.loadStateDict(state, { strict: false }), message);
      assert.deepEqual(await swa.stateDict(), state);
    });

    it('other hyper-parameters, another average, another optimizer', async () => {
      const state = await savedState([{ 'part/a': [8], 'part/b': [2] }]);
      const swa = await trained([['part/x'], ['part/a', 'part/c']]);
      const other = structuredClone(state);
      other.param_groups[0]!['momentum'] = 0.25;
      await refuses(
        swa,
        other,
        'The state does not fit this SWA; of the wrong shape or value: momentum of group 1 (0.25, not 0.5)',
      );
      const ema = structuredClone(state);
      ema.param_groups[0]!.avg_fn = 'ema(decay 0.9)';
      await refuses(
        swa,
        ema,
        'The state does not fit this SWA; of the wrong shape or value: avg_fn of group 1 (ema(decay 0.9), not swa)',
      );
      await swa.loadStateDict(ema, { strict: false, avgFn: 'keep' });
      assert.deepEqual(countsOf(swa), [['part/x', 0, 2], ['part/a', 2, 2], ['part/c', 0, 2]]); // prettier-ignore
      disposeOwned();
      await refuses(
        await trained([['part/a', 'part/c']], tf.train.sgd(0.1)),
        state,
        'The state does not fit this SWA; unexpected: opt_state[0] accumulations/0',
      );
    });

    it('slots that do not belong to what fits', async () => {
      const state = await savedState([{ 'part/a': [8], 'part/b': [2] }]);
      const swa = await trained([['part/a', 'part/c']]);
      const without = structuredClone(state);
      without.opt_state[0] = without.opt_state[0]!.filter(({ name }) => !name.endsWith('/0'));
      await refuses(swa, without, 'The state does not fit this SWA; missing: opt_state[0] accumulations/0'); // prettier-ignore
      const more = structuredClone(state);
      more.opt_state[0]!.push({ ...more.opt_state[0]!.at(-1)!, name: 'accumulations/7' });
      await refuses(swa, more, 'The state does not fit this SWA; unexpected: opt_state[0] accumulations/7'); // prettier-ignore
      const broken = structuredClone(state);
      broken.param_groups[0]!.n_avg = -1;
      await refuses(swa, broken, /^Invalid state\.param_groups\[0\]\.n_avg: -1 /);
    });

    it('one group for what stands in several', async () => {
      const state = await savedState([{ 'part/a': [8] }, { 'part/b': [2] }]);
      await refuses(
        await trained([['part/c'], ['part/b', 'part/a']]),
        state,
        'The state does not fit this SWA: parameters of group 1 stand in its groups 1, 0',
      );
    });

    it('options that make no sense', async () => {
      const state = await savedState([{ 'part/a': [8] }]);
      const swa = await trained([['part/a']]);
      await refuses(swa, state, 'Invalid strict: 0 (expected a boolean)', { strict: 0 });
    });

    it('a part of what an optimizer keeps in its own way, and one that takes nothing', async () => {
      const made: tf.Tensor[] = [];
      class Own extends tf.SGDOptimizer {
        static override get className(): string {
          return 'Own';
        }
        fails = false;
        override async getWeights(): Promise<{ name: string; tensor: tf.Tensor }[]> {
          const tensor = tf.scalar(3);
          made.push(tensor);
          return [{ name: 'own', tensor }];
        }
        override async setWeights(): Promise<void> {
          if (this.fails) throw new Error('no, thank you');
        }
      }
      const optimizer = new Own(0.1);
      const a = variable([8], 'part/a');
      const [b, c] = [variable([1], 'part/b'), variable([1], 'part/c')];
      const groups = (params: tf.Variable[], base: Own): ParamGroupOptions[] => [
        { params: [b] },
        { params, optimizer: base },
      ];
      const first = own(
        new SWA(tf.train.momentum(0.1, 0.5), { paramGroups: groups([a], optimizer) }),
      );
      train(first, 1);
      const state = await first.stateDict();
      tf.dispose(made.splice(0));
      // All of it is taken.
      assert.deepEqual(await first.loadStateDict(state, { strict: false }), NOTHING);
      tf.dispose(made.splice(0));

      const part = own(new SWA(tf.train.momentum(0.1, 0.5), { paramGroups: groups([a, c], new Own(0.1)) })); // prettier-ignore
      await assertFails(
        () => part.loadStateDict(state, { strict: false }),
        'Cannot load a part of what Own of group 1 keeps in its own way',
      );
      const failing = new Own(0.1);
      failing.fails = true;
      const stray = own(
        new SWA(tf.train.momentum(0.1, 0.5), {
          paramGroups: [{ params: [b, c] }, { params: a, optimizer: failing }],
        }),
      );
      const { numTensors } = tf.memory();
      await assertFails(() => stray.loadStateDict(state, { strict: false }), 'no, thank you');
      tf.dispose(made.splice(0));
      assert.equal(tf.memory().numTensors, numTensors);
      assert.deepEqual(countsOf(stray), [['part/b,part/c', 0, 0], ['part/a', 0, 0]]); // prettier-ignore
    });
  });

  it('goes on with an EMA of the same decay', async () => {
    const params = [variable([8], 'part/a')];
    const from = own(
      new SWA(tf.train.sgd(0.5), { avgFn: emaAvgFn(0.5), paramGroups: [{ params }] }),
    );
    from.updateSwa();
    const state = await from.stateDict();
    disposeOwned();
    const list = [variable([4], 'part/a'), variable([4], 'part/b')];
    const to = own(new SWA(tf.train.sgd(0.5), { avgFn: emaAvgFn(0.5), paramGroups: [{ params: list }] })); // prettier-ignore
    await to.loadStateDict(state, { strict: false });
    to.updateSwa();
    to.swapSwaSgd();
    assert.deepEqual(await valuesOf(list), [[6], [4]]); // 0.5 * 8 + 0.5 * 4, and the first value
  });
});
