import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  AveragedModel,
  emaAvgFn,
  swaAvgFn,
  SWA,
  updateBn,
  type AveragedModelOptions,
  type AvgFn,
} from '../../lib/index.js';
import {
  assertClose,
  assertFails,
  disposeOwned,
  golden,
  own,
  quadratic,
  random,
  valuesOf,
  variable,
} from '../support/support.js';
import { shareOf } from '../support/backends.js';
import { freezable, netOf, nets, ownModel, randomizeNet, variablesOf } from '../support/nets.js';

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

  it('of variables averages every float32 one, and copies integers at each update', async () => {
    const trained = variable([2]);
    const state = variable([2], undefined, false);
    const counter = own(tf.tidy(() => tf.variable(tf.tensor1d([2], 'int32'), false)));
    const averaged = average([trained, state, counter]);
    for (const value of [4, 8]) {
      tf.tidy(() => {
        trained.assign(tf.tensor1d([value]));
        state.assign(tf.tensor1d([value]));
        counter.assign(tf.tensor1d([value], 'int32'));
      });
      averaged.updateParameters();
    }
    const read = async () => (await valuesOf(averaged.module)).flat();
    assert.deepEqual(await read(), [6, 6, 8]); // (4 + 8) / 2, and the last one
    assert.equal(averaged.module[2]!.dtype, 'int32');
    const other = [variable([0]), variable([0]), own(tf.variable(counter, false))];
    averaged.updateParameters(other);
    assert.deepEqual(await read(), [4, 4, 8]); // 6 + (0 - 6) / 3
  });

  it('of variables tells them by names that tell, and tfjs’s numbers by their places', async () => {
    const [a, b] = [variable([1], 'averaged/by name a'), variable([2], 'averaged/by name b')];
    const averaged = average([a, b]);
    averaged.updateParameters([b, a]);
    assert.deepEqual(await valuesOf(averaged.module), [[1], [2]]);
    const numbers = [variable([1]), variable([2])];
    assert.match(numbers.map(({ name }) => name).join(), /^\d+,\d+$/);
    const counted = average(numbers);
    counted.updateParameters([numbers[1]!, numbers[0]!]);
    assert.deepEqual(await valuesOf(counted.module), [[2], [1]]);
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

  describe('matches layer by layer', () => {
    /** What a model makes of two examples. */
    const outputs = async (model: tfl.LayersModel): Promise<number[]> => {
      const x = own(tf.tensor2d([[0.3, -0.8], [1.5, 0.1]])); // prettier-ignore
      return [...(await own(model.predict(x) as tf.Tensor).data())];
    };
    const toggles = fc.array(fc.tuple(fc.nat(9), fc.boolean()), { maxLength: 3 });
    const freeze = (model: tfl.LayersModel, list: [number, boolean][]): void => {
      const layers = freezable(model);
      for (const [index, trainable] of list) layers[index % layers.length]!.trainable = trainable;
    };

    it('in nets of every kind, whatever is frozen when: it predicts as the model', async () => {
      await fc.assert(
        fc.asyncProperty(
          nets,
          fc.array(toggles, { minLength: 6, maxLength: 6 }),
          async (parts, t) => {
            const model = netOf(parts);
            const averaged = average(model, { useBuffers: true });
            freeze(model, t[0]!);
            randomizeNet(model, 1);
            averaged.updateParameters();
            assert.deepEqual(await outputs(averaged.module), await outputs(model));
            freeze(model, t[1]!);
            const first = await valuesOf(variablesOf(model).sort(byName));
            randomizeNet(model, 2);
            averaged.updateParameters();
            freeze(model, t[2]!);
            const state = await averaged.stateDict();
            freeze(model, t[3]!);
            const other = average(model, { useBuffers: true });
            freeze(model, t[4]!);
            await other.loadStateDict(state);
            // The model, given the mean of its two values itself.
            const variables = variablesOf(model).sort(byName);
            const second = await valuesOf(variables);
            variables.forEach((v, i) =>
              tf.tidy(() => {
                const mean = first[i]!.map((value, k) => (value + second[i]![k]!) / 2);
                v.assign(tf.tensor(mean, v.shape));
              }),
            );
            const expected = await outputs(model);
            assertClose(await outputs(averaged.module), expected, 1e-5, 'averaged');
            assertClose(await outputs(other.module), expected, 1e-5, 'loaded');
            freeze(model, t[5]!);
            average(model).updateParameters(averaged.module);
            disposeOwned();
          },
        ),
        { numRuns: shareOf(60) },
      );
    });
    const byName = (a: tf.Variable, b: tf.Variable): number => (a.name < b.name ? -1 : 1);

    it('submodels with layers of one name of which one is frozen', async () => {
      const backbone = (): tfl.LayersModel => {
        const input = tfl.input({ shape: [2] });
        const layer = tfl.layers.dense({ units: 2, name: 'feat' });
        return tfl.model({ inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor });
      };
      const [a, b] = [backbone(), backbone()];
      const input = tfl.input({ shape: [2] });
      const outputs = [a, b].map((part) => part.apply(input) as tfl.SymbolicTensor);
      const model = ownModel(tfl.model({ inputs: input, outputs }));
      const fill = (part: tfl.LayersModel, value: number) =>
        tf.tidy(() => part.layers[1]!.setWeights([tf.fill([2, 2], value), tf.fill([2], value)]));
      fill(a, 1);
      fill(b, 7);
      a.trainable = false;
      const averaged = average(model);
      averaged.updateParameters();
      const kernels = () =>
        valuesOf([a, b].map((part) => (averaged.module.getLayer(part.name) as tfl.LayersModel).layers[1]!.getWeights()[0]!)); // prettier-ignore
      assert.deepEqual(await kernels(), [[1, 1, 1, 1], [7, 7, 7, 7]]); // prettier-ignore
      fill(a, 3);
      averaged.updateParameters();
      assert.deepEqual(await kernels(), [[2, 2, 2, 2], [7, 7, 7, 7]]); // prettier-ignore
    });

    it('what submodels share, which a copy has twice', async () => {
      const shared = tfl.layers.dense({ units: 2 });
      const tower = (): tfl.LayersModel => {
        const input = tfl.input({ shape: [2] });
        return tfl.model({ inputs: input, outputs: shared.apply(input) as tfl.SymbolicTensor });
      };
      const input = tfl.input({ shape: [2] });
      const outputs = [tower(), tower()].reduce<tfl.SymbolicTensor>((x, part) => part.apply(x) as tfl.SymbolicTensor, input); // prettier-ignore
      const model = ownModel(tfl.model({ inputs: input, outputs }));
      const averaged = average(model);
      randomizeNet(model, 1);
      averaged.updateParameters();
      const x = own(tf.ones([1, 2]));
      const [a, b] = await valuesOf([averaged.module, model].map((m) => own(m.predict(x) as tf.Tensor))); // prettier-ignore
      assert.deepEqual(a, b);
    });

    it('and refuses a model whose layers have changed, with their names', async () => {
      const make = (): tfl.Sequential =>
        tfl.sequential({
          layers: [
            tfl.layers.dense({ units: 2, inputShape: [2], name: 'body' }),
            tfl.layers.dense({ units: 1, name: 'head' }),
          ],
        });
      const model = ownModel(make());
      const averaged = average(model);
      averaged.updateParameters();
      const before = await averaged.stateDict();
      const changed = 'The model has other layers than when its AveragedModel was made';
      const added = tfl.layers.activation({ activation: 'relu', name: 'relu' });
      model.add(added);
      await assertFails(() => averaged.updateParameters(), `${changed}; new: layer relu`);
      model.pop();
      averaged.updateParameters();
      await averaged.loadStateDict(before);
      model.pop();
      const head = tfl.layers.dense({ units: 1, name: 'other' });
      model.add(head);
      for (const given of [undefined, model]) {
        await assertFails(
          () => averaged.updateParameters(given),
          `${changed}; gone: layer head, head/kernel, head/bias; ` +
            'new: layer other, other/kernel, other/bias',
        );
      }
      assert.deepEqual(await averaged.stateDict(), before);
      const unlike = ownModel(make());
      unlike.add(tfl.layers.dense({ units: 1, name: 'third' }));
      await assertFails(
        () => averaged.updateParameters(unlike),
        'The weights do not fit; unexpected: third/kernel, third/bias',
      );
      assert.deepEqual(await averaged.stateDict(), before);
    });

    it('leaves alone what a layer refers to outside of the model', async () => {
      const teacher = ownModel(models['Sequential']!());
      class Taught extends tfl.layers.Layer {
        static className = 'AveragedSpecTaught';
        readonly teacher = teacher;
      }
      tf.serialization.registerClass(Taught);
      const model = ownModel(
        tfl.sequential({
          layers: [tfl.layers.dense({ units: 1, inputShape: [3] }), new Taught({})],
        }),
      );
      const averaged = new AveragedModel(model);
      randomize(teacher, 1);
      const before = await values(teacher);
      averaged.updateParameters();
      averaged.updateParameters();
      assert.isTrue(teacher.weights.every((weight) => weight.trainable === !weight.name.includes('moving'))); // prettier-ignore
      assert.lengthOf((await averaged.stateDict()).module, 2);
      averaged.dispose();
      assert.deepEqual(await values(teacher), before);
    });
  });

  describe('is trained by nobody unasked', () => {
    const xs = [[1, 2], [3, -1]]; // prettier-ignore
    for (const [kind, listOf] of Object.entries({
      'a model': (model: tfl.LayersModel) => model,
      'a list': (model: tfl.LayersModel) => variablesOf(model),
    })) {
      for (const wrapped of [false, true]) {
        it(`as the teacher of ${kind}, by a minimize without a varList${wrapped ? ' of SWA' : ''}`, async () => {
          const model = ownModel(
            tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [2], kernelInitializer: 'ones' })] }), // prettier-ignore
          );
          const averaged = average(listOf(model) as tf.Variable[], { avgFn: emaAvgFn(0.9) });
          averaged.updateParameters();
          const teacher = averaged.module as unknown as tfl.LayersModel | tf.Variable[];
          const x = own(tf.tensor2d(xs));
          const taught = (): tf.Tensor =>
            Array.isArray(teacher)
              ? tf.add(tf.matMul(x, teacher[0]!), teacher[1]!)
              : (teacher.apply(x) as tf.Tensor);
          const variables = Array.isArray(teacher) ? teacher : variablesOf(teacher);
          const before = await valuesOf(variables);
          const base = own(tf.train.sgd(0.1));
          const optimizer = wrapped ? own(new SWA(base)) : base;
          const student = variablesOf(model);
          const start = await valuesOf(student);
          optimizer.minimize(() =>
            tf.mean(tf.square(tf.sub(tf.add(model.apply(x) as tf.Tensor, 1), taught()))),
          );
          assert.deepEqual(await valuesOf(variables), before);
          assert.notDeepEqual(await valuesOf(student), start);
        });
      }
    }

    it('and can be trained by who asks for it', async () => {
      const model = ownModel(models['Sequential']!());
      const averaged = average(model);
      const { module } = averaged;
      for (const weight of module.trainableWeights) weight.trainable = true;
      module.compile({ optimizer: own(tf.train.sgd(0.1)), loss: 'meanSquaredError' });
      const before = await values(module);
      const [x, y] = [own(tf.randomUniform([4, 3])), own(tf.ones([4, 2]))];
      await module.fit(x, y, { epochs: 1, verbose: 0 });
      const after = await values(module);
      const changed = after.map((weight, i) => weight.some((value, k) => value !== before[i]![k]));
      assert.isTrue(changed[0]);
    });
  });

  describe('and updateBn', () => {
    const norm = (): tfl.layers.Layer => tfl.layers.batchNormalization({ inputShape: [1] });
    const statistic = async (layer: tfl.layers.Layer, from: number): Promise<number> =>
      (await layer.getWeights().at(from)!.data())[0]!;
    const mean = (layer: tfl.layers.Layer): Promise<number> => statistic(layer, -2);
    const variance = (layer: tfl.layers.Layer): Promise<number> => statistic(layer, -1);

    it('re-estimates what is not frozen in the model at the moment, and nothing else', async () => {
      const [inner, other] = [tfl.sequential({ layers: [norm()] }), norm()];
      const model = ownModel(tfl.sequential({ layers: [inner, other] }));
      const averaged = average(model);
      averaged.updateParameters();
      const [copied, last] = averaged.module.layers as [tfl.LayersModel, tfl.layers.Layer];
      const batch = (value: number) => own(tf.fill([2, 1], value));
      inner.trainable = false; // not in the config of the model, and later than the copy
      await updateBn([batch(4)], averaged.module);
      assert.equal(await mean(copied.layers[0]!), 0);
      inner.trainable = true;
      await updateBn([batch(4)], averaged.module);
      assert.equal(await mean(copied.layers[0]!), 4);
      other.trainable = false;
      await updateBn([batch(6)], averaged.module);
      assert.equal(await mean(copied.layers[0]!), 6);
      assert.equal(await variance(last), 0); // of four and four, and frozen for the sixes
      copied.trainable = false; // the copy's own
      other.trainable = true;
      inner.trainable = true;
      await updateBn([own(tf.tensor2d([[8], [9]]))], averaged.module);
      assert.equal(await mean(copied.layers[0]!), 6);
      assertClose([await variance(last)], [1], 0.01); // of -1 and 1, nearly
      assert.equal(await mean(inner.layers[0]!), 0); // the model's are its own
    });

    it('re-estimates in a copy that was made of frozen layers and is not any more', async () => {
      const layer = tfl.layers.batchNormalization({ inputShape: [1], trainable: false });
      const model = ownModel(tfl.sequential({ layers: [layer] }));
      const averaged = average(model);
      await updateBn([own(tf.fill([2, 1], 4))], averaged.module);
      assert.equal(await mean(averaged.module.layers[0]!), 0);
      layer.trainable = true;
      await updateBn([own(tf.fill([2, 1], 4))], averaged.module);
      assert.equal(await mean(averaged.module.layers[0]!), 4);
    });
  });

  describe('state', () => {
    const make = (avgFn: AvgFn, values: number[]) => {
      const list = values.map((value, i) => variable([value], `averaged/state ${i}`));
      return { list, averaged: average(list, { avgFn }) };
    };

    it('says how it was averaged, and is refused to another way, unless asked', async () => {
      const { averaged, list } = make(emaAvgFn(0.99), [1]);
      averaged.updateParameters();
      const state = await averaged.stateDict();
      assert.equal(state.avg_fn, 'ema(decay 0.99)');
      tf.tidy(() => list[0]!.assign(tf.tensor1d([9])));
      const equal = average(list, { avgFn: swaAvgFn() });
      await assertFails(
        () => equal.loadStateDict(state),
        'The state was averaged with ema(decay 0.99), this AveragedModel averages with swa; ' +
          "to take it over all the same, load it with {avgFn: 'keep'}",
      );
      assert.equal(equal.nAveraged, 0);
      assert.deepEqual(await valuesOf(equal.module), [[9]]);
      await equal.loadStateDict(state, { avgFn: 'keep' });
      assert.deepEqual(await valuesOf(equal.module), [[1]]);
      equal.updateParameters();
      assert.deepEqual(await valuesOf(equal.module), [[5]]); // 1 + (9 - 1) / 2
      assert.equal((await equal.stateDict()).avg_fn, 'swa');
    });

    for (const [kind, avgFn] of Object.entries<AvgFn>({
      swa: swaAvgFn(),
      'ema(decay 0.999)': emaAvgFn(),
      'ema(decay 0.5, warmup)': emaAvgFn(0.5, { warmup: true }),
      own: (_, current) => current,
    })) {
      it(`calls it ${kind}`, async () => {
        assert.equal((await make(avgFn, [1]).averaged.stateDict()).avg_fn, kind);
      });
    }

    it('is a copy, of the moment of the call', async () => {
      const { averaged, list } = make(swaAvgFn(), [1]);
      averaged.updateParameters();
      tf.tidy(() => list[0]!.assign(tf.tensor1d([5])));
      const saving = averaged.stateDict();
      averaged.updateParameters();
      const state = await saving;
      assert.deepEqual([...state.module[0]!.values], [1]);
      assert.deepEqual(await valuesOf(averaged.module), [[3]]);
      state.module[0]!.values[0] = 7;
      (await averaged.stateDict()).module[0]!.values[0] = 6;
      assert.deepEqual(await valuesOf(averaged.module), [[3]]);
      await averaged.loadStateDict(state);
      state.module[0]!.values[0] = 8;
      assert.deepEqual(await valuesOf(averaged.module), [[7]]);
    });

    it('taken by name alone: what fits, and a report; the rest begins its average later', async () => {
      const [kept, shaped] = [variable([1], 'averaged/kept'), variable([1, 2], 'averaged/shaped')];
      const gone = variable([1], 'averaged/gone');
      const old = average([kept, shaped, gone]);
      for (let i = 0; i < 3; i++) old.updateParameters();
      const state = await old.stateDict();
      shaped.dispose();
      const reshaped = variable([5], 'averaged/shaped');
      const [fresh, unnamed] = [variable([10], 'averaged/fresh'), variable([10])];
      const averaged = average([fresh, kept, reshaped, unnamed]);
      await assertFails(() => averaged.loadStateDict(state), /^The weights do not fit; missing: /);
      assert.equal(averaged.nAveraged, 0);
      const report = await averaged.loadStateDict(state, { strict: false });
      assert.deepEqual(report, {
        missing: ['averaged/fresh', unnamed.name],
        unexpected: ['averaged/gone'],
        mismatched: ['averaged/shaped'],
      });
      assert.equal(averaged.nAveraged, 3);
      assert.deepEqual(await valuesOf(averaged.module), [[10], [1], [5], [10]]);
      tf.tidy(() => [fresh, kept].forEach((v) => v.assign(tf.tensor1d([20]))));
      averaged.updateParameters();
      // 1 + (20 - 1) / 4 = 5.75; the fresh one begins with this value.
      assert.deepEqual((await valuesOf(averaged.module)).slice(0, 2), [[20], [5.75]]);
      tf.tidy(() => fresh.assign(tf.tensor1d([30])));
      // Resumed here, it goes on the same.
      const resumed = average([fresh, kept, reshaped, unnamed]);
      const middle = await averaged.stateDict();
      assert.deepEqual(middle.starts, [3, 0, 3, 3]);
      const { missing, unexpected, mismatched } = await resumed.loadStateDict(middle);
      assert.deepEqual([missing, unexpected, mismatched], [[], [], []]);
      for (const each of [averaged, resumed]) {
        each.updateParameters();
        // (20 + 30) / 2 = 25; 5.75 + (20 - 5.75) / 5 = 8.6
        assertClose((await valuesOf(each.module)).slice(0, 2).flat(), [25, 8.6], 1e-6);
        assert.equal(each.nAveraged, 5);
      }
    });

    it('with averages that began at several times: a function that fails changes none', async () => {
      const [a, b] = [variable([1], 'averaged/early'), variable([1], 'averaged/late')];
      let calls = 0;
      const avgFn: AvgFn = (averaged, current) => {
        if (++calls === 3) throw new Error('second');
        return tf.add(averaged, current);
      };
      const averaged = average([a, b], { avgFn });
      const [only] = (await averaged.stateDict()).module;
      const early = { n_averaged: 1, avg_fn: 'own', module: [only!] };
      await averaged.loadStateDict(early, { strict: false });
      averaged.updateParameters(); // takes a, copies b
      assert.equal(calls, 1);
      const before = await averaged.stateDict();
      await assertFails(() => averaged.updateParameters(), 'second');
      assert.deepEqual(await averaged.stateDict(), before);
      averaged.updateParameters();
      assert.deepEqual(await valuesOf(averaged.module), [[3], [2]]);
    });

    it('and options that make no sense are refused', async () => {
      const { averaged } = make(swaAvgFn(), [1]);
      const state = await averaged.stateDict();
      const refused = (given: object, options: object, message: string) =>
        assertFails(() => averaged.loadStateDict({ ...state, ...given }, options), message);
      await refused({}, { strict: 0 }, 'Invalid strict: 0 (expected a boolean)');
      await refused({}, { avgFn: 'swa' }, 'Invalid avgFn: "swa" (expected \'keep\' or nothing)');
      await refused({}, { keep: 1 }, 'Unknown option keep (known ones: avgFn, strict)');
      await refused(
        { avg_fn: undefined },
        {},
        'Invalid state.avg_fn: undefined (expected a string)',
      );
      const starts = 'for each weight an integer from 0 to n_averaged';
      await refused({ starts: [1] }, {}, `Invalid state.starts: a list of 1 (expected ${starts})`);
      await refused({ starts: [] }, {}, `Invalid state.starts: a list of 0 (expected ${starts})`);
    });
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
          { n_averaged: 1, avg_fn: 'swa', module: [] },
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
      await assertFails(
        () => averaged.loadStateDict({ n_averaged: 0, avg_fn: 'swa', module: [] }),
        disposed,
      );
    });

    it('a list of variables cannot predict', async () => {
      const averaged = average([variable([1])]);
      const x = own(tf.ones([1]));
      await assertFails(() => averaged.predict(x), 'A list of variables has no predict()');
      await assertFails(() => averaged.apply(x), 'A list of variables has no apply()');
    });
  });
});
