/** Lookahead: its arithmetic, what it keeps, and its mistakes. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { Lookahead, type LookaheadOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
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
} from '../support/support.js';

const lookaheadOf = (optimizer: tf.Optimizer, options?: LookaheadOptions): Lookahead =>
  own(new Lookahead(optimizer, options));

interface Run {
  base: 'sgd' | 'momentum' | 'adam';
  hyper: { lr: number; momentum: number; beta1: number; beta2: number; epsilon: number };
  options: LookaheadOptions;
  trace: { step: number; fast: number[]; slow: number[] }[];
}

describe('Lookahead', () => {
  const { problem, runs } = golden('lookahead') as {
    problem: unknown;
    runs: Record<string, Run>;
  };
  for (const [name, { base, hyper, options, trace }] of Object.entries(runs)) {
    it(`equals the trace ${name} of optax`, async () => {
      const { x, y, loss } = quadratic(problem);
      const { lr, momentum, beta1, beta2, epsilon } = hyper;
      const made = {
        sgd: () => tf.train.sgd(lr),
        momentum: () => tf.train.momentum(lr, momentum),
        adam: () => tf.train.adam(lr, beta1, beta2, epsilon),
      }[base]();
      const lookahead = lookaheadOf(made, options);
      // tfjs forms Adam's bias correction in float32.
      const tolerance = base === 'adam' ? 1e-3 : 1e-5;
      let step = 0;
      const last = trace[trace.length - 1]!.step;
      for (const row of trace.filter((row) => row.step <= shareOf(last))) {
        for (; step < row.step; step++) lookahead.minimize(loss, false, [x, y]);
        const label = `at step ${step}`;
        assertClose((await valuesOf([x, y])).flat(), row.fast, tolerance, `fast ${label}`);
        const { swa_state, param_groups } = await lookahead.stateDict();
        const slow = Object.values(swa_state).flatMap(({ swa_buffer }) => [...swa_buffer.values]);
        assertClose(slow, row.slow, tolerance, `slow ${label}`);
        assert.equal(param_groups[0]!.n_avg, 1 + Math.floor(step / options.k!));
        assert.equal(param_groups[0]!.step_counter, step);
      }
    });
  }

  it('meets the worked numbers of the contract', async () => {
    const theta = variable([4, -2]);
    const lookahead = lookaheadOf(tf.train.sgd(0.05));
    const loss = () =>
      tf.tidy(() => tf.mul(0.5, tf.sum(tf.mul([1, 10], tf.square(theta))))) as tf.Scalar;
    for (let i = 0; i < 10; i++) lookahead.minimize(loss, false, [theta]);
    assertClose((await valuesOf([theta]))[0]!, [3.1462988142383788, -0.53173828125], 1e-5);
  });

  it('equals float64 arithmetic on random programs of two groups', async () => {
    const programs = fc.record({
      k: fc.integer({ min: 1, max: 4 }),
      alpha: fc.constantFrom(0.1, 0.5, 1),
      momentum: fc.constantFrom(0, 0.5),
      joins: fc.nat({ max: 5 }),
      average: fc.boolean(),
      seeds: fc.array(fc.nat(), { minLength: 1, maxLength: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(programs, async ({ k, alpha, momentum, joins, average, seeds }) => {
        const [a, b] = [1, -2].map((value) => tf.tidy(() => tf.variable(tf.scalar(value))));
        const base = momentum ? tf.train.momentum(0.1, momentum) : tf.train.sgd(0.1);
        const lookahead = new Lookahead(base, { k, alpha, paramGroups: [{ params: a! }] });
        const refs = [{ v: a!, fast: 1, slow: 1, slot: 0, lr: 0.1, steps: 0, average: true }];
        for (const [i, seed] of seeds.entries()) {
          if (i === joins) {
            lookahead.addParamGroup({ params: b!, lr: 0.2, average });
            refs.push({ v: b!, fast: -2, slow: -2, slot: 0, lr: 0.2, steps: 0, average });
          }
          const next = random(seed);
          const gradients = refs.map(({ v }) => ({ name: v.name, g: 2 * next() - 1 }));
          tf.tidy(() =>
            lookahead.applyGradients(
              gradients.map(({ name, g }) => ({ name, tensor: tf.scalar(g) })),
            ),
          );
          for (const [r, ref] of refs.entries()) {
            ref.slot = momentum * ref.slot + gradients[r]!.g;
            ref.fast -= ref.lr * ref.slot;
            ref.steps += 1;
            if (ref.average && ref.steps % k === 0) {
              ref.fast = ref.slow += alpha * (ref.fast - ref.slow);
            }
            assertClose(await ref.v.data(), [ref.fast], 1e-5, `parameter ${r} after ${i + 1}`);
          }
        }
        lookahead.dispose();
        tf.dispose([a!, b!]);
      }),
      { seed: 20, numRuns: shareOf(60) },
    );
  });

  it('keeps one copy of the weights, and none after dispose', () => {
    const v = variable([1, 2, 3, 4]);
    const bytes = tf.memory().numBytes;
    const lookahead = new Lookahead(tf.train.sgd(0.1), { k: 2 });
    // 16 for the slow weights and 4 for the rate of SGD; after a synchronization the two may be one.
    for (let i = 0; i < 5; i++) {
      lookahead.minimize(half(v), false, [v]);
      assert.isAtMost(tf.memory().numBytes - bytes, 20);
    }
    assert.isFalse(lookahead.swapped);
    lookahead.dispose();
    assert.equal(tf.memory().numBytes, bytes);
  });

  it('a copy that somebody took keeps its values', async () => {
    const v = variable([1, 2]);
    const lookahead = lookaheadOf(tf.train.momentum(0.1, 0.9), { k: 2 });
    const seen: [tf.Tensor, number[]][] = [];
    for (let i = 0; i < 6; i++) {
      lookahead.minimize(half(v), false, [v]);
      seen.push([own(tf.clone(v)), [...(await v.data())]]);
    }
    for (const [copy, values] of seen) assert.deepEqual([...(await copy.data())], values);
  });

  it('refuses options that make no sense', async () => {
    const range = 'a number in (0, 1]';
    const wrong: [LookaheadOptions, string][] = [
      [{ k: 0 }, 'Invalid k: 0 (expected an integer >= 1)'],
      [{ k: 2.5 }, 'Invalid k: 2.5 (expected an integer >= 1)'],
      [{ alpha: 0 }, `Invalid alpha: 0 (expected ${range})`],
      [{ alpha: 2 }, `Invalid alpha: 2 (expected ${range})`],
      [{ alpha: NaN }, `Invalid alpha: NaN (expected ${range})`],
      [{ beta: 1 } as LookaheadOptions, 'Unknown option beta (known ones: k, alpha, paramGroups)'],
    ];
    const sgd = own(tf.train.sgd(0.1));
    for (const [options, message] of wrong) {
      await assertFails(() => new Lookahead(sgd, options), message);
    }
  });

  it('refuses a state of other options, and one that says it was swapped', async () => {
    const v = variable([1, 2]);
    const lookahead = lookaheadOf(tf.train.sgd(0.1));
    lookahead.minimize(half(v), false, [v]);
    const state = await lookahead.stateDict();
    const other = lookaheadOf(tf.train.sgd(0.1), { k: 6, paramGroups: [{ params: v }] });
    await assertFails(
      () => other.loadStateDict(state),
      'The state does not fit this Lookahead; of the wrong shape or value: ' +
        'avg_fn of group 0 (lookahead(k 5, alpha 0.5), not lookahead(k 6, alpha 0.5))',
    );
    state.param_groups[0]!.swapped = true;
    await assertFails(
      () => lookahead.loadStateDict(state),
      /^Invalid state\.param_groups\[0\]\.swapped/,
    );
  });
});
