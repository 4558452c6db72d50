import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { SWA, type SWAOptions, type SWAStateDict } from '../../lib/index.js';
import { onTfjsNode } from '../support/backends.js';
import {
  assertFails,
  disposeBare,
  half,
  OPTIMIZERS,
  own,
  random,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

const swaOf = (optimizer: tf.Optimizer, options?: SWAOptions): SWA =>
  own(new SWA(optimizer, options));

/** A net's worth of variables, the same at every call but for their names. */
function parameters(): tf.Variable[] {
  const next = random(7);
  return [3, 5, 2, 4].map((size) => variable(Array.from({ length: size }, () => next() - 0.5)));
}

/** Least squares of a few numbers: every variable's gradient differs from step to step. */
function loss(vs: tf.Variable[], step: number): () => tf.Scalar {
  return () =>
    tf.tidy(() =>
      tf.addN(
        vs.map((v, i) => tf.sum(tf.square(tf.sub(tf.mul(v, 1 + 0.3 * i), Math.sin(step + i))))),
      ),
    ) as tf.Scalar;
}

const groupings: Record<string, (vs: tf.Variable[]) => SWAOptions> = {
  'one group': (vs) => ({ paramGroups: [{ params: vs }] }),
  'three groups': ([a, b, c, d]) => ({
    paramGroups: [{ params: [a!, b!] }, { params: c!, lr: 0.02 }, { params: d! }],
  }),
};

/** Steps from `from` (exclusive) to `to`, and averages on its own at two moments. */
function train(swa: SWA, vs: tf.Variable[], from: number, to: number): void {
  for (let step = from + 1; step <= to; step++) {
    swa.minimize(loss(vs, step));
    if (step === 5 || step === 16) swa.updateSwaGroup(swa.paramGroups.at(-1)!);
  }
}

/** The same state without names, which differ from one set of variables to the next. */
const unnamed = (state: SWAStateDict) => ({
  ...state,
  param_groups: state.param_groups.map((group) => ({ ...group, param_names: null })),
});

describe('stateDict and loadStateDict', () => {
  it('give plain data in the opt_state / swa_state / param_groups shape', async () => {
    const [a, b] = [variable([8], 'state/a'), variable([[2], [4]], 'state/b')];
    const swa = swaOf(tf.train.momentum(0.5, 0.5), {
      paramGroups: [{ params: a }, { params: b, lr: 0.25 }],
    });
    swa.minimize(half(a, b));
    swa.minimize(half(a, b));
    swa.updateSwaGroup(swa.paramGroups[1]!);
    // a: 8, velocity 8, 4; velocity 4 + 4 = 8, 0.
    // b: 2 and 4, velocity 2 and 4, 1.5 and 3; velocity 1 + 1.5 = 2.5 and 5, 0.875 and 1.75
    const state = await swa.stateDict();
    const expected: SWAStateDict = {
      opt_state: {
        0: [
          { name: 'iterations', dtype: 'int32', shape: [], values: Int32Array.of(2) },
          { name: 'accumulations/0', dtype: 'float32', shape: [1], values: Float32Array.of(8) },
        ],
        1: [
          { name: 'iterations', dtype: 'int32', shape: [], values: Int32Array.of(2) },
          {
            name: 'accumulations/0',
            dtype: 'float32',
            shape: [2, 1],
            values: Float32Array.of(2.5, 5),
          },
        ],
      },
      swa_state: {
        1: {
          swa_buffer: {
            name: 'swa_buffer',
            dtype: 'float32',
            shape: [2, 1],
            values: Float32Array.of(0.875, 1.75),
          },
        },
      },
      param_groups: [
        {
          params: [0],
          param_names: ['state/a'],
          lr: 0.5,
          n_avg: 0,
          step_counter: 2,
          swapped: false,
          avg_fn: 'swa',
          momentum: 0.5,
          useNesterov: false,
        },
        {
          params: [1],
          param_names: ['state/b'],
          lr: 0.25,
          n_avg: 1,
          step_counter: 2,
          swapped: false,
          avg_fn: 'swa',
          momentum: 0.5,
          useNesterov: false,
        },
      ],
    };
    assert.deepEqual(state, expected);
    assert.deepEqual(structuredClone(state), expected);
  });

  describe('N steps, save, load, M steps are N + M steps, bit for bit', () => {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      for (const [grouping, groups] of Object.entries(groupings)) {
        for (const swapped of [false, true]) {
          it(`${name}, ${grouping}${swapped ? ', swapped' : ''}`, async () => {
            const options = { swaStart: 4, swaFreq: 3, swaLr: 0.03 };
            const whole = parameters();
            const unbroken = swaOf(make(), { ...options, ...groups(whole) });
            train(unbroken, whole, 0, 11);
            const before = parameters();
            const first = swaOf(make(), { ...options, ...groups(before) });
            train(first, before, 0, 11);
            if (swapped) first.swapSwaSgd();
            const state = structuredClone(await first.stateDict());

            // As in another process: other variables, which get the saved values, another wrapper.
            const after = parameters();
            after.forEach((v, i) => v.assign(before[i]!));
            const second = swaOf(make(), { ...options, ...groups(after) });
            await second.loadStateDict(state);
            assert.equal(second.swapped, swapped);
            assert.deepEqual(unnamed(await second.stateDict()), unnamed(state));
            if (swapped) second.swapSwaSgd();

            train(unbroken, whole, 11, 23);
            train(second, after, 11, 23);
            assert.deepEqual(await valuesOf(after), await valuesOf(whole), 'parameters');
            assert.deepEqual(
              unnamed(await second.stateDict()),
              unnamed(await unbroken.stateDict()),
              'averages, slots, counters and rates',
            );
          });
        }
      }
    }
  });

  it('load into a wrapper that has gone another way, and free what they replace', async () => {
    const vs = parameters();
    const swa = swaOf(tf.train.adam(0.05), {
      swaStart: 2,
      swaFreq: 1,
      paramGroups: [{ params: vs }],
    });
    train(swa, vs, 0, 6);
    const state = await swa.stateDict();
    const values = await valuesOf(vs);
    const { numTensors, numBytes } = tf.memory();
    train(swa, vs, 6, 9);
    await swa.loadStateDict(state);
    assert.deepEqual(await swa.stateDict(), state);
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
    assert.notDeepEqual(await valuesOf(vs), values, 'the parameters are the model’s');
    // Back to before the first step: the slots and averages go.
    const fresh = parameters();
    const other = swaOf(tf.train.adam(0.05), { paramGroups: [{ params: fresh }] });
    const start = await other.stateDict();
    start.param_groups[0]!.param_names = state.param_groups[0]!.param_names;
    await swa.loadStateDict(start);
    assert.deepEqual(unnamed(await swa.stateDict()), unnamed(start));
  });

  it('is of the moment of the call, whatever follows before it is awaited', async () => {
    const vs = parameters();
    const swa = swaOf(tf.train.adam(0.05), {
      swaStart: 0,
      swaFreq: 1,
      paramGroups: [{ params: vs }],
    });
    train(swa, vs, 0, 3);
    const before = await swa.stateDict();
    const pending = swa.stateDict();
    train(swa, vs, 3, 6);
    assert.deepEqual(await pending, before);
  });

  it('does not share its arrays with the wrapper', async () => {
    const v = variable([8]);
    const swa = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
    swa.minimize(half(v), false, [v]);
    const state = await swa.stateDict();
    const kept = structuredClone(state);
    for (const { values } of state.opt_state[0]!) values.fill(99);
    state.swa_state[0]!.swa_buffer.values.fill(99);
    assert.deepEqual(await swa.stateDict(), kept);
    await swa.loadStateDict(kept);
    for (const { values } of kept.opt_state[0]!) values.fill(99);
    kept.swa_state[0]!.swa_buffer.values.fill(99);
    swa.swapSwaSgd();
    assert.equal((await v.data())[0], 4);
  });

  describe('match parameters', () => {
    it('by name where all names match, in whatever order', async () => {
      const [a, b] = [variable([8], 'match/a'), variable([2], 'match/b')];
      const from = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: [a, b] }] });
      from.minimize(half(a, b));
      from.updateSwa(); // a: velocity 8, average 4; b: velocity 2, average 1
      const state = await from.stateDict();
      const to = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: [b, a] }] });
      await to.loadStateDict(state);
      const { opt_state, swa_state } = await to.stateDict();
      assert.deepEqual(
        opt_state[0]!.slice(1).map(({ values }) => values[0]),
        [2, 8],
      );
      assert.deepEqual(
        [swa_state[0], swa_state[1]].map((s) => s!.swa_buffer.values[0]),
        [1, 4],
      );
    });

    it('never by position where the names stand in other groups', async () => {
      const [a, b] = [variable([8], 'crossed/a'), variable([2], 'crossed/b')];
      const from = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: a }, { params: b }] });
      const to = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: b }, { params: a }] });
      const state = await from.stateDict();
      await assertFails(
        () => to.loadStateDict(state),
        'The state does not fit this SWA; of the wrong shape or value: ' +
          'group of crossed/b (1, not 0), group of crossed/a (0, not 1)',
      );
    });

    it('nor where names that are numbers stand in other groups', async () => {
      const [a, b] = [variable([8]), variable([2])];
      const from = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: [a, b] }] });
      const to = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: a }, { params: b }] });
      const state = await from.stateDict();
      await assertFails(
        () => to.loadStateDict(state),
        'The state does not fit this SWA; of the wrong shape or value: ' +
          'number of parameters of group 0 (2, not 1), number of parameters of group 1 (0, not 1)',
      );
    });

    it('by position else', async () => {
      const [a, b] = [variable([8], 'position/a'), variable([2], 'position/b')];
      const from = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: [a, b] }] });
      from.updateSwa();
      const [c, d] = [variable([0], 'position/c'), variable([0], 'position/d')];
      const to = swaOf(tf.train.sgd(0.5), { paramGroups: [{ params: [c, d] }] });
      await to.loadStateDict(await from.stateDict());
      to.swapSwaSgd();
      assert.deepEqual([(await c.data())[0], (await d.data())[0]], [8, 2]);
    });
  });

  describe('refuse what does not fit, and change nothing', () => {
    /** A wrapper of Momentum with averages, over variables of shapes [2] and [3]. */
    async function trained(prefix: string, sizes = [2, 3]) {
      const vs = sizes.map((size, i) => variable(Array(size).fill(i + 1), `${prefix}/${i}`));
      const swa = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: vs }] });
      swa.minimize(half(...vs));
      swa.updateSwa();
      return { swa, vs, state: await swa.stateDict() };
    }

    const refuses = async (
      change: (state: SWAStateDict) => unknown,
      message: string | RegExp,
    ): Promise<void> => {
      const { swa, vs, state } = await trained('refuse');
      const values = await valuesOf(vs);
      const { numTensors } = tf.memory();
      const changed = structuredClone(state);
      const replaced = change(changed);
      const given = (replaced === undefined ? changed : replaced) as SWAStateDict;
      await assertFails(() => swa.loadStateDict(given), message);
      assert.deepEqual(await swa.stateDict(), state);
      assert.deepEqual(await valuesOf(vs), values);
      assert.equal(tf.memory().numTensors, numTensors);
      swa.dispose();
      tf.dispose(vs);
    };

    it('with lists of what is missing, unexpected and of the wrong shape', async () => {
      const { swa, state } = await trained('lists');
      const other = await trained('other', [2, 4]);
      await assertFails(
        () => swa.loadStateDict(other.state),
        'The state does not fit this SWA; of the wrong shape or value: ' +
          'opt_state[0] accumulations/1 (float32 [4], not float32 [3]), ' +
          'swa_state[1] of lists/1 (float32 [4], not float32 [3])',
      );
      const longer = await trained('longer', [2, 3, 1]);
      await assertFails(
        () => swa.loadStateDict(longer.state),
        'The state does not fit this SWA; ' +
          'missing: lists/0, lists/1; unexpected: longer/0, longer/1, longer/2',
      );
      assert.deepEqual(await swa.stateDict(), state);
    });

    it('another number of groups', async () => {
      const { swa, vs, state } = await trained('count');
      const extra = variable([1], 'count/extra');
      swa.addParamGroup({ params: extra });
      const both = await swa.stateDict();
      await assertFails(
        () => swa.loadStateDict(state),
        'The state does not fit this SWA; missing: count/extra',
      );
      const single = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: vs }] });
      await assertFails(() => single.loadStateDict(both), /; unexpected: count\/extra$/);
    });

    it('averages for a group that is not averaged, which a swap would not leave then', async () => {
      const { state, vs } = await trained('still');
      const paramGroups = [{ params: vs, average: false }];
      const swa = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups });
      const empty = await swa.stateDict();
      await assertFails(
        () => swa.loadStateDict(state),
        'The state does not fit this SWA; of the wrong shape or value: n_avg of group 0 (1, not 0)',
      );
      assert.deepEqual(await swa.stateDict(), empty);
    });

    it('another optimizer', async () => {
      const { state, vs } = await trained('kind');
      const swa = swaOf(tf.train.rmsprop(0.5, 0.9, 0.25), { paramGroups: [{ params: vs }] });
      const empty = await swa.stateDict();
      await assertFails(
        () => swa.loadStateDict(state),
        /missing: opt_state\[0\] accumulatedMeanSquares\/0, .*unexpected: opt_state\[0\] accumulations\/0, opt_state\[0\] accumulations\/1; of the wrong shape or value: momentum of group 0 \(0.5, not 0.25\)$/,
      );
      assert.deepEqual(await swa.stateDict(), empty);
    });

    it('other hyper-parameters, since training would go on otherwise', () =>
      refuses(
        (state) => void (state.param_groups[0]!['momentum'] = 0.9),
        'The state does not fit this SWA; of the wrong shape or value: momentum of group 0 (0.9, not 0.5)',
      ));

    it('slots that are missing, unknown or of another dtype', async () => {
      await refuses(
        (state) => void state.opt_state[0]!.splice(1, 1),
        'The state does not fit this SWA; missing: opt_state[0] accumulations/0',
      );
      await refuses(
        (state) => void (state.opt_state[0]![1]!.name = 'accumulations/7'),
        'The state does not fit this SWA; missing: opt_state[0] accumulations/0; ' +
          'unexpected: opt_state[0] accumulations/7',
      );
      await refuses((state) => {
        state.opt_state[0]![0]!.dtype = 'float32';
        state.opt_state[0]![0]!.values = Float32Array.of(1);
      }, 'The state does not fit this SWA; of the wrong shape or value: opt_state[0] iterations (float32 [], not int32 [])');
      await refuses((state) => {
        state.swa_state[0]!.swa_buffer.dtype = 'int32';
        state.swa_state[0]!.swa_buffer.values = Int32Array.of(1, 2);
      }, /of the wrong shape or value: swa_state\[0\] of refuse\/0/);
    });

    type Change = (state: SWAStateDict) => unknown;
    const inGroup =
      (changes: object): Change =>
      (state) =>
        void Object.assign(state.param_groups[0]!, changes);
    const inBuffer =
      (changes: object): Change =>
      (state) =>
        void Object.assign(state.swa_state[1]!.swa_buffer, changes);
    const broken: [Change, part: string, rule: string][] = [
      [() => null, 'state: null', 'a record'],
      [() => 'text', 'state: "text"', 'a record'],
      [
        ({ swa_state, param_groups }) => ({ swa_state, param_groups }),
        'state.opt_state: undefined',
        'a record',
      ],
      [(s) => ({ ...s, swa_state: [] }), 'state.swa_state: a list of 0', 'a record'],
      [(s) => ({ ...s, param_groups: {} }), 'state.param_groups: an object', 'a list'],
      [(s) => ({ ...s, param_groups: [null] }), 'state.param_groups[0]: null', 'a record'],
      [
        inGroup({ params: [1, 0] }),
        'state.param_groups[0].params: a list of 2',
        'numbers in order across all groups',
      ],
      [inGroup({ params: 2 }), 'state.param_groups[0].params: 2', 'a list'],
      [
        inGroup({ param_names: ['a'] }),
        'state.param_groups[0].param_names: a list of 1',
        'a name for each parameter',
      ],
      [
        inGroup({ param_names: ['a', 1] }),
        'state.param_groups[0].param_names: a list of 2',
        'a name for each parameter',
      ],
      [inGroup({ lr: -1 }), 'state.param_groups[0].lr: -1', 'a finite number >= 0'],
      [inGroup({ lr: '1' }), 'state.param_groups[0].lr: "1"', 'a finite number >= 0'],
      [inGroup({ lr: Infinity }), 'state.param_groups[0].lr: Infinity', 'a finite number >= 0'],
      [inGroup({ n_avg: -1 }), 'state.param_groups[0].n_avg: -1', 'an integer >= 0'],
      [
        inGroup({ step_counter: 1.5 }),
        'state.param_groups[0].step_counter: 1.5',
        'an integer >= 0',
      ],
      [
        inGroup({ swapped: 'no' }),
        'state.param_groups[0].swapped: "no"',
        'a boolean, false without averages',
      ],
      [
        inGroup({ swapped: true, n_avg: 0 }),
        'state.param_groups[0].swapped: true',
        'a boolean, false without averages',
      ],
      [(s) => void delete s.opt_state[0], 'state.opt_state[0]: undefined', 'a list'],
      [
        (s) => void (s.opt_state[3] = []),
        'state.opt_state[3]: a list of 0',
        'no more than the groups',
      ],
      [(s) => void delete s.swa_state[1], 'state.swa_state[1]: undefined', 'a record'],
      [
        (s) => void (s.swa_state[9] = s.swa_state[1]!),
        'state.swa_state[9]: an object',
        'nothing without an average',
      ],
      [inGroup({ n_avg: 0 }), 'state.swa_state[0]: an object', 'nothing without an average'],
      [
        (s) => void (s.swa_state[1] = {} as never),
        'state.swa_state[1].swa_buffer.name: undefined',
        'a string',
      ],
      [
        inBuffer({ dtype: 'string' }),
        'state.swa_state[1].swa_buffer.dtype: "string"',
        'float32, int32 or bool',
      ],
      [
        inBuffer({ dtype: 'constructor' }),
        'state.swa_state[1].swa_buffer.dtype: "constructor"',
        'float32, int32 or bool',
      ],
      [
        inBuffer({ shape: [1.5, 2] }),
        'state.swa_state[1].swa_buffer.shape: a list of 2',
        'a list of integers >= 0',
      ],
      [
        inBuffer({ shape: '3' }),
        'state.swa_state[1].swa_buffer.shape: "3"',
        'a list of integers >= 0',
      ],
      [
        inBuffer({ values: Float32Array.of(1, 2) }),
        'state.swa_state[1].swa_buffer.values: an instance of Float32Array',
        'a Float32Array of 3',
      ],
      [
        (s) => void (s.opt_state[0]![1]!.values = [1, 2] as never),
        'state.opt_state[0][1].values: a list of 2',
        'a Float32Array of 2',
      ],
      [
        (s) => void (s.opt_state[0]![1]!.name = 7 as never),
        'state.opt_state[0][1].name: 7',
        'a string',
      ],
      [
        (s) => void (s.opt_state[0] = [null] as never),
        'state.opt_state[0][0].name: undefined',
        'a string',
      ],
    ];
    for (const [change, part, rule] of broken) {
      it(`a broken state: ${part}`, () => refuses(change, `Invalid ${part} (expected ${rule})`));
    }
  });

  describe('a wrapper that knows no variables yet', () => {
    it('keeps the state for its first step', async () => {
      const whole = parameters();
      const options = { swaStart: 2, swaFreq: 2 };
      const unbroken = swaOf(tf.train.adam(0.05), options);
      const step = (swa: SWA, vs: tf.Variable[], i: number) => swa.minimize(loss(vs, i), false, vs);
      const first = swaOf(tf.train.adam(0.05), options);
      const before = parameters();
      for (let i = 1; i <= 6; i++) step(first, before, i);
      for (let i = 1; i <= 10; i++) step(unbroken, whole, i);

      const state = await first.stateDict();
      const second = swaOf(tf.train.adam(0.05), options);
      await second.loadStateDict(state);
      assert.deepEqual(await second.stateDict(), state);
      const after = parameters();
      after.forEach((v, i) => v.assign(before[i]!));
      for (let i = 7; i <= 10; i++) step(second, after, i);
      assert.deepEqual(await valuesOf(after), await valuesOf(whole));
      assert.deepEqual(unnamed(await second.stateDict()), unnamed(await unbroken.stateDict()));
    });

    it('makes the groups of the state, by name, with their hyper-parameters', async () => {
      const [a, b] = [variable([8], 'resume/a'), variable([8], 'resume/b')];
      const first = swaOf(tf.train.momentum(0.5, 0.5), {
        paramGroups: [{ params: b }, { params: a, momentum: 0.25, lr: 0.125 }],
      });
      first.minimize(half(a, b));
      const state = await first.stateDict();
      const second = swaOf(tf.train.momentum(0.5, 0.5));
      await second.loadStateDict(state);
      second.minimize(half(a, b), false, [a, b]);
      assert.deepEqual(
        second.paramGroups.map(({ params, lr, step_counter }) => [params[0], lr, step_counter]),
        [
          [b, 0.5, 2],
          [a, 0.125, 2],
        ],
      );
      assert.equal(second.paramGroups[1]!.optimizer.getConfig()['momentum'], 0.25);
      const third = swaOf(tf.train.momentum(0.5, 0.5));
      await third.loadStateDict(state);
      const c = variable([1]);
      const { numTensors } = tf.memory();
      await assertFails(
        () => third.minimize(half(a, c), false, [a, c]),
        /^Name the parameter groups of the state first, with paramGroups or addParamGroup\(\)$/,
      );
      assert.deepEqual([third.paramGroups.length, tf.memory().numTensors], [0, numTensors]);
    });

    it('makes them of names that tfjs-layers numbered, but not of two for one', async () => {
      const of = (...names: string[]) => names.map((name, i) => variable([8 + i], name));
      const saved = of('stem/a', 'stem/b_2');
      const paramGroups = [{ params: saved[1]! }, { params: saved[0]! }];
      const options = { swaStart: 0, swaFreq: 1 };
      const first = swaOf(tf.train.momentum(0.5, 0.5), { ...options, paramGroups });
      first.minimize(half(...saved));
      const state = await first.stateDict();
      const loaded = async () => {
        const swa = swaOf(tf.train.momentum(0.5, 0.5), options);
        await swa.loadStateDict(state);
        return swa;
      };
      const second = await loaded();
      const vs = of('stem/a_4', 'stem/b');
      second.minimize(half(...vs), false, vs);
      assert.deepEqual(
        second.paramGroups.map(({ params }) => params.map(({ name }) => name)),
        [['stem/b'], ['stem/a_4']],
      );
      for (const names of [
        ['stem/a_5', 'stem/b_5', 'stem/b_6'],
        ['stem/a_7', 'stem/c'],
      ]) {
        const third = await loaded();
        const others = of(...names);
        await assertFails(
          () => third.minimize(half(...others), false, others),
          'Name the parameter groups of the state first, with paramGroups or addParamGroup()',
        );
        assert.deepEqual((await valuesOf(others)).flat(), [8, 9, 10].slice(0, names.length));
      }
    });

    it('shows and takes a learning rate in the meantime, as a scheduler sets it', async () => {
      const v = variable([8]);
      const first = swaOf(tf.train.sgd(0.5));
      first.minimize(half(v), false, [v]);
      first.learningRate = 0.25;
      const second = swaOf(tf.train.sgd(0.5));
      await second.loadStateDict(await first.stateDict());
      assert.equal(second.learningRate, 0.25);
      second.learningRate = 0.125;
      assert.equal(second.learningRate, 0.125);
      second.minimize(half(v), false, [v]);
      assert.deepEqual([(await v.data())[0], second.learningRate], [3.5, 0.125]);
    });

    it('gives the state to the groups that are named next, as soon as there are as many', async () => {
      const [a, b] = [variable([8]), variable([8])];
      const first = swaOf(tf.train.momentum(0.5, 0.5), {
        swaStart: 0,
        swaFreq: 1,
        paramGroups: [{ params: a }, { params: b, lr: 0.25 }],
      });
      first.minimize(half(a, b)); // a: 4, b: 6
      first.minimize(half(a, b)); // velocity 4 + 4 = 8, 0; velocity 4 + 6 = 10, 3.5
      first.swapSwaSgd(); // 2 and 4.75
      const state = await first.stateDict();
      const second = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      await second.loadStateDict(state);
      const unknown =
        /^The loaded state waits for its variables: name them with addParamGroup\(\)$/;
      await assertFails(() => second.swapSwaSgd(), unknown);
      assert.isTrue(second.swapped);
      assert.equal(await second.withSwa(async () => (await a.data())[0]), 2);
      second.addParamGroup({ params: a });
      await assertFails(
        () => second.minimize(half(a), false, [a]),
        'Name the parameter groups of the state first, with paramGroups or addParamGroup()',
      );
      assert.deepEqual(await second.stateDict(), state);
      const wrong = variable([1, 1]);
      const { numTensors } = tf.memory();
      await assertFails(
        () => second.addParamGroup({ params: wrong }),
        /of the wrong shape or value: opt_state\[1\] accumulations/,
      );
      assert.deepEqual([second.paramGroups.length, tf.memory().numTensors], [1, numTensors]);
      second.addParamGroup({ params: b });
      assert.deepEqual([second.swapped, second.paramGroups[1]!.lr], [true, 0.25]);
      second.swapSwaSgd();
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [0, 3.5]);
      second.minimize(half(a, b)); // velocity 4 + 0 = 4, -2; velocity 5 + 3.5 = 8.5, 1.375
      assert.deepEqual([(await a.data())[0], (await b.data())[0]], [-2, 1.375]);
    });

    it('refuses at once a state of another base optimizer', async () => {
      const v = variable([8]);
      const adam = swaOf(tf.train.adam(0.5), { swaStart: 0, swaFreq: 1 });
      adam.minimize(half(v), false, [v]);
      const state = await adam.stateDict();
      const momentum = swaOf(tf.train.momentum(0.5, 0.9));
      await assertFails(
        () => momentum.loadStateDict(state),
        /missing: opt_state\[0\] accumulations\/0; unexpected: opt_state\[0\] accumulatedFirstMoment\/0, .*accBeta1/,
      );
      const other = swaOf(tf.train.adam(0.5, 0.8));
      await assertFails(
        () => other.loadStateDict(state),
        'The state does not fit this SWA; of the wrong shape or value: beta1 of group 0 (0.9, not 0.8)',
      );
      momentum.minimize(half(v), false, [v]); // none of it is waiting
      const fresh = swaOf(tf.train.adam(0.5));
      state.param_groups[0]!['note'] = 'mine'; // the caller's own keys do not matter
      await fresh.loadStateDict(state);
      fresh.minimize(half(v), false, [v]);
      assert.equal(fresh.paramGroups[0]!.step_counter, 2);
    });

    it('refuses at its first step a state that does not fit, and stays as it was', async () => {
      const a = variable([8, 8]);
      const first = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      first.minimize(half(a), false, [a]);
      const second = swaOf(tf.train.momentum(0.5, 0.5));
      await second.loadStateDict(await first.stateDict());
      const b = variable([8]);
      await assertFails(
        () => second.minimize(half(b), false, [b]),
        /of the wrong shape or value: opt_state\[0\] accumulations\/0 \(float32 \[2\], not float32 \[1\]\)/,
      );
      assert.deepEqual([(await b.data())[0], second.paramGroups.length], [8, 0]);
    });

    it('refuses the step after a state that was swapped, and swaps back then', async () => {
      const v = variable([8]);
      const first = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
      for (let i = 0; i < 2; i++) first.minimize(half(v), false, [v]);
      first.swapSwaSgd(); // v = 3, the average of 4 and 2
      const second = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
      await second.loadStateDict(await first.stateDict());
      assert.isTrue(second.swapped);
      let calls = 0;
      const f = () => {
        calls += 1;
        return half(v)();
      };
      await assertFails(() => second.minimize(f), /Cannot step while swapped/);
      await assertFails(() => second.swapSwaSgd(), /name them with addParamGroup\(\)$/);
      await assertFails(() => second.minimize(f, false, [v]), /Cannot step while swapped/);
      assert.equal(calls, 0, 'nothing ran, no statistics moved');
      assert.deepEqual([(await v.data())[0], second.swapped], [3, true]);
      second.swapSwaSgd();
      second.minimize(half(v), false, [v]);
      assert.equal((await v.data())[0], 1);
    });
  });

  it('swaps back the groups alone that were swapped when they were saved', async () => {
    const [a, b] = [variable([8]), variable([8])];
    const paramGroups = [{ params: a }, { params: b }];
    const swa = swaOf(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1, paramGroups });
    for (let i = 0; i < 2; i++) swa.minimize(half(a, b)); // 4, 2; the averages are 3
    const state = await swa.stateDict();
    state.param_groups[0]!.swapped = true;
    await swa.loadStateDict(state);
    swa.swapSwaSgd();
    assert.deepEqual([(await a.data())[0], (await b.data())[0], swa.swapped], [3, 2, false]);
  });

  it('leaves alone what a subclass of a tfjs optimizer keeps beside', async () => {
    class Noting extends tf.MomentumOptimizer {
      accuracy = 0.5;
    }
    const v = variable([8]);
    const first = swaOf(new Noting(0.5, 0.5));
    first.minimize(half(v), false, [v]); // 4, velocity 8
    const state = await first.stateDict();
    assert.deepEqual(
      state.opt_state[0]!.map(({ name }) => name),
      ['iterations', 'accumulations/0'],
    );
    const second = swaOf(new Noting(0.5, 0.5), { paramGroups: [{ params: v }] });
    await second.loadStateDict(state);
    second.minimize(half(v)); // velocity 4 + 4 = 8
    assert.equal((await v.data())[0], 0);
  });

  describe("a base optimizer that is not tfjs's", () => {
    /** Keeps a sum of gradients a variable, and saves it the way that tfjs documents. */
    class Summing extends tf.SGDOptimizer {
      static override get className(): string {
        return 'Summing';
      }
      sums: tf.Variable[] = [];
      override applyGradients(gradients: { name: string; tensor: tf.Tensor }[]): void {
        gradients.forEach(({ name, tensor }, i) => {
          const v = tf.engine().registeredVariables[name]!;
          this.sums[i] ??= tf.tidy(() => tf.variable(tf.zerosLike(v), false));
          tf.tidy(() => {
            const sum = tf.add(this.sums[i]!, tensor);
            this.sums[i]!.assign(sum);
            v.assign(tf.sub(v, tf.mul(sum, this.learningRate)));
          });
        });
        this.incrementIterations();
      }
      override async getWeights() {
        const iter = await this.saveIterations();
        return [iter, ...this.sums.map((tensor, i) => ({ name: `sum${i}`, tensor }))];
      }
      override async setWeights(weights: { name: string; tensor: tf.Tensor }[]): Promise<void> {
        const sums = await this.extractIterations(weights);
        tf.dispose(this.sums);
        this.sums = sums.map(({ tensor }) => tf.variable(tensor, false));
      }
      override dispose(): void {
        super.dispose();
        tf.dispose(this.sums);
      }
    }

    for (const named of [true, false]) {
      it(`goes through its own getWeights and setWeights${named ? '' : ', before the first step too'}`, async () => {
        const [v, w] = [variable([8]), variable([8])];
        const first = swaOf(new Summing(0.25));
        first.minimize(half(v), false, [v]); // sum 8, 8 - 2 = 6
        const { numTensors } = tf.memory();
        const state = await first.stateDict();
        assert.equal(tf.memory().numTensors, numTensors);
        assert.deepEqual(
          state.opt_state[0]!.map(({ name, values }) => [name, values[0]]),
          [
            ['iter', 1],
            ['sum0', 8],
          ],
        );
        w.assign(v);
        const second = swaOf(new Summing(0.25), named ? { paramGroups: [{ params: w }] } : {});
        await second.loadStateDict(state);
        for (const [swa, x] of [
          [first, v],
          [second, w],
        ] as const)
          swa.minimize(half(x), false, [x]);
        // sum 8 + 6 = 14, 6 - 3.5 = 2.5
        assert.deepEqual([(await v.data())[0], (await w.data())[0]], [2.5, 2.5]);
        assert.equal(second.optimizer.iterations, 2);
      });
    }

    it('may have lists and records for hyper-parameters, and need not have a rate', async () => {
      class Listed extends Summing {
        betas = [0.9, 0.99];
        override getConfig() {
          return { betas: [...this.betas] };
        }
      }
      const v = variable([8]);
      const swa = swaOf(new Listed(0.25), { paramGroups: [{ params: v }] });
      swa.minimize(half(v));
      const state = await swa.stateDict();
      await swa.loadStateDict(structuredClone(state));
      state.param_groups[0]!['betas'] = [0.9, 0.999];
      await assertFails(
        () => swa.loadStateDict(state),
        'The state does not fit this SWA; of the wrong shape or value: betas of group 0 ([0.9,0.999], not [0.9,0.99])',
      );
      const mute = new Listed(0.25);
      Object.assign(mute, { learningRate: undefined, setLearningRate: undefined });
      const other = swaOf(mute, { paramGroups: [{ params: v }] });
      assert.isNaN((await other.stateDict()).param_groups[0]!.lr);
      await other.setWeights(await other.getWeights());
      state.param_groups[0]!['betas'] = [0.9, 0.99];
      await assertFails(
        () => other.loadStateDict(state),
        'The state does not fit this SWA; unexpected: lr of group 0',
      );
    });

    it('with several groups needs a wrapper that was built with them', async () => {
      const [v, w] = [variable([8]), variable([8])];
      const first = swaOf(new Summing(0.25), { paramGroups: [{ params: v }, { params: w }] });
      first.minimize(half(v, w));
      const state = await first.stateDict();
      const second = swaOf(new Summing(0.25));
      await assertFails(
        () => second.loadStateDict(state),
        'Name the parameter groups of the state first, with paramGroups or addParamGroup()',
      );
      const third = swaOf(new Summing(0.25), { paramGroups: [{ params: v }, { params: w }] });
      await third.loadStateDict(state);
      third.minimize(half(v, w)); // sum 8 + 6 = 14, 6 - 3.5 = 2.5
      assert.deepEqual([(await v.data())[0], (await w.data())[0]], [2.5, 2.5]);
    });

    it('without getWeights: an error that says what to implement', async () => {
      class Mute extends tf.SGDOptimizer {
        static override get className(): string {
          return 'Mute';
        }
        override getWeights = tf.Optimizer.prototype.getWeights;
      }
      const swa = swaOf(new Mute(0.5), { paramGroups: [{ params: variable([1]) }] });
      await assertFails(
        () => swa.stateDict(),
        'Cannot save or load the optimizer Mute: it has no getWeights()',
      );
    });

    it('whose setWeights fails leaves the wrapper as it was', async () => {
      class Failing extends Summing {
        override setWeights(): Promise<void> {
          return Promise.reject(new Error('cannot'));
        }
      }
      const v = variable([8]);
      const swa = swaOf(new Failing(0.25), { swaStart: 0, swaFreq: 1 });
      swa.minimize(half(v), false, [v]);
      const state = await swa.stateDict();
      swa.minimize(half(v), false, [v]);
      const now = await swa.stateDict();
      await assertFails(() => swa.loadStateDict(state), 'cannot');
      assert.deepEqual(await swa.stateDict(), now);
    });
  });

  describe('getWeights and setWeights', () => {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      it(`carry the whole state of ${name}`, async () => {
        const vs = parameters();
        const options = { swaStart: 2, swaFreq: 2, paramGroups: [{ params: vs }] };
        const first = swaOf(make(), options);
        train(first, vs, 0, 7);
        first.swapSwaSgd();
        const { numTensors, numDataBuffers } = tf.memory();
        const weights = await first.getWeights();
        const lent = tf.memory();
        assert.equal(lent.numTensors, numTensors + weights.length);
        // TensorFlow's own tensors share memory; tfjs-node counts each.
        if (!onTfjsNode()) {
          assert.equal(
            lent.numDataBuffers,
            numDataBuffers + 2,
            'all but the tree and `iterations` by reference',
          );
        }
        await Promise.all(weights.map(({ tensor }) => tensor.data()));
        assert.equal(tf.memory().numTensors, numTensors, 'each is freed when it has been read');
        const second = swaOf(make(), options);
        await second.setWeights(await first.getWeights());
        assert.deepEqual(await second.stateDict(), await first.stateDict());
        assert.lengthOf(new Set(weights.map((weight) => weight.name)), weights.length);
      });
    }

    it('before the first step, and of a wrapper that waits for one', async () => {
      const v = variable([8]);
      const first = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      const none = await first.getWeights();
      const untouched = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      await untouched.setWeights(none);
      untouched.minimize(half(v), false, [v]);
      assert.equal((await v.data())[0], 4);

      first.minimize(half(v), false, [v]); // 4 - 2 = 2, velocity 4
      const weights = await first.getWeights();
      const second = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      await second.setWeights(weights);
      const third = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
      await third.setWeights(await second.getWeights());
      third.minimize(half(v), false, [v]); // velocity 2 + 2 = 4, 2 - 2 = 0
      assert.deepEqual([(await v.data())[0], third.paramGroups[0]!.n_avg], [0, 2]);
    });

    it('let a wrapper find its variables, where names leave no doubt', async () => {
      const names = ['found/a', 'found/b_1'];
      const vs = names.map((name, i) => variable([8 + i], name));
      const paramGroups = [{ params: vs[1]! }, { params: vs[0]!, momentum: 0.25 }];
      const options = { swaStart: 0, swaFreq: 1 };
      const first = swaOf(tf.train.momentum(0.5, 0.5), { ...options, paramGroups });
      for (let i = 0; i < 2; i++) first.minimize(half(...vs));
      const weights = await valuesOf(vs);
      first.swapSwaSgd();
      const averages = await valuesOf(vs);
      const state = await first.stateDict();

      const second = swaOf(tf.train.momentum(0.5, 0.5), options);
      await second.loadStateDict(state);
      const third = swaOf(tf.train.momentum(0.5, 0.5), options);
      await third.setWeights(await first.getWeights());
      const other = variable([1], 'found/b_7');
      for (const swa of [second, third]) {
        await assertFails(() => swa.swapSwaSgd(), /name them with addParamGroup\(\)$/);
      }
      assert.deepEqual(await valuesOf(vs), averages);
      other.dispose();
      third.swapSwaSgd();
      assert.deepEqual(await valuesOf(vs), weights);
      assert.deepEqual(
        third.paramGroups.map(({ params }) => params),
        first.paramGroups.map(({ params }) => params),
      );
    });

    it('refuse the weights of another optimizer', async () => {
      const v = variable([8]);
      const adam = tf.train.adam(0.5);
      adam.minimize(half(v), false, [v]);
      const weights = await adam.getWeights();
      const swa = swaOf(tf.train.adam(0.5));
      await assertFails(
        () => swa.setWeights(weights),
        "Invalid weights: a list of 3 (expected an SWA's own)",
      );
      weights[0]!.tensor.dispose();
      disposeBare(adam);
    });
  });

  it('what loading makes is no variable that a minimize without a list would train', async () => {
    const v = variable([8]);
    const swa = swaOf(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 });
    swa.minimize(half(v), false, [v]);
    const trainable = () =>
      Object.values(tf.engine().registeredVariables).filter((x) => x.trainable).length;
    const before = trainable();
    await swa.loadStateDict(await swa.stateDict());
    assert.equal(trainable(), before);
  });

  it('a parameter without elements is saved and loaded', async () => {
    const v = own(tf.tidy(() => tf.variable(tf.zeros([0, 2]))));
    const swa = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: v }] });
    swa.updateSwa();
    const state = await swa.stateDict();
    assert.deepEqual(state.swa_state[0]!.swa_buffer.shape, [0, 2]);
    await swa.loadStateDict(state);
    assert.deepEqual(await swa.stateDict(), state);
  });

  it('carries the slots of an optimizer that was used before it was wrapped', async () => {
    const [v, w] = [variable([8]), variable([8])];
    const options = { paramGroups: [{ params: v }] };
    const used = tf.train.momentum(0.5, 0.5);
    used.minimize(half(v), false, [v]); // velocity 8, 8 - 4 = 4
    const first = swaOf(used, options);
    const second = swaOf(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: w }] });
    await second.loadStateDict(await first.stateDict());
    w.assign(v);
    second.minimize(half(w)); // velocity 4 + 4 = 8, 4 - 4 = 0
    assert.equal(w.dataSync()[0], 0);
  });

  it('a wrapper without steps saves and loads, silently', async () => {
    const v = variable([8]);
    const warnings = await warningsOf(async () => {
      const first = swaOf(tf.train.adam(0.5), { paramGroups: [{ params: v }] });
      const second = swaOf(tf.train.adam(0.5), { paramGroups: [{ params: v }] });
      await second.loadStateDict(await first.stateDict());
      second.minimize(half(v));
    });
    assert.deepEqual(warnings, []);
  });
});
