/** What ScheduleFree and Lookahead have of every wrapper: resume, models, groups that change, nesting. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  AveragedModel,
  Lookahead,
  ScheduleFree,
  SWA,
  swaCallback,
  SWALR,
  WeightHistory,
  type ParamGroupOptions,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { data, net } from '../support/fitted.js';
import {
  assertClose,
  assertFails,
  half,
  OPTIMIZERS,
  own,
  random,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

type Sibling = ScheduleFree | Lookahead;
const SIBLINGS: Record<
  string,
  (optimizer: tf.Optimizer, paramGroups?: ParamGroupOptions[]) => Sibling
> = {
  ScheduleFree: (optimizer, paramGroups) =>
    new ScheduleFree(optimizer, { warmupSteps: 3, r: 1, ...(paramGroups && { paramGroups }) }),
  Lookahead: (optimizer, paramGroups) =>
    new Lookahead(optimizer, { k: 3, ...(paramGroups && { paramGroups }) }),
};

/** Holds the values of a model's weights while it is saved and loaded. */
class InMemory implements tf.io.IOHandler {
  private artifacts: tf.io.ModelArtifacts = {};
  async save(artifacts: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
    this.artifacts = artifacts;
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
  }
  async load(): Promise<tf.io.ModelArtifacts> {
    return this.artifacts;
  }
}

const SHAPES = [[2], [2, 2], []];

function parameters(values?: number[][]): tf.Variable[] {
  return SHAPES.map((shape, i) =>
    tf.tidy(() => {
      const size = tf.util.sizeFromShape(shape);
      const next = random(i);
      return tf.variable(
        tf.tensor(values?.[i] ?? Array.from({ length: size }, () => next() - 0.5), shape),
      );
    }),
  );
}

/** Two groups, the second at a rate of its own; restarts after some steps, swapped or not. */
async function finish(
  make: (paramGroups: ParamGroupOptions[]) => Sibling,
  steps: readonly { seed: number; mask: number; restart: 'none' | 'plain' | 'swapped' }[],
  restarts: boolean,
): Promise<unknown> {
  const groupsOf = ([a, b, c]: tf.Variable[]): ParamGroupOptions[] => [
    { params: [a!, b!] },
    { params: c!, lr: 0.02 },
  ];
  let params = parameters();
  let wrapper = make(groupsOf(params));
  for (const { seed, mask, restart } of steps) {
    const next = random(seed);
    tf.tidy(() =>
      wrapper.applyGradients(
        params.flatMap(({ name, shape, size }, i) => {
          const values = Array.from({ length: size }, () => 2 * next() - 1);
          return (mask >> i) & 1 ? [{ name, tensor: tf.tensor(values, shape) }] : [];
        }),
      ),
    );
    if (!restarts || restart === 'none') continue;
    const swaps = restart === 'swapped' && wrapper instanceof ScheduleFree;
    if (swaps) (wrapper as ScheduleFree).swap();
    const state = structuredClone(await wrapper.stateDict());
    const values = await valuesOf(params);
    wrapper.dispose();
    tf.dispose(params);
    params = parameters(values);
    wrapper = make(groupsOf(params));
    await wrapper.loadStateDict(state);
    assert.equal(wrapper.swapped, swaps);
    if (swaps) (wrapper as ScheduleFree).swap();
  }
  const { opt_state, swa_state, param_groups } = structuredClone(await wrapper.stateDict());
  const end = {
    values: await valuesOf(params),
    opt_state,
    swa_state,
    groups: param_groups.map(({ param_names: _, ...group }) => group),
  };
  wrapper.dispose();
  tf.dispose(params);
  return end;
}

for (const [kind, make] of Object.entries(SIBLINGS)) {
  const made = (optimizer: tf.Optimizer, paramGroups?: ParamGroupOptions[]): Sibling =>
    own(make(optimizer, paramGroups));

  describe(`${kind} as every wrapper`, () => {
    for (const [name, optimizer] of Object.entries(OPTIMIZERS)) {
      it(`goes on bit for bit after a restart at any moment, around ${name}`, async () => {
        await fc.assert(
          fc.asyncProperty(
            fc.array(
              fc.record({
                seed: fc.nat(),
                mask: fc.integer({ min: 1, max: 7 }),
                restart: fc.constantFrom('none' as const, 'plain' as const, 'swapped' as const),
              }),
              { minLength: 1, maxLength: 9 },
            ),
            async (steps) => {
              const wrapped = (groups: ParamGroupOptions[]): Sibling => make(optimizer(), groups);
              const straight = await finish(wrapped, steps, false);
              assert.deepEqual(await finish(wrapped, steps, true), straight);
            },
          ),
          { seed: 11, numRuns: shareOf(15) },
        );
      });
    }

    it('a state waits for its variables, and a swap back finds them', async () => {
      const v = variable([1, 2], `${kind}/w`);
      const wrapper = make(tf.train.adam(0.1));
      for (let i = 0; i < 4; i++) wrapper.minimize(half(v), false, [v]);
      const y = await valuesOf([v]);
      if (wrapper instanceof ScheduleFree) wrapper.swap();
      const state = await wrapper.stateDict();
      wrapper.dispose();
      const resumed = made(tf.train.adam(0.1));
      await resumed.loadStateDict(state);
      assert.equal(resumed.swapped, kind === 'ScheduleFree');
      if (resumed instanceof ScheduleFree) resumed.swap();
      assert.deepEqual(await valuesOf([v]), y);
      resumed.minimize(half(v), false, [v]);
      assert.equal(resumed.paramGroups[0]!.step_counter, 5);
    });

    it('trains a compiled model, which is saved and loaded with it, bit for bit', async () => {
      const { x, y } = data();
      const fit = async (model: tfl.LayersModel): Promise<void> => {
        await model.fit(x, y, { epochs: 2, batchSize: 4, verbose: 0, shuffle: false });
      };
      const optimizer = made(tf.train.adam(0.05));
      const model = net(optimizer);
      await fit(model);
      const handler = new InMemory();
      await model.save(handler, { includeOptimizer: true });
      const loaded = own(await tfl.loadLayersModel(handler));
      const other = own(loaded.optimizer as Sibling);
      assert.equal(other.constructor, optimizer.constructor);
      assert.deepEqual(other.getConfig(), optimizer.getConfig());
      await fit(model);
      await fit(loaded);
      assert.deepEqual(await valuesOf(loaded.getWeights()), await valuesOf(model.getWeights()));
      const [group] = other.paramGroups;
      assert.equal(group!.step_counter, optimizer.paramGroups[0]!.step_counter);
    });

    it('drops a variable that is disposed, takes one that comes late, and counts on', async () => {
      const [a, b] = [variable([1, 2]), tf.tidy(() => tf.variable(tf.tensor1d([3])))];
      const c = variable([4, 5]);
      const wrapper = made(tf.train.momentum(0.1, 0.9));
      for (let i = 0; i < 4; i++) wrapper.minimize(half(a, b), false, [a, b]);
      const alone = made(tf.train.momentum(0.1, 0.9));
      const a2 = variable([1, 2]);
      for (let i = 0; i < 4; i++) alone.minimize(half(a2), false, [a2]);
      b.dispose();
      const warnings = await warningsOf(() => {
        for (let i = 0; i < 5; i++) {
          wrapper.minimize(half(a, c), false, [a, c]);
          alone.minimize(half(a2), false, [a2]);
        }
      });
      assert.equal(warnings.length, 1);
      assert.deepEqual(
        wrapper.paramGroups.map(({ params, step_counter }) => [params.length, step_counter]),
        [
          [1, 9],
          [1, 9],
        ],
      );
      assert.deepEqual(await valuesOf([a]), await valuesOf([a2]));
      await wrapper.loadStateDict(structuredClone(await wrapper.stateDict()));
    });

    it('has the rates of its groups follow a scheduler', () => {
      const [a, b] = [variable(1), variable(2)];
      const wrapper = made(tf.train.sgd(0.4), [{ params: a }, { params: b, lr: 0.2 }]);
      const scheduler = new SWALR(wrapper, {
        swaLr: 0.1,
        annealEpochs: 2,
        annealStrategy: 'linear',
      });
      wrapper.minimize(half(a, b));
      scheduler.step();
      // Half of the way to 0.1.
      const rates = wrapper.paramGroups.map(({ lr }) => lr);
      assert.closeTo(rates[0]!, 0.25, 1e-7);
      assert.closeTo(rates[1]!, 0.15, 1e-7);
    });

    it('is averaged by an SWA around it, and resumes with it', async () => {
      const v = variable([1, -2]);
      const nested = (): SWA => own(new SWA(make(tf.train.sgd(0.1)), { swaStart: 2, swaFreq: 2 }));
      const swa = nested();
      const sum = [0, 0];
      swa.learningRate = 0.05; // what a scheduler does; the state has it, and a fresh one not yet
      for (let step = 1; step <= 8; step++) {
        swa.minimize(half(v), false, [v]);
        const now = await v.data();
        if (step > 2 && step % 2 === 0) now.forEach((value, i) => (sum[i]! += value));
      }
      const state = structuredClone(await swa.stateDict());
      // After steps 4, 6 and 8.
      const average = sum.map((value) => value / 3);
      assertClose([...state.swa_state[0]!.swa_buffer.values], average, 1e-6);
      const w = variable([...(await v.data())]);
      const resumed = nested();
      await resumed.loadStateDict(state);
      assert.equal(resumed.learningRate, 0.05);
      for (let i = 0; i < 5; i++) {
        swa.minimize(half(v), false, [v]);
        resumed.minimize(half(w), false, [w]);
      }
      assert.deepEqual(await valuesOf([w]), await valuesOf([v]));
      swa.swapSwaSgd();
      await assertFails(
        () => (swa.optimizer as Sibling).minimize(half(v), false, [v]),
        /^Cannot step: variable .* holds the averages of another wrapper/,
      );
      swa.swapSwaSgd();
    });

    it('takes an AveragedModel and swaCallback beside it', async () => {
      const { x, y } = data();
      const optimizer = made(tf.train.sgd(0.05));
      const model = net(optimizer);
      const averaged = own(new AveragedModel(model));
      const callback = swaCallback(model, { startEpoch: 2, bnData: [x], swaFreq: 1 });
      let sum: number[] = [];
      let epoch = 0;
      await model.fit(x, y, {
        epochs: 4,
        verbose: 0,
        callbacks: [
          new tfl.CustomCallback({
            onEpochEnd: async () => {
              averaged.updateParameters();
              epoch += 1;
              if (epoch <= 1) return;
              const now = (await valuesOf(model.trainableWeights.map((w) => w.read()))).flat();
              sum = now.map((value, i) => value + (sum[i] ?? 0));
            },
          }),
          callback,
        ],
      });
      assert.equal(averaged.nAveraged, 4);
      const end = (await valuesOf(model.trainableWeights.map((w) => w.read()))).flat();
      assertClose(
        end,
        sum.map((value) => value / 3),
        1e-5,
      );
    });

    it('takes a WeightHistory beside it, which averages what the variables hold in training', async () => {
      const run = async (history: boolean) => {
        const v = variable([4, -2]);
        const wrapper = own(make(tf.train.momentum(0.05, 0.5), [{ params: v }]));
        const beside = own(new WeightHistory([v]));
        const seen: number[][] = [];
        const epoch = async () => {
          for (let i = 0; i < 3; i++) {
            wrapper.minimize(half(v));
            beside.update();
            seen.push((await valuesOf([v]))[0]!);
          }
          beside.closeSegment();
        };
        for (let i = 0; i < 3; i++) await epoch();
        if (history) {
          // The mean of the last six is nearest to itself.
          const mean = [0, 1].map((k) => seen.slice(-6).reduce((sum, x) => sum + x[k]! / 6, 0));
          const distance = async () => {
            const [[x, y]] = (await valuesOf([v])) as [number[]];
            return Math.hypot(x! - mean[0]!, y! - mean[1]!);
          };
          const { window, count } = await beside.choose(distance);
          assert.deepEqual([window, count], [2, 6]);
          assertClose((await valuesOf([v]))[0]!, mean, 1e-6);
          const held = `variable ${v.name} holds the averages of another wrapper`;
          await assertFails(() => wrapper.minimize(half(v)), new RegExp(`^Cannot step: ${held}`));
          beside.swap();
          assert.deepEqual((await valuesOf([v]))[0], seen.at(-1));
        }
        await epoch();
        return seen;
      };
      assert.deepEqual(await run(true), await run(false));
    });
  });
}

describe('a base optimizer with a minimize of its own', () => {
  /** Counts its searches, which here only step. */
  class Searching extends tf.SGDOptimizer {
    static override get className(): string {
      return 'Searching';
    }
    searches = 0;
    override minimize(f: () => tf.Scalar, returnCost?: boolean, varList?: tf.Variable[]) {
      this.searches += 1;
      return super.minimize(f, returnCost, varList);
    }
  }

  for (const [kind, make] of Object.entries(SIBLINGS)) {
    const searches = kind === 'Lookahead' ? 7 : 0;
    it(`${kind}: is asked to search ${searches} times in 7 steps, and arrives where SGD does`, async () => {
      const [v, w] = [variable([1, -2]), variable([1, -2])];
      const searching = new Searching(0.1);
      const one = own(make(searching));
      const other = own(make(tf.train.sgd(0.1)));
      for (let i = 0; i < 7; i++) {
        one.minimize(half(v), false, [v]);
        other.minimize(half(w), false, [w]);
      }
      assert.equal(searching.searches, searches);
      assert.deepEqual(await valuesOf([v]), await valuesOf([w]));
    });
  }
});

describe('around and beside a swapped ScheduleFree', () => {
  it('updates and steps are refused, and work again after it is swapped back', async () => {
    const v = variable([1, -2], 'beside');
    const free = new ScheduleFree(tf.train.sgd(0.1));
    const swa = own(new SWA(free));
    const averaged = own(new AveragedModel([v]));
    const history = own(new WeightHistory([v]));
    swa.minimize(half(v), false, [v]);
    history.update();
    swa.minimize(half(v), false, [v]);
    free.swap();
    const held = 'variable beside holds the averages of another wrapper';
    await assertFails(() => swa.updateSwa(), new RegExp(`^Cannot update the average: ${held}`));
    await assertFails(() => swa.minimize(half(v), false, [v]), new RegExp(`^Cannot step: ${held}`));
    await assertFails(() => swa.swapSwaSgd(), new RegExp(`^Cannot swap: ${held}`));
    await assertFails(() => averaged.updateParameters(), new RegExp(held));
    await assertFails(() => history.update(), new RegExp(`^Cannot update: ${held}`));
    await assertFails(() => history.choose(() => 1), new RegExp(`^Cannot choose: ${held}`));
    assert.deepEqual(history.segments, [{ count: 1 }]);
    free.swap();
    swa.updateSwa();
    averaged.updateParameters();
    history.update();
    await history.choose(() => 1);
    await assertFails(() => free.swap(), new RegExp(`^Cannot swap: ${held}`));
    history.swap();
    swa.minimize(half(v), false, [v]);
  });

  it('trains a Lookahead inside, and a Lookahead around', async () => {
    const loops: (() => tf.Optimizer)[] = [
      () => new ScheduleFree(new Lookahead(tf.train.sgd(0.1), { k: 2 })),
      () => new Lookahead(new ScheduleFree(tf.train.sgd(0.1)), { k: 2 }),
    ];
    for (const make of loops) {
      const v = variable([1, -2]);
      const optimizer = own(make());
      for (let i = 0; i < 40; i++) optimizer.minimize(half(v), false, [v]);
      const [values] = await valuesOf([v]);
      assert.isBelow(Math.hypot(...values!), 1);
    }
  });
});
