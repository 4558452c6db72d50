/** Which variables a loaded state means: by name, by position, told in part, or found. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  emaAvgFn,
  finiteOnly,
  SWA,
  type SWAOptions,
  type SWAStateDict,
} from '../../../lib/index.js';
import { shareOf } from '../../support/backends.js';
import { assertFails, half, own, random, valuesOf, variable } from '../../support/support.js';

const momentum = (options: SWAOptions = {}): SWA =>
  own(new SWA(tf.train.momentum(0.5, 0.5), options));

/** The state of a wrapper of variables of these names, whose average of the i-th is `10 + i`. */
async function stateOf(...groups: string[][]): Promise<SWAStateDict> {
  let value = 10;
  const lists = groups.map((names) =>
    names.map((name) => tf.tidy(() => tf.variable(tf.tensor1d([value++]), true, name))),
  );
  const swa = new SWA(tf.train.momentum(0.5, 0.5), {
    paramGroups: lists.map((params) => ({ params })),
  });
  swa.updateSwa();
  swa.minimize(half(...lists.flat()));
  const state = await swa.stateDict();
  swa.dispose();
  tf.dispose(lists);
  return state;
}

/** The averages that a wrapper holds, by name of the variable. */
async function averagesOf(swa: SWA): Promise<Record<string, number>> {
  const { swa_state, param_groups } = await swa.stateDict();
  const names = param_groups.flatMap(({ param_names }) => param_names);
  return Object.fromEntries(
    names.flatMap((name, i) => {
      const buffer = swa_state[i]?.swa_buffer;
      return buffer ? [[name, buffer.values[0]!]] : [];
    }),
  );
}

const step = (swa: SWA, ...vs: tf.Variable[]) => swa.minimize(half(...vs), false, vs);

describe('loading matches parameters', () => {
  /** Loads into a wrapper of groups of variables of these names. */
  async function loaded(state: SWAStateDict, ...groups: string[][]): Promise<SWA> {
    const paramGroups = groups.map((names) => ({
      params: names.map((name) => variable([0], name)),
    }));
    const swa = momentum({ paramGroups });
    await swa.loadStateDict(state);
    return swa;
  }

  it('by position where names are numbers of tfjs, also where two have changed places', async () => {
    const state = await stateOf(['1000', '1001']);
    assert.deepEqual(await averagesOf(await loaded(state, ['1001', '1000'])), {
      1001: 10,
      1000: 11,
    });
  });

  it('by position where automatic names are shifted, over several groups', async () => {
    const state = await stateOf(['dense_Dense1/kernel'], ['dense_Dense2/kernel']);
    const swa = await loaded(state, ['dense_Dense2/kernel'], ['dense_Dense3/kernel']);
    assert.deepEqual(await averagesOf(swa), {
      'dense_Dense2/kernel': 10,
      'dense_Dense3/kernel': 11,
    });
  });

  it('by name where tfjs-layers has numbered them, in whatever order', async () => {
    const state = await stateOf(['n/a', 'n/b']);
    assert.deepEqual(await averagesOf(await loaded(state, ['n/b_1', 'n/a_1'])), {
      'n/b_1': 11,
      'n/a_1': 10,
    });
  });

  it('not at all where all names are the same and stand in other groups', async () => {
    const state = await stateOf(['o/a'], ['o/b']);
    await assertFails(
      () => loaded(state, ['o/b'], ['o/a']),
      'The state does not fit this SWA; of the wrong shape or value: ' +
        'group of o/b (1, not 0), group of o/a (0, not 1)',
    );
  });

  it('each to one, in any order of real names, and in place of numbers (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 2 ** 31 }),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        async (seed, count, numbered) => {
          const next = random(seed);
          const name = (i: number): string => (numbered ? `${5000 + i}` : `any/${i}`);
          const names = Array.from({ length: count }, (_, i) => name(i));
          const state = await stateOf(names);
          const shuffled = [...names].sort(() => next() - 0.5);
          const vs = shuffled.map((n) => tf.tidy(() => tf.variable(tf.tensor1d([0]), true, n)));
          const swa = new SWA(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: vs }] });
          await swa.loadStateDict(state);
          const averages = await averagesOf(swa);
          shuffled.forEach((n, i) => {
            assert.equal(averages[n], 10 + (numbered ? i : names.indexOf(n)));
          });
          swa.dispose();
          tf.dispose(vs);
        },
      ),
      { seed: 31, numRuns: shareOf(50) },
    );
  });
});

describe('a state that waits', () => {
  const waiting = async (state: SWAStateDict): Promise<SWA> => {
    const swa = momentum();
    await swa.loadStateDict(state);
    return swa;
  };

  it('takes a part of its variables from a step, and looks the others up', async () => {
    const swa = await waiting(await stateOf(['w/body'], ['w/head']));
    const [body, head] = [variable([3], 'w/body'), variable([4], 'w/head')];
    step(swa, head);
    assert.deepEqual(
      swa.paramGroups.map(({ params }) => params),
      [[body], [head]],
    );
    assert.equal((await body.data())[0], 3, 'no gradient, no step');
    swa.swapSwaSgd();
    assert.deepEqual((await valuesOf([body, head])).flat(), [10, 11]);
  });

  it('takes more than its variables: the new ones form a group of their own', async () => {
    const swa = await waiting(await stateOf(['x/head']));
    const [body, head] = [variable([8], 'x/body'), variable([4], 'x/head')];
    step(swa, body, head);
    assert.deepEqual(
      swa.paramGroups.map(({ params, n_avg, step_counter }) => [params, n_avg, step_counter]),
      [
        [[head], 1, 2],
        [[body], 0, 2],
      ],
    );
    assert.equal((await body.data())[0], 4);
  });

  it('looks them up by the numbers that tfjs-layers put after those that were told', async () => {
    const swa = await waiting(await stateOf(['y/body', 'y/head']));
    // The model that was saved, still alive, and the one that was loaded from it.
    const saved = [variable([1], 'y/body'), variable([2], 'y/head')];
    const copies = [variable([3], 'y/body_1'), variable([4], 'y/head_1')];
    step(swa, copies[1]!);
    assert.deepEqual(swa.paramGroups[0]!.params, copies);
    assert.deepEqual((await valuesOf(saved)).flat(), [1, 2]);
  });

  it('does not take a variable of another model for one of as many that were told', async () => {
    const swa = await waiting(await stateOf(['z_Dense1/kernel', 'z_Dense2/kernel']));
    const other = variable([1], 'z_Dense1/kernel');
    const vs = [variable([2], 'z_Dense2/kernel'), variable([3], 'z_Dense3/kernel')];
    step(swa, ...vs);
    assert.deepEqual(swa.paramGroups[0]!.params, vs, 'by position');
    assert.equal((await other.data())[0], 1);
  });

  it('asks for the groups where several could be meant', async () => {
    const swa = await waiting(await stateOf(['q_1/a'], ['q_2/a']));
    const vs = [variable([2], 'q_2/a'), variable([3], 'q_3/a')];
    await assertFails(
      () => step(swa, ...vs),
      'Name the parameter groups of the state first, with paramGroups or addParamGroup()',
    );
    assert.isEmpty(swa.paramGroups);
    for (const params of vs) swa.addParamGroup({ params });
    step(swa, ...vs);
    assert.deepEqual(await averagesOf(swa), { 'q_2/a': 10, 'q_3/a': 11 });
  });

  it('of numbers that a step tells in part says how to go on', async () => {
    const state = await stateOf(['8000', '8001']);
    const swa = await waiting(state);
    const vs = [variable([2]), variable([3])];
    await assertFails(
      () => step(swa, vs[0]!),
      /^The state does not fit this SWA; .*addParamGroup\(\), or all its variables in one step$/,
    );
    assert.isEmpty(swa.paramGroups);
    step(swa, ...vs);
    assert.equal(swa.paramGroups[0]!.n_avg, 1);
  });

  it('that was swapped names a way to go on in each message, and it works', async () => {
    const state = await stateOf(['circular/a']);
    state.param_groups[0]!.swapped = true;
    const a = variable([2], 'circular/a');
    const swa = await waiting(state);
    await assertFails(
      () => swa.minimize(half(a)),
      'Cannot step while swapped: call swapSwaSgd() first',
    );
    swa.swapSwaSgd();
    assert.equal((await a.data())[0], 10);
    swa.minimize(half(a));

    // Of numbers nobody can know which are meant.
    const numbered = await stateOf(['7000']);
    numbered.param_groups[0]!.swapped = true;
    const other = await waiting(numbered);
    const b = variable([2]);
    await assertFails(
      () => other.minimize(half(b)),
      'Cannot step while swapped: name its variables with addParamGroup(), then call swapSwaSgd() first',
    );
    await assertFails(
      () => other.swapSwaSgd(),
      'The loaded state waits for its variables: name them with addParamGroup()',
    );
    other.addParamGroup({ params: b });
    other.swapSwaSgd();
    assert.equal((await b.data())[0], 10);
  });

  it('shows the steps that were taken before it was saved', async () => {
    const v = variable([4]);
    const first = own(new SWA(tf.train.adam(0.1)));
    for (let i = 0; i < 7; i++) step(first, v);
    const second = own(new SWA(tf.train.adam(0.1)));
    await second.loadStateDict(await first.stateDict());
    assert.equal(second.iterations, 7);
    step(second, v);
    assert.equal(second.iterations, 8);
  });

  for (const way of ['frozen', 'unfrozen']) {
    for (const alive of [false, true]) {
      it(`of a model that is ${way} after loading goes on${alive ? ', the saved one still alive' : ''}`, async () => {
        const [x, y] = [own(tf.ones([8, 2])), own(tf.ones([8, 1]))];
        const fit = { epochs: 3, verbose: 0 } as const;
        const layers = [
          tfl.layers.dense({ units: 3, inputShape: [2], trainable: way === 'frozen' }),
          tfl.layers.dense({ units: 1 }),
        ];
        const model = tfl.sequential({ layers });
        const options = { swaStart: 1, swaFreq: 1 };
        model.compile({
          optimizer: new SWA(tf.train.adam(0.01), options),
          loss: 'meanSquaredError',
        });
        await model.fit(x, y, fit);
        const frozen = await valuesOf(model.layers[0]!.weights.map((weight) => weight.read()));
        let artifacts: tf.io.ModelArtifacts = {};
        const handler = tf.io.withSaveHandler(async (given) => {
          artifacts = given;
          return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
        });
        await model.save(handler, { includeOptimizer: true });
        const disposeAll = (m: tfl.LayersModel): void => {
          m.optimizer.dispose();
          m.dispose();
        };
        if (!alive) disposeAll(model);
        const copy = await tfl.loadLayersModel(tf.io.fromMemory(artifacts));
        copy.layers[0]!.trainable = way === 'unfrozen';
        copy.compile({ optimizer: copy.optimizer, loss: 'meanSquaredError' });
        await copy.fit(x, y, fit);
        const swa = copy.optimizer as SWA;
        const params = swa.paramGroups.flatMap((group) => group.params);
        assert.sameMembers(
          params,
          copy.layers.flatMap((layer) => layer.weights.map((weight) => weight.read())),
        );
        const counts = swa.paramGroups.map(({ n_avg, step_counter }) => [n_avg, step_counter]);
        if (way === 'frozen') {
          assert.deepEqual(counts, [[5, 6]]);
          const now = await valuesOf(copy.layers[0]!.weights.map((weight) => weight.read()));
          assert.deepEqual(now, frozen, 'what is frozen stays');
          swa.swapSwaSgd();
          const average = await valuesOf(copy.layers[0]!.weights.map((weight) => weight.read()));
          assert.notDeepEqual(average, frozen, 'and has its average');
          swa.swapSwaSgd();
        } else {
          // Six steps, averaged after the first; what is new joins at the first step of three more.
          assert.deepEqual(counts, [
            [5, 6],
            [3, 6],
          ]);
        }
        disposeAll(copy);
        if (alive) disposeAll(model);
      });
    }
  }
});

describe('the averaging function', () => {
  it('is part of the state, and another one is refused or kept on purpose', async () => {
    const v = variable([8]);
    const of = (options: SWAOptions) => momentum({ ...options, paramGroups: [{ params: v }] });
    const kinds: [SWAOptions, string][] = [
      [{}, 'swa'],
      [{ avgFn: finiteOnly() }, 'swa'],
      [{ avgFn: emaAvgFn(0.99) }, 'ema(decay 0.99)'],
      [{ avgFn: emaAvgFn(0.5, { warmup: true }) }, 'ema(decay 0.5, warmup)'],
      [{ avgFn: (_, current) => tf.clone(current) }, 'own'],
    ];
    for (const [options, kind] of kinds) {
      assert.equal((await of(options).stateDict()).param_groups[0]!.avg_fn, kind);
    }
    const ema = of({ avgFn: emaAvgFn(0.99) });
    ema.updateSwa(); // 8
    const state = await ema.stateDict();
    const equal = of({});
    const before = await equal.stateDict();
    await assertFails(
      () => equal.loadStateDict(state),
      'The state does not fit this SWA; of the wrong shape or value: ' +
        'avg_fn of group 0 (ema(decay 0.99), not swa)',
    );
    assert.deepEqual(await equal.stateDict(), before);
    await assertFails(() => momentum().loadStateDict(state), /avg_fn of group 0/);
    await assertFails(
      () => equal.loadStateDict(state, { avgFn: 'drop' as never }),
      `Invalid avgFn: "drop" (expected 'keep')`,
    );
    await equal.loadStateDict(state, { avgFn: 'keep' });
    tf.tidy(() => v.assign(tf.tensor1d([4])));
    equal.updateSwa(); // 8 + (4 - 8) / 2
    const after = await equal.stateDict();
    assert.deepEqual(
      [after.swa_state[0]!.swa_buffer.values[0], after.param_groups[0]!.avg_fn],
      [6, 'swa'],
    );
    const late = momentum();
    await late.loadStateDict(state, { avgFn: 'keep' });
    step(late, v);
    assert.equal(late.paramGroups[0]!.n_avg, 1);
  });
});

describe('a state that is rejected leaves everything as it was', () => {
  it('also optimizers of the user’s own, of which one refuses at the last', async () => {
    class Keeping extends tf.Optimizer {
      static get className(): string {
        return 'Keeping';
      }
      kept = 0;
      refuses = false;
      constructor(readonly learningRate: number) {
        super();
      }
      getConfig() {
        return { learningRate: this.learningRate };
      }
      static override fromConfig<T extends tf.serialization.Serializable>(
        cls: tf.serialization.SerializableConstructor<T>,
        config: tf.serialization.ConfigDict,
      ): T {
        return new cls(config['learningRate']);
      }
      applyGradients(): void {
        this.kept += 1;
      }
      override async getWeights() {
        return [{ name: 'kept', tensor: own(tf.scalar(this.kept)) }];
      }
      override async setWeights([weight]: { tensor: tf.Tensor }[]): Promise<void> {
        if (this.refuses && weight) {
          this.kept = -1; // changed by half
          this.refuses = false;
          throw new Error('I will not');
        }
        this.kept = (await weight!.tensor.data())[0]!;
      }
    }
    const [a, b] = [variable([1]), variable([1])];
    const make = () =>
      own(new SWA(new Keeping(0.1), { paramGroups: [{ params: a }, { params: b }] }));
    const first = make();
    for (let i = 0; i < 3; i++) first.minimize(half(a, b));
    const state = await first.stateDict();
    const second = make();
    second.minimize(half(a, b));
    const optimizers = second.paramGroups.map(({ optimizer }) => optimizer as Keeping);
    optimizers[1]!.refuses = true;
    await assertFails(() => second.loadStateDict(state), 'I will not');
    assert.deepEqual(
      optimizers.map(({ kept }) => kept),
      [1, 1],
    );
    assert.deepEqual(
      second.paramGroups.map(({ step_counter }) => step_counter),
      [1, 1],
    );
    await second.loadStateDict(state);
    assert.deepEqual(
      optimizers.map(({ kept }) => kept),
      [3, 3],
    );
  });

  it('the wrapped optimizer’s rate and slots, where a group does not fit the state that waits', async () => {
    const state = await stateOf(['r/a'], ['r/b']);
    const base = tf.train.momentum(0.5, 0.5);
    const a = variable([1], 'r/a');
    base.minimize(half(a), false, [a]); // velocity 1
    const swa = own(new SWA(base));
    await swa.loadStateDict(state);
    const wrong = own(tf.tidy(() => tf.variable(tf.zeros([2, 2]), true, 'r/b')));
    const { numTensors } = tf.memory();
    swa.addParamGroup({ params: a, lr: 0.25 });
    await assertFails(
      () => swa.addParamGroup({ params: wrong }),
      /The state does not fit this SWA/,
    );
    assert.equal(tf.memory().numTensors, numTensors);
    const { accumulations } = base as unknown as { accumulations: { variable: tf.Variable }[] };
    assert.deepEqual(
      [(await accumulations[0]!.variable.data())[0], base.getConfig()['learningRate']],
      [1, 0.25],
    );
  });
});

describe('what getWeights lends', () => {
  it('lasts until its reader is done, of one moment, whoever else saves or trains meanwhile', async () => {
    const v = variable([64]);
    const swa = own(new SWA(tf.train.momentum(0.5, 0.5), { swaStart: 0, swaFreq: 1 }));
    step(swa, v);
    step(swa, v);
    const state = await swa.stateDict();
    const other = momentum();
    const { numTensors } = tf.memory();
    const [one, two] = [swa.getWeights(), swa.getWeights()];
    step(swa, v);
    const later = await swa.stateDict();
    for (const weights of [await one, await two]) {
      await other.setWeights(weights);
      assert.deepEqual(await other.stateDict(), state);
    }
    assert.deepEqual(await swa.stateDict(), later);
    assert.equal(tf.memory().numTensors, numTensors);
  });

  it('and nobody reads goes with the wrapper', async () => {
    const v = variable([64]);
    const { numTensors } = tf.memory();
    const swa = new SWA(tf.train.adam(0.5), { swaStart: 0, swaFreq: 1 });
    step(swa, v);
    await swa.getWeights();
    swa.dispose();
    assert.equal(tf.memory().numTensors, numTensors);
  });
});
