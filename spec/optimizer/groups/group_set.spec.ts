/** Which variables are in which group as a model changes: unfrozen late, listed twice, disposed. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { finiteOnly, SWA, type SWAOptions } from '../../../lib/index.js';
import { shareOf } from '../../support/backends.js';
import {
  assertClose,
  assertFails,
  half,
  OPTIMIZERS,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../../support/support.js';

const sgd = (options: SWAOptions = {}): SWA => own(new SWA(tf.train.sgd(0.5), options));

describe('variables that are first seen later', () => {
  it('begin at the rate in force, and count and average with the first group', async () => {
    const [a, b] = [variable([8]), variable([8])];
    const swa = sgd({ swaStart: 2, swaFreq: 1 });
    for (let i = 0; i < 3; i++) swa.minimize(half(a), false, [a]); // 1
    swa.setLearningRate(0.25);
    swa.minimize(half(a, b), false, [a, b]); // a 0.75, b 6
    const [first, second] = swa.paramGroups;
    assert.deepEqual([second!.lr, second!.step_counter, second!.n_avg], [0.25, 4, 1]);
    assert.deepEqual([first!.step_counter, first!.n_avg], [4, 2]);
    assert.deepEqual((await valuesOf([a, b])).flat(), [0.75, 6]);
  });

  it('have swaLr from their first step on, where the first group has', async () => {
    const [a, b] = [variable([8]), variable([8])];
    const swa = sgd({ swaStart: 1, swaFreq: 1, swaLr: 0.125 });
    swa.minimize(half(a), false, [a]);
    swa.minimize(half(a), false, [a]);
    swa.minimize(half(b), false, [b]); // 8 - 0.125 * 8
    assert.deepEqual([(await b.data())[0], swa.paramGroups[1]!.n_avg], [7, 1]);
  });

  it('added by the caller start at 0, as in torchcontrib', () => {
    const [a, b] = [variable([8]), variable([8])];
    const swa = sgd({ paramGroups: [{ params: a }], swaStart: 1, swaFreq: 1 });
    swa.minimize(half(a));
    swa.learningRate = 0.25;
    const group = swa.addParamGroup({ params: b });
    assert.deepEqual([group.step_counter, group.lr], [0, 0.5]);
  });

  it('need no rate, as the wrapped optimizer has none', () => {
    class Rateless extends tf.Optimizer {
      static get className(): string {
        return 'Rateless';
      }
      applyGradients(): void {}
      getConfig() {
        return {};
      }
    }
    const [a, b] = [variable([8]), variable([8])];
    const swa = own(new SWA(new Rateless()));
    swa.minimize(half(a), false, [a]);
    swa.minimize(half(b), false, [b]);
    assert.deepEqual(
      swa.paramGroups.map(({ params }) => params),
      [[a], [b]],
    );
  });

  // Of these a step depends on nothing that a late variable has not had.
  for (const name of ['sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop']) {
    it(`an unfrozen layer trains as with the bare optimizer: ${name}`, async () => {
      const x = own(tf.tensor2d([[1, 2], [3, -1], [0.5, 0.5]])); // prettier-ignore
      const y = own(tf.tensor2d([[1], [0], [2]]));
      const fit = { epochs: 2, batchSize: 3, shuffle: false, verbose: 0 } as const;
      const run = async (optimizer: tf.Optimizer): Promise<number[][]> => {
        const constant = (value: number) => tfl.initializers.constant({ value });
        const body = tfl.layers.dense({
          units: 3,
          inputShape: [2],
          kernelInitializer: constant(0.3),
          trainable: false,
        });
        const head = tfl.layers.dense({ units: 1, kernelInitializer: constant(0.2) });
        const model = own(tfl.sequential({ layers: [body, head] }));
        model.compile({ optimizer, loss: 'meanSquaredError' });
        await model.fit(x, y, fit);
        const rated = optimizer as unknown as {
          learningRate: number;
          setLearningRate?: (rate: number) => void;
        };
        if (rated.setLearningRate) rated.setLearningRate(0.001);
        else rated.learningRate = 0.001;
        body.trainable = true;
        // The head first, as tfjs keeps slots by position, so that they stay where they are.
        const vs = [...head.trainableWeights, ...body.trainableWeights].map(
          (weight) => weight.read() as tf.Variable,
        );
        const loss = (): tf.Scalar =>
          tf.losses.meanSquaredError(y, model.apply(x, { training: true }) as tf.Tensor);
        for (let i = 0; i < 3; i++) optimizer.minimize(loss, false, vs);
        return valuesOf(vs);
      };
      const make = OPTIMIZERS[name]!;
      const bare = make();
      const expected = await run(bare);
      bare.dispose();
      tf.dispose((bare as unknown as { c?: tf.Tensor }).c);
      assert.deepEqual(await run(own(new SWA(make()))), expected);
    });
  }
});

describe('a weight that is listed twice', () => {
  it('is one parameter, stepped once', async () => {
    const [a, b] = [variable([8]), variable([8])];
    const swa = sgd();
    swa.minimize(half(a, b), false, [a, b, a]);
    assert.deepEqual(swa.paramGroups[0]!.params, [a, b]);
    swa.minimize(half(a, b), false, [b, a, b, a]);
    const { value, grads } = swa.computeGradients(half(a, b), [a, a, b]);
    swa.applyGradients([a, b, a].map(({ name }) => ({ name, tensor: grads[name]! })));
    tf.dispose([value, grads]);
    assert.deepEqual((await valuesOf([a, b])).flat(), [1, 1]);
  });

  it('in a named group is one parameter', async () => {
    const a = variable([8]);
    const swa = sgd({ paramGroups: [{ params: [a, a] }] });
    swa.minimize(half(a));
    swa.minimize(half(a), false, [a, a]);
    assert.deepEqual([swa.paramGroups[0]!.params, (await a.data())[0]], [[a], 2]);
  });

  it('by a model whose submodels share a layer: fit, groups and swaps', async () => {
    const shared = tfl.layers.dense({ units: 2, kernelInitializer: 'ones' });
    const tower = () => {
      const input = tfl.input({ shape: [2] });
      const output = tfl.layers
        .dense({ units: 2, kernelInitializer: 'ones' })
        .apply(shared.apply(input)) as tfl.SymbolicTensor;
      return tfl.model({ inputs: input, outputs: output });
    };
    const [a, b] = [tower(), tower()];
    const inputs = [tfl.input({ shape: [2] }), tfl.input({ shape: [2] })];
    const sum = tfl.layers
      .add()
      .apply([a.apply(inputs[0]!), b.apply(inputs[1]!)] as tfl.SymbolicTensor[]);
    const output = tfl.layers.dense({ units: 1 }).apply(sum) as tfl.SymbolicTensor;
    const model = tfl.model({ inputs, outputs: output });
    const swa = own(new SWA(tf.train.sgd(0.001), { swaStart: 0, swaFreq: 1 }));
    model.compile({ optimizer: swa, loss: 'meanSquaredError' });
    const xs = [own(tf.ones([4, 2])), own(tf.ones([4, 2]))];
    await model.fit(xs, own(tf.ones([4, 1])), { epochs: 2, verbose: 0 });
    // By hand: tfjs's own dispose fails on a layer that it meets twice.
    const weights = new Set(model.trainableWeights.map((weight) => own(weight.read())));
    assert.isBelow(weights.size, model.trainableWeights.length, 'some are listed twice');
    assert.deepEqual(new Set(swa.paramGroups[0]!.params), weights);
    assert.lengthOf(swa.paramGroups[0]!.params, weights.size);
  });
});

describe('a variable that is disposed', () => {
  const dropped = ({ name }: tf.Variable): string =>
    `Variable ${name} was disposed: it is in its parameter group no more`;

  const uses: Record<string, (swa: SWA, gradient: tf.NamedTensorMap) => unknown> = {
    applyGradients: (swa, gradient) => swa.applyGradients(gradient),
    minimize: (swa) => swa.minimize(half(...(swa.paramGroups[0]!.params.slice(0, 1) as []))),
    updateSwa: (swa) => swa.updateSwa(),
    updateSwaGroup: (swa) => swa.updateSwaGroup(swa.paramGroups[0]!),
    swapSwaSgd: (swa) => swa.swapSwaSgd(),
    stateDict: (swa) => swa.stateDict(),
    getWeights: async (swa) =>
      Promise.all((await swa.getWeights()).map(({ tensor }) => tensor.data())),
  };
  for (const [name, use] of Object.entries(uses)) {
    it(`drops out of its group with one warning, at ${name}`, async () => {
      const [a, b] = [variable([1]), variable([1])];
      const swa = own(new SWA(tf.train.momentum(0.5, 0.5), { paramGroups: [{ params: [a, b] }] }));
      swa.minimize(half(a, b));
      swa.updateSwa();
      const { numTensors } = tf.memory();
      b.dispose();
      const gradient = own(tf.tensor1d([1]));
      const warnings = await warningsOf(async () => {
        await use(swa, { [a.name]: gradient });
        await use(swa, { [a.name]: gradient });
      });
      assert.deepEqual(warnings, [dropped(b)]);
      assert.deepEqual(swa.paramGroups[0]!.params, [a]);
      // The variable, its slot and its average are gone.
      assert.equal(tf.memory().numTensors, numTensors + 1 - 3);
    });
  }

  it('may not be named again', async () => {
    const [a, gone] = [variable([1]), variable([1], 'gone/b')];
    const swa = sgd({ paramGroups: [{ params: [a, gone] }] });
    gone.dispose();
    const message = 'Variable gone/b is disposed';
    await warningsOf(async () => {
      await assertFails(() => swa.minimize(half(a), false, [a, gone]), message);
      await assertFails(() => swa.computeGradients(half(a), [gone]), message);
      await assertFails(() => swa.addParamGroup({ params: gone }), message);
    });
    assert.equal((await a.data())[0], 1);
  });

  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    it(`leaves the others their slots and averages: ${name}`, async () => {
      const run = async (disposes: boolean): Promise<unknown> => {
        const vs = [variable([1, 2]), variable([3]), variable([[4]])];
        const left = [vs[0]!, vs[2]!];
        const swa = own(new SWA(make(), { swaStart: 1, swaFreq: 1 }));
        for (let i = 0; i < 3; i++) swa.minimize(half(...vs), false, vs);
        await warningsOf(() => {
          if (disposes) vs[1]!.dispose();
          for (let i = 0; i < 3; i++) swa.minimize(half(...left), false, left);
          swa.swapSwaSgd();
        });
        return valuesOf(left);
      };
      assert.deepEqual(await run(true), await run(false));
    });
  }

  it('by tf.disposeVariables(), all at once: the wrapper goes on with new ones', async () => {
    const others = new Set(Object.values(tf.engine().registeredVariables));
    // What tf.disposeVariables() does, to those of this spec alone (tfjs-core 4.22, engine.ts).
    const disposeVariables = (): void => {
      for (const v of Object.values(tf.engine().registeredVariables)) {
        if (!others.has(v)) tf.engine().disposeVariable(v);
      }
    };
    for (const make of [() => tf.train.sgd(0.5), () => tf.train.adam(0.5)]) {
      const swa = new SWA(make(), { swaStart: 1, swaFreq: 1 });
      const make8 = () => tf.tidy(() => tf.variable(tf.tensor1d([8])));
      const vs = [make8(), make8()];
      for (let i = 0; i < 3; i++) swa.minimize(half(...vs), false, vs);
      disposeVariables();
      assert.isFalse(vs[0]!.isDisposed, 'what tfjs says of them');
      const fresh = make8();
      const warnings = await warningsOf(() => {
        swa.minimize(half(fresh), false, [fresh]);
        swa.minimize(half(fresh), false, [fresh]);
        swa.swapSwaSgd();
      });
      assert.deepEqual(warnings, vs.map(dropped));
      assert.deepEqual(
        swa.paramGroups.map(({ params, step_counter }) => [params.length, step_counter]),
        [
          [0, 5],
          [1, 5],
        ],
      );
      const { param_groups } = await swa.stateDict();
      assert.lengthOf(param_groups, 1, 'a group without variables has no state');
      swa.dispose();
      assert.isNotEmpty(await fresh.data(), 'dispose frees nothing of the user’s');
      fresh.dispose();
    }
  });

  it('whose name a new one bears: the new one is another variable', async () => {
    const named = (value: number) => tf.tidy(() => tf.variable(tf.scalar(value), true, 'again'));
    const a = named(8);
    const swa = sgd({ swaStart: 0, swaFreq: 1 });
    swa.minimize(half(a), false, [a]);
    a.dispose();
    const b = own(named(2));
    const warnings = await warningsOf(() => swa.minimize(half(b), false, [b]));
    assert.deepEqual(warnings, [dropped(a)]);
    assert.deepEqual(
      swa.paramGroups.map(({ params }) => params),
      [[], [b]],
    );
    assert.equal((await b.data())[0], 1);
  });

  it('in any program of steps, new variables and disposals the rest is averaged as alone', async () => {
    const program = fc.array(
      fc.constantFrom('step', 'step', 'new', 'dispose first', 'swap twice'),
      {
        minLength: 4,
        maxLength: 20,
      },
    );
    await fc.assert(
      fc.asyncProperty(program, async (commands) => {
        // float64: value and average of each, all halved by each step after the first two.
        const model: { v: tf.Variable; value: number; sum: number; count: number }[] = [];
        const swa = new SWA(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 });
        const make = (): void => {
          const value = 1 << (10 + model.length);
          const v = tf.tidy(() => tf.variable(tf.scalar(value)));
          model.push({ v, value, sum: 0, count: 0 });
        };
        make();
        await warningsOf(async () => {
          for (const command of commands) {
            if (command === 'new') make();
            if (command === 'dispose first' && model.length > 1) model.shift()!.v.dispose();
            if (command === 'swap twice') for (let i = 0; i < 2; i++) swa.swapSwaSgd();
            if (command !== 'step') continue;
            const vs = model.map(({ v }) => v);
            swa.minimize(half(...vs), false, vs);
            for (const one of model) {
              one.value /= 2;
              one.sum += one.value;
              one.count += 1;
            }
          }
          swa.swapSwaSgd();
        });
        for (const { v, value, sum, count } of model) {
          assertClose(await v.data(), [count > 0 ? sum / count : value], 1e-6 * value + 1e-3);
        }
        swa.dispose();
        tf.dispose(model.map(({ v }) => v));
      }),
      { seed: 99, numRuns: shareOf(100) },
    );
  });
});

describe('an average that is refused', () => {
  it('leaves every group its step, and the others their average', async () => {
    const [a, b] = [variable([1, 2]), variable([3, 4])];
    const swa = sgd({
      swaStart: 0,
      swaFreq: 1,
      avgFn: finiteOnly(),
      paramGroups: [{ params: a }, { params: b }],
    });
    for (let i = 0; i < 2; i++) swa.minimize(half(a, b));
    tf.tidy(() => a.assign(tf.tensor1d([NaN, 1])));
    await assertFails(() => swa.minimize(half(a, b)), /^Refused an average of shape \[2\]/);
    assert.deepEqual(
      swa.paramGroups.map(({ step_counter, n_avg, optimizer }) => [
        step_counter,
        n_avg,
        optimizer.iterations,
      ]),
      [
        [3, 2, 3],
        [3, 3, 3],
      ],
    );
  });
});
