import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import {
  AveragedModel,
  emaAvgFn,
  updateBn,
  type AveragedModelOptions,
  type AvgFn,
} from '../../lib/index.js';
import {
  assertClose,
  assertFails,
  golden,
  own,
  quadratic,
  random,
  valuesOf,
  variable,
} from '../support/support.js';

/** An AveragedModel that is disposed after the spec. */
const average = <M extends tfl.LayersModel | tf.Variable[]>(
  model: M,
  options?: AveragedModelOptions,
): AveragedModel<M> => own(new AveragedModel<M>(model, options));

/** Sets every weight of a model to seeded numbers. */
function randomize(model: tfl.LayersModel, seed: number): void {
  const next = random(seed);
  tf.tidy(() => {
    const weights = model
      .getWeights()
      .map(({ shape, size }) => tf.tensor(Float32Array.from({ length: size }, next), shape));
    model.setWeights(weights);
  });
}

/** Disposed after the spec; also the shared layers, which tfjs-layers forgets. */
function ownModel(model: tfl.LayersModel): tfl.LayersModel {
  own({
    dispose() {
      const weights = model.weights.map((weight) => weight.read());
      model.dispose();
      for (const weight of weights) if (!weight.isDisposed) weight.dispose();
    },
  });
  return model;
}

const values = (model: tfl.LayersModel): Promise<number[][]> => valuesOf(model.getWeights());

/** Models of every make, each with batch normalization; inputs of width 3, outputs of width 2. */
const models: Record<string, () => tfl.LayersModel> = {
  Sequential: () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 4, inputShape: [3] }),
        tfl.layers.batchNormalization(),
        tfl.layers.dense({ units: 2 }),
      ],
    }),
  functional: () => {
    const input = tfl.input({ shape: [3] });
    const hidden = tfl.layers.dense({ units: 4 }).apply(input) as tfl.SymbolicTensor;
    const normed = tfl.layers.batchNormalization().apply(hidden) as tfl.SymbolicTensor;
    const both = tfl.layers.add().apply([hidden, normed]) as tfl.SymbolicTensor;
    const output = tfl.layers.dense({ units: 2 }).apply(both) as tfl.SymbolicTensor;
    return tfl.model({ inputs: input, outputs: output });
  },
  'a model in a model in a model': () => {
    const inner = tfl.sequential({
      layers: [tfl.layers.dense({ units: 4, inputShape: [3] }), tfl.layers.batchNormalization()],
    });
    const middle = tfl.sequential({ layers: [inner, tfl.layers.dense({ units: 3 })] });
    return tfl.sequential({ layers: [middle, tfl.layers.dense({ units: 2 })] });
  },
  'models whose layers have the same names': () => {
    const part = (units: number): tfl.LayersModel => {
      const input = tfl.input({ shape: [3] });
      const dense = tfl.layers.dense({ units, name: 'same' });
      return tfl.model({ inputs: input, outputs: dense.apply(input) as tfl.SymbolicTensor });
    };
    const input = tfl.input({ shape: [3] });
    const first = part(3).apply(input) as tfl.SymbolicTensor;
    const normed = tfl.layers.batchNormalization().apply(first) as tfl.SymbolicTensor;
    return tfl.model({ inputs: input, outputs: part(2).apply(normed) as tfl.SymbolicTensor });
  },
  'a shared layer': () => {
    const [a, b] = [tfl.input({ shape: [3] }), tfl.input({ shape: [3] })];
    const shared = tfl.layers.dense({ units: 4 });
    const sum = tfl.layers
      .add()
      .apply([a, b].map((x) => shared.apply(x) as tfl.SymbolicTensor)) as tfl.SymbolicTensor;
    const normed = tfl.layers.batchNormalization().apply(sum) as tfl.SymbolicTensor;
    const output = tfl.layers.dense({ units: 2 }).apply(normed) as tfl.SymbolicTensor;
    return tfl.model({ inputs: [a, b], outputs: output });
  },
};

describe('AveragedModel', () => {
  describe('equals the traces of torch', () => {
    const avgFns: Record<string, AvgFn | undefined> = {
      averaged_model_equal: undefined,
      'averaged_model_ema_0.99': emaAvgFn(0.99),
      // The example of torch's documentation: 0.1 averaged + 0.9 current.
      averaged_model_ema_doc: (averaged, current) =>
        tf.add(tf.mul(0.1, averaged), tf.mul(0.9, current)),
    };
    for (const [name, avgFn] of Object.entries(avgFns)) {
      it(name, async () => {
        const data = golden(name);
        const { x, y, loss } = quadratic(data.problem);
        const optimizer = own(tf.train.momentum(data.optimizer.lr, data.optimizer.momentum));
        const averaged = average([x, y], avgFn && { avgFn });
        for (const row of data.trace) {
          optimizer.minimize(loss, false, [x, y]);
          if (row.step > data.update_after_step) averaged.updateParameters();
          assert.equal(averaged.nAveraged, row.n_averaged);
          assertClose(await x.data(), row.x.values, 1e-5, 'x');
          assertClose(await averaged.module[0]!.data(), row.averaged_x.values, 1e-5, 'averaged x');
          const averagedY = row.averaged_y.values.flat();
          assertClose(await averaged.module[1]!.data(), averagedY, 1e-5, 'averaged y');
        }
        tf.dispose((optimizer as never)['c']);
      });
    }
  });

  for (const [name, make] of Object.entries(models)) {
    describe(`of ${name}`, () => {
      it('is a copy with weights of its own; the model is never touched', async () => {
        const model = ownModel(make());
        randomize(model, 1);
        const before = await values(model);
        const averaged = average(model);
        assert.deepEqual(await values(averaged.module), before);
        assert.notEqual(averaged.module, model);
        const mine = new Set(model.weights.map((weight) => weight.read()));
        assert.isFalse(averaged.module.weights.some((weight) => mine.has(weight.read())));
        randomize(model, 2);
        assert.deepEqual(await values(averaged.module), before);
        averaged.updateParameters();
        randomize(averaged.module, 3);
        randomize(model, 4);
        const after = await values(model);
        averaged.updateParameters();
        assert.deepEqual(await values(model), after);
      });

      it('averages its weights, as sums kept by hand in float64', async () => {
        for (const useBuffers of [false, true]) {
          const model = ownModel(make());
          const averaged = average(model, { useBuffers });
          const sums = (await values(model)).map((weight) => weight.map(() => 0));
          for (let seed = 1; seed <= 5; seed++) {
            randomize(model, seed);
            averaged.updateParameters();
            (await values(model)).forEach((w, i) =>
              w.forEach((value, j) => (sums[i]![j]! += value)),
            );
          }
          assert.equal(averaged.nAveraged, 5);
          const last = await values(model);
          const moving = model.weights.map(({ name: weight }) => weight.includes('moving'));
          assert.lengthOf(moving.filter(Boolean), 2);
          (await values(averaged.module)).forEach((weight, i) => {
            if (moving[i] && !useBuffers) assert.deepEqual(weight, last[i]);
            else assertClose(weight, sums[i]!.map((sum) => sum / 5), 1e-6); // prettier-ignore
          });
        }
      });

      it('predicts with the averages, and leaves no tensor', async () => {
        const model = ownModel(make());
        const averaged = average(model);
        randomize(model, 1);
        averaged.updateParameters();
        const one = own(tf.ones([5, 3]));
        const input = model.inputs.length === 2 ? [one, one] : one;
        const expected = await own(model.predict(input) as tf.Tensor).data();
        randomize(model, 2);
        const { numTensors } = tf.memory();
        averaged.updateParameters();
        assert.equal(tf.memory().numTensors, numTensors);
        randomize(averaged.module, 1);
        const predicted = own(averaged.predict(input, { batchSize: 2 }) as tf.Tensor);
        assertClose(await predicted.data(), expected, 1e-6);
        const applied = own(averaged.apply(input) as tf.Tensor);
        assertClose(await applied.data(), expected, 1e-6);
      });

      it('saves plain data and loads it into another', async () => {
        const model = ownModel(make());
        const averaged = average(model, { useBuffers: true });
        for (const seed of [1, 2]) {
          randomize(model, seed);
          averaged.updateParameters();
        }
        const state = structuredClone(await averaged.stateDict());
        assert.equal(state.n_averaged, 2);
        const other = average(ownModel(make()), { useBuffers: true });
        await other.loadStateDict(state);
        assert.deepEqual(await values(other.module), await values(averaged.module));
        randomize(model, 3);
        averaged.updateParameters();
        other.updateParameters(model); // of another model object, by name or by position
        assert.deepEqual(await values(other.module), await values(averaged.module));
        assert.equal(other.nAveraged, 3);
      });

      it('is freed by dispose, all of it', () => {
        const model = ownModel(make());
        const { numTensors, numBytes } = tf.memory();
        const averaged = new AveragedModel(model);
        averaged.updateParameters();
        averaged.dispose();
        assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
        assert.isFalse(model.weights.some((weight) => weight.read().isDisposed));
      });
    });
  }

  it('averages what is frozen at the moment too, and copies what is never trained', async () => {
    const model = ownModel(models['Sequential']!());
    randomize(model, 1);
    const averaged = average(model);
    averaged.updateParameters();
    model.layers[0]!.trainable = false; // reorders model.weights
    const kernel = model.layers[0]!.weights[0]!.read() as tf.Variable;
    const first = (await kernel.data())[0]!;
    tf.tidy(() => kernel.assign(tf.add(kernel, 2)));
    averaged.updateParameters();
    assertClose(
      [(await averaged.module.layers[0]!.weights[0]!.read().data())[0]!],
      [first + 1],
      1e-6,
    );
  });

  it('tells layers of the same name apart after one was frozen', async () => {
    const part = () =>
      tfl.sequential({
        layers: [tfl.layers.dense({ units: 3, inputShape: [3], useBias: false, name: 'same' })],
      });
    const [first, second] = [part(), part()];
    const [a, b] = [tfl.input({ shape: [3] }), tfl.input({ shape: [3] })];
    const model = ownModel(
      tfl.model({
        inputs: [a, b],
        outputs: [first.apply(a) as tfl.SymbolicTensor, second.apply(b) as tfl.SymbolicTensor],
      }),
    );
    randomize(model, 1);
    const averaged = average(model);
    first.layers[0]!.trainable = false; // now behind the other in model.weights
    averaged.updateParameters(model);
    const kernels = async (from: tfl.LayersModel) =>
      await Promise.all(
        from.layers
          .flatMap(({ weights }) => weights)
          .map(async (weight) =>
            [weight.name.replace(/\D+/g, ''), ...(await weight.read().data())].slice(1),
          ),
      );
    assert.deepEqual(await kernels(averaged.module), await kernels(model));
  });

  it('of variables copies integers and non-trainable ones at each update', async () => {
    const trained = variable([2]);
    const state = variable([2], undefined, false);
    const counter = own(tf.tidy(() => tf.variable(tf.tensor1d([2], 'int32'), false)));
    const plain = average([trained, state, counter]);
    const all = average([trained, state, counter], { useBuffers: true });
    for (const value of [4, 8]) {
      tf.tidy(() => {
        trained.assign(tf.tensor1d([value]));
        state.assign(tf.tensor1d([value]));
        counter.assign(tf.tensor1d([value], 'int32'));
      });
      plain.updateParameters();
      all.updateParameters();
    }
    const read = async ({ module }: { module: tf.Variable[] }) => (await valuesOf(module)).flat();
    assert.deepEqual(await read(plain), [6, 8, 8]);
    assert.deepEqual(await read(all), [6, 6, 8]);
    assert.equal(plain.module[2]!.dtype, 'int32');
    const other = [variable([0]), variable([0]), own(tf.variable(counter, false))];
    plain.updateParameters(other);
    assert.deepEqual(await read(plain), [4, 0, 8]);
  });

  it('has its statistics re-estimated by updateBn, the model its own', async () => {
    const model = ownModel(models['Sequential']!());
    const averaged = average(model);
    averaged.updateParameters();
    const before = await values(model);
    const data = own(tf.tidy(() => tf.mul(tf.reshape(tf.range(0, 30), [10, 3]), 0.1)));
    await updateBn([data], averaged.module);
    assert.deepEqual(await values(model), before);
    const moved = await averaged.module.layers[1]!.getWeights()[2]!.data();
    const [kernel] = averaged.module.layers[0]!.getWeights();
    // The mean over the examples of x W (the bias is 0): x has the means 1.35, 1.45, 1.55
    const w = (await kernel!.array()) as number[][];
    const expected = [0, 1, 2, 3].map(
      (j) => 1.35 * w[0]![j]! + 1.45 * w[1]![j]! + 1.55 * w[2]![j]!,
    );
    assertClose(moved, expected, 1e-5);
  });

  describe('mistakes', () => {
    it('a model that is none, has no weights, or is disposed', async () => {
      const neither = (model: unknown, message: string | RegExp) =>
        assertFails(() => new AveragedModel(model as tf.Variable[]), message);
      await neither(
        {},
        'Invalid model: an object (expected a tfjs-layers model or a list of variables)',
      );
      await neither(null, /^Invalid model: null/);
      await neither([1], 'Invalid model[0]: 1 (expected a tf.Variable)');
      await neither([], 'The model has no weights yet: build it first');
      await neither(tfl.sequential(), 'The model has no weights yet: build it first');
      const gone = variable([1], 'averaged/gone');
      gone.dispose();
      await neither([gone], 'Variable averaged/gone is disposed');
    });

    it('options that make no sense', async () => {
      const v = variable([1]);
      const refused = (options: object, message: string) =>
        assertFails(() => new AveragedModel([v], options), message);
      await refused({ avgFn: 0.99 }, 'Invalid avgFn: 0.99 (expected a function)');
      await refused({ useBuffers: 1 }, 'Invalid useBuffers: 1 (expected a boolean)');
      await refused({ decay: 1 }, 'Unknown option decay (known ones: avgFn, useBuffers)');
    });

    it('other weights: an error that lists them, and nothing has changed', async () => {
      const [a, b] = [variable([1], 'averaged/a'), variable([1, 2], 'averaged/b')];
      const averaged = average([a, b]);
      averaged.updateParameters();
      const before = await averaged.stateDict();
      const [c, d] = [variable([5], 'averaged/c'), variable([5], 'averaged/d')];
      await assertFails(
        () => averaged.updateParameters([a]),
        'The weights do not fit; missing: averaged/b',
      );
      await assertFails(
        () => averaged.updateParameters([c, d]),
        'The weights do not fit; of the wrong shape or value: averaged/b (float32 [1], not float32 [2])',
      );
      const state = structuredClone(before);
      state.module[1]!.shape = [2, 1];
      await assertFails(
        () => averaged.loadStateDict(state),
        /of the wrong shape or value: averaged\/b \(float32 \[2,1\]/,
      );
      for (const [broken, message] of [
        [null, /^Invalid state.n_averaged: undefined \(expected an integer >= 0\)$/],
        [{ n_averaged: -1, module: [] }, /^Invalid state.n_averaged: -1 /],
        [{ n_averaged: 1 }, /^Invalid state.module: undefined \(expected a list of tensor data\)$/],
        [{ n_averaged: 1, module: [{}] }, /^Invalid state.module\[0\].name: undefined /],
        [
          { n_averaged: 1, module: [] },
          /^The weights do not fit; missing: averaged\/a, averaged\/b$/,
        ],
      ] as const) {
        await assertFails(() => averaged.loadStateDict(broken as never), message);
      }
      b.dispose();
      await assertFails(() => averaged.updateParameters(), 'Variable averaged/b is disposed');
      assert.deepEqual(await averaged.stateDict(), before);
    });

    it('a state from before the first update is no mistake', async () => {
      const v = variable([1]);
      const averaged = average([v]);
      const start = await averaged.stateDict();
      averaged.updateParameters();
      await averaged.loadStateDict(start);
      assert.equal(averaged.nAveraged, 0);
    });

    it('a function that fails changes nothing, not even what is only copied', async () => {
      const [a, b] = [variable([1]), variable([1], undefined, false)];
      const boom = (): never => {
        throw new Error('boom');
      };
      const averaged = average([a, b], { avgFn: boom });
      averaged.updateParameters();
      const before = await averaged.stateDict();
      tf.tidy(() => b.assign(tf.tensor1d([9])));
      await assertFails(() => averaged.updateParameters(), 'boom');
      assert.deepEqual(await averaged.stateDict(), before);
    });

    it('any use after dispose; a second dispose does nothing', async () => {
      const averaged = new AveragedModel(ownModel(models['Sequential']!()));
      averaged.dispose();
      averaged.dispose();
      const disposed = 'This AveragedModel has been disposed';
      const x = own(tf.ones([1, 3]));
      await assertFails(() => averaged.updateParameters(), disposed);
      await assertFails(() => averaged.predict(x), disposed);
      await assertFails(() => averaged.apply(x), disposed);
      await assertFails(() => averaged.stateDict(), disposed);
      await assertFails(() => averaged.loadStateDict({ n_averaged: 0, module: [] }), disposed);
    });

    it('a list of variables cannot predict', async () => {
      const averaged = average([variable([1])]);
      const x = own(tf.ones([1]));
      await assertFails(() => averaged.predict(x), 'A list of variables has no predict()');
      await assertFails(() => averaged.apply(x), 'A list of variables has no apply()');
    });
  });
});
