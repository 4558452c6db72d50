import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  averageOf,
  emaAvgFn,
  mergeAverages,
  mergeStateDicts,
  ScheduleFree,
  SWA,
  type SWAOptions,
  type SWAStateDict,
  type TensorData,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertClose,
  assertFails,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
} from '../support/support.js';

const float = (...values: number[]): TensorData => ({
  name: 'swa_buffer',
  dtype: 'float32',
  shape: [values.length],
  values: Float32Array.from(values),
});
/** The state of SGD with a group for each list: its `n_avg`, then the averages by name. */
function stateOf(...groups: [n_avg: number, averages: Record<string, number[]>][]): SWAStateDict {
  const state: SWAStateDict = { opt_state: {}, swa_state: {}, param_groups: [] };
  let count = 0;
  groups.forEach(([n_avg, averages], g) => {
    const names = Object.keys(averages);
    state.opt_state[g] = [{ name: 'iterations', dtype: 'int32', shape: [], values: Int32Array.of(7) }]; // prettier-ignore
    const rest = { lr: 0.1, step_counter: 7, swapped: false, avg_fn: 'swa' };
    const params = names.map((_, i) => count + i);
    state.param_groups.push({ params, param_names: names, n_avg, ...rest });
    if (n_avg > 0) {
      names.forEach((name, i) => {
        state.swa_state[count + i] = { swa_buffer: float(...averages[name]!) };
      });
    }
    count += names.length;
  });
  return state;
}
/** Of each group `n_avg`, then the averages of its parameters. */
const told = ({ param_groups, swa_state }: SWAStateDict) =>
  param_groups.map(({ n_avg, params }) => [
    n_avg,
    ...params.map((index) => [...(swa_state[index]?.swa_buffer.values ?? [])]),
  ]);

describe('mergeStateDicts', () => {
  it('weighs each group by its n_avg', async () => {
    // (3 * 1 + 1 * 5) / 4 = 2; (1 * 4 + 4 * 9) / 5 = 8
    const merged = await mergeStateDicts([
      stateOf([3, { a: [1, 10] }], [1, { b: [4] }]),
      stateOf([1, { a: [5, 10] }], [4, { b: [9] }]),
    ]);
    assert.deepEqual(told(merged), [[4, [2, 10]], [5, [8]]]); // prettier-ignore
  });

  it('takes iterables, generators and promises of states', async () => {
    const states = [stateOf([1, { a: [1] }]), stateOf([1, { a: [3] }])];
    async function* later() {
      for (const state of states) yield Promise.resolve(state);
    }
    for (const given of [new Set(states), states.values(), later()]) {
      assert.deepEqual(told(await mergeStateDicts(given)), [[2, [2]]]);
    }
    const promised = states.map((state) => Promise.resolve(state)) as unknown as SWAStateDict[];
    assert.deepEqual(told(await mergeStateDicts(promised)), [[2, [2]]]);
  });

  it('leaves all else as the first has it, in copies, and the states as they were', async () => {
    const states = [stateOf([1, { a: [1] }]), stateOf([1, { a: [3] }])] as const;
    states[1].param_groups[0]!.lr = 9;
    states[1].param_groups[0]!.step_counter = 9;
    states[1].opt_state[0]![0]!.values[0] = 9;
    states[0].param_groups[0]!['momentum'] = 0.5;
    const before = structuredClone(states);
    const merged = await mergeStateDicts(states);
    const expected = { ...structuredClone(states[0]), swa_state: { 0: { swa_buffer: float(2) } } };
    expected.param_groups[0]!.n_avg = 2;
    assert.deepEqual(merged, expected);
    merged.opt_state[0]![0]!.values[0] = 3;
    merged.swa_state[0]!.swa_buffer.values[0] = 3;
    merged.param_groups[0]!.params[0] = 3;
    assert.deepEqual(states, before);
  });

  it('takes a state without an average for nothing, the first one too', async () => {
    const [none, some] = [stateOf([0, { a: [0] }]), stateOf([2, { a: [4] }])];
    some.param_groups[0]!.step_counter = 9;
    assert.deepEqual(told(await mergeStateDicts([some, none])), [[2, [4]]]);
    const merged = await mergeStateDicts([none, some, none]);
    assert.deepEqual(told(merged), [[2, [4]]]);
    assert.equal(merged.param_groups[0]!.step_counter, 7);
    assert.deepEqual(await mergeStateDicts([none, none]), none);
  });

  it('matches by name, else by position, within a group', async () => {
    const first = stateOf([1, { 'd/a': [1], 'd/b': [5] }]);
    for (const [other, expected] of [
      [{ 'd/b': [7], 'd/a': [3] }, [[2], [6]]], // by name
      [{ 'd/b_1': [7], 'd/a_1': [3] }, [[2], [6]]], // by name, as a second build is called
      [{ x: [7], y: [3] }, [[4], [4]]], // by position
      [{ 8: [7], 9: [3] }, [[4], [4]]],
    ] as const) {
      const state = stateOf([1, other as unknown as Record<string, number[]>]);
      const merged = await mergeStateDicts([first, state]);
      assert.deepEqual(told(merged), [[2, ...expected]] as never);
      assert.deepEqual(merged.param_groups[0]!.param_names, ['d/a', 'd/b']);
    }
  });

  it('refuses by the place of the state, in words', async () => {
    const first = stateOf([1, { a: [1] }], [1, { b: [2] }]);
    const but = (change: (state: SWAStateDict) => void): SWAStateDict => {
      const state = structuredClone(first);
      change(state);
      return state;
    };
    const refused: [SWAStateDict, string | RegExp][] = [
      [
        but(({ param_groups }) => (param_groups[1]!.avg_fn = 'ema(decay 0.99)')),
        'Cannot merge states[1]: It was averaged with ema(decay 0.99), and n_avg is the weight of an ' +
          'equal average alone; mergeAverages() merges by weights of your own what averageOf() gives',
      ],
      [
        but(({ param_groups }) => (param_groups[0]!.avg_fn = 'own')),
        /^Cannot merge states\[1\]: It was averaged with own, /,
      ],
      [
        but(({ param_groups }) => (param_groups[0]!.avg_fn = 'lookahead(k 5, alpha 0.5)')),
        /^Cannot merge states\[1\]: The state is one of lookahead\(k 5, alpha 0\.5\), which keeps no/,
      ],
      [
        but(({ param_groups }) => (param_groups[1]!.swapped = true)),
        'Cannot merge states[1]: The state was saved while swapped: it holds the weights, and the ' +
          'model the averages; swap back before you save',
      ],
      [
        but(({ swa_state }) => (swa_state[1]!.swa_buffer = float(NaN))),
        'Cannot merge states[1]: The average of b is not finite',
      ],
      [
        but(({ swa_state }) => (swa_state[0]!.swa_buffer = float(-Infinity))),
        'Cannot merge states[1]: The average of a is not finite',
      ],
      [
        but(({ swa_state }) => (swa_state[1]!.swa_buffer = float(1, 2))),
        'Cannot merge states[1]: It does not fit the first; of the wrong shape or value: ' +
          'average of b (float32 [2], not float32 [1])',
      ],
      [
        stateOf([1, { b: [1] }], [1, { a: [2] }]),
        'Cannot merge states[1]: It does not fit the first; of the wrong shape or value: ' +
          'group of a (1, not 0), group of b (0, not 1)',
      ],
      [
        stateOf([1, { a: [1] }], [1, { b: [2] }], [1, { c: [2] }]),
        'Cannot merge states[1]: It does not fit the first; unexpected: c',
      ],
      [stateOf([1, { a: [1] }]), 'Cannot merge states[1]: It does not fit the first; missing: b'],
      [
        stateOf([1, { a: [1], c: [3] }], [1, { b: [2] }]),
        'Cannot merge states[1]: It does not fit the first; unexpected: c',
      ],
      [
        but(({ param_groups }) => (param_groups[0]!.n_avg = -1)),
        'Cannot merge states[1]: Invalid state.param_groups[0].n_avg: -1 (expected an integer >= 0)',
      ],
      [{} as SWAStateDict, /^Cannot merge states\[1\]: Invalid state.opt_state: undefined/],
      [null as unknown as SWAStateDict, /^Cannot merge states\[1\]: Invalid state: null/],
    ];
    for (const [state, message] of refused) {
      await assertFails(() => mergeStateDicts([first, state]), message);
    }
    // Numbers of tfjs's own, dealt to other groups.
    await assertFails(
      () =>
        mergeStateDicts([
          stateOf([1, { 0: [1] }], [1, { 1: [2] }]),
          stateOf([1, { 0: [1], 1: [2] }]),
        ]),
      'Cannot merge states[1]: It does not fit the first; of the wrong shape or value: ' +
        'number of parameters of group 0 (2, not 1), number of parameters of group 1 (0, not 1)',
    );
    await assertFails(() => mergeStateDicts([]), 'There are no states to merge');
    await assertFails(
      () => mergeStateDicts(first as never),
      'Invalid states: an object (expected an iterable of state dicts)',
    );
    await assertFails(
      () => mergeStateDicts([first], { onRefused: 3 } as never),
      'Invalid onRefused: 3 (expected a function)',
    );
    const lost = new Error('the network is down');
    async function* failing() {
      yield first;
      throw lost;
    }
    await assertFails(() => mergeStateDicts(failing()), 'the network is down');
  });

  it('leaves out what is refused, and says so, if it is asked to', async () => {
    const good = stateOf([1, { a: [1], b: [1] }]);
    const other = stateOf([3, { a: [5], b: [5] }]);
    // Its first average fits.
    const bad = stateOf([1, { a: [1e9], b: [1, 2] }]);
    const nan = stateOf([1, { a: [1e9], b: [NaN] }]);
    const told_: string[] = [];
    const onRefused = ({ message }: Error, index: number) => told_.push(`${index}: ${message}`);
    // (1 * 1 + 3 * 5) / 4 = 4
    const merged = await mergeStateDicts([nan, good, bad, other, nan], { onRefused });
    assert.deepEqual(told(merged), [[4, [4], [4]]]);
    assert.deepEqual(told_, [
      '0: Cannot merge states[0]: The average of b is not finite',
      '2: Cannot merge states[2]: It does not fit the first; of the wrong shape or value: ' +
        'average of b (float32 [2], not float32 [1])',
      '4: Cannot merge states[4]: The average of b is not finite',
    ]);
    await assertFails(
      () => mergeStateDicts([nan, nan], { onRefused }),
      'All of 2 states were refused',
    );
  });

  describe('of the states of workers', () => {
    /** A worker's SWA of two groups, after a few steps and updates of its own. */
    function worker(optimizer: () => tf.Optimizer, seed: number, options: SWAOptions = {}) {
      const vs = [variable([1, 2], `w${seed}/a`), variable([[3], [4]], `w${seed}/b`)] as const;
      const paramGroups = vs.map((params) => ({ params }));
      const swa = own(new SWA(optimizer(), { paramGroups, ...options }));
      return { vs, swa };
    }

    for (const [name, optimizer] of Object.entries(OPTIMIZERS)) {
      it(`load into the first one's again: ${name}`, async () => {
        const workers = [1, 2, 3].map((seed) => worker(optimizer, seed));
        const seen: number[][][] = [];
        for (const [i, { vs, swa }] of workers.entries()) {
          for (let step = 0; step < 2 + i; step++) {
            vs.forEach((v) => swa.minimize(half(v), false, [...vs]));
            swa.updateSwa();
            seen.push(await valuesOf(vs));
          }
        }
        const states = await Promise.all(workers.map(({ swa }) => swa.stateDict()));
        const [{ vs, swa }] = workers as [(typeof workers)[number]];
        const before = await valuesOf(vs);
        await swa.loadStateDict(await mergeStateDicts(states));
        assert.deepEqual(swa.paramGroups.map(({ n_avg }) => n_avg), [9, 9]); // prettier-ignore
        assert.deepEqual(swa.paramGroups.map(({ step_counter }) => step_counter), [4, 4]); // prettier-ignore
        swa.swapSwaSgd();
        (await valuesOf(vs)).forEach((values, p) => {
          // The mean of all 2 + 3 + 4 values.
          const mean = values.map((_, k) => seen.reduce((sum, all) => sum + all[p]![k]!, 0) / 9);
          assertClose(values, mean, 1e-6);
        });
        swa.swapSwaSgd();
        assert.deepEqual(await valuesOf(vs), before);
        swa.minimize(half(...vs), false, [...vs]); // and goes on
      });
    }

    it('are refused if they are of an EMA or a ScheduleFree', async () => {
      const ema = worker(() => tf.train.sgd(0.1), 1, { avgFn: emaAvgFn(0.9) });
      const free = own(new ScheduleFree(tf.train.sgd(0.1)));
      const v = variable([1]);
      free.minimize(half(v), false, [v]);
      for (const [wrapper, message] of [
        [ema.swa, /^Cannot merge states\[0\]: It was averaged with ema\(decay 0\.9\), /],
        [free, /^Cannot merge states\[0\]: The state is one of schedule_free\(/],
      ] as const) {
        const state = await wrapper.stateDict();
        await assertFails(() => mergeStateDicts([state]), message);
      }
    });

    it('merge in any order and grouping to the average of all', async () => {
      const value = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 });
      const state = fc
        .tuple(fc.nat(20), fc.nat(20), value, value, value)
        .map(([n, m, x, y, z]) => stateOf([n, { a: [x, y] }], [m, { b: [z] }]));
      await fc.assert(
        fc.asyncProperty(
          fc
            .array(state, { minLength: 1, maxLength: 8 })
            .chain((list) =>
              fc.tuple(
                fc.constant(list),
                fc.shuffledSubarray([...list.keys()], { minLength: list.length }),
                fc.array(fc.nat(2), { minLength: list.length, maxLength: list.length }),
              ),
            ),
          async ([states, order, group]) => {
            const once = await mergeStateDicts(states);
            const parts = [0, 1, 2].map((k) => order.filter((i) => group[i] === k));
            const merged = await Promise.all(
              parts
                .filter(({ length }) => length > 0)
                .map((places) => mergeStateDicts(places.map((i) => states[i]!))),
            );
            const tree = await mergeStateDicts(merged);
            once.param_groups.forEach(({ n_avg, params }, g) => {
              assert.equal(tree.param_groups[g]!.n_avg, n_avg);
              const sum = states.reduce((n, { param_groups }) => n + param_groups[g]!.n_avg, 0);
              assert.equal(n_avg, sum);
              if (n_avg === 0) return;
              const values = (state: SWAStateDict) =>
                state.swa_state[params[0]!]?.swa_buffer.values;
              const [x, y] = [values(once)!, values(tree)!];
              x.forEach((mean, k) => {
                const terms = states.map(
                  (state) => state.param_groups[g]!.n_avg * (values(state)?.[k] ?? 0),
                );
                const exact = terms.reduce((a, b) => a + b, 0) / n_avg;
                const size = terms.reduce((a, b) => a + Math.abs(b), 0) / n_avg;
                assert.isAtMost(Math.abs(mean - exact), 1e-7 * size + 1e-45);
                // Rounded twice: near zero by half of float32's least step, 2^-149, each time.
                assert.isAtMost(Math.abs(y[k]! - exact), 1e-6 * size + 2 ** -149);
              });
              // The same as by their averages, bit for bit.
              const of = states
                .filter(({ param_groups }) => param_groups[g]!.n_avg > 0)
                .map(
                  ({ param_groups, swa_state }) =>
                  stateOf([param_groups[g]!.n_avg, { w: [...swa_state[params[0]!]!.swa_buffer.values] }]), // prettier-ignore
                );
              assert.deepEqual(mergeAverages(of.map((each) => averageOf(each))).weights[0]!.values, x); // prettier-ignore
            });
          },
        ),
        { numRuns: shareOf(150) },
      );
    });
  });
});
