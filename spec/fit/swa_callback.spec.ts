import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { SWA, swaCallback, type SwaCallbackOptions } from '../../lib/index.js';
import {
  type Callbacks,
  EXAMPLES,
  points,
  data,
  dataset,
  bare,
  net,
  values,
  trained,
  recorder,
  meanOf,
  assertWeights,
  hiddenMoments,
  batchMeanMoments,
  movingOf,
  ratesOf,
  saidBy,
  owning,
  FIT,
  stopAfter,
} from '../support/fitted.js';
import {
  assertClose,
  assertFails,
  golden,
  OPTIMIZERS,
  own,
  variable,
  warningsOf,
} from '../support/support.js';

describe('swaCallback', () => {
  describe('equals the traces of keras-swa', () => {
    for (const [name, trace] of Object.entries(golden('keras_swa'))) {
      it(name, async () => {
        // eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON of many shapes
        const { epochs, steps_per_epoch: steps, init_lr, options, ...rows } = trace as any;
        const optimizer = own(tf.train.sgd(init_lr as number));
        const weight = variable([0, 0]);
        const model = { weights: [{ read: () => weight }], optimizer, stopTraining: false };
        const callback = swaCallback(model, {
          startEpoch: options.start_epoch,
          lrSchedule: options.lr_schedule,
          swaLr: options.swa_lr,
          swaLr2: options.swa_lr2,
          swaFreq: options.swa_freq,
        });
        callback.setParams({ epochs, steps });
        await callback.onTrainBegin();
        for (let epoch = 0; epoch < epochs; epoch++) {
          await callback.onEpochBegin(epoch);
          for (let batch = 0; batch < steps; batch++) {
            await callback.onBatchBegin(batch);
            const { learningRate } = optimizer as unknown as { learningRate: number };
            assertClose([learningRate], [rows.lr_per_batch[epoch][batch]], 1e-7, `rate ${epoch}`);
            await callback.onBatchEnd(batch);
          }
          tf.tidy(() => weight.assign(tf.tensor1d(rows.weights_per_epoch[epoch])));
          await callback.onEpochEnd(epoch);
        }
        await callback.onTrainEnd();
        assertClose(await weight.data(), rows.final_weights, 1e-6, 'final weights');
      });
    }
  });

  describe('in fit and fitDataset', () => {
    const ways: Record<string, (model: tfl.Sequential, callbacks: Callbacks) => Promise<unknown>> =
      {
        'fit with validation data': async (model, callbacks) => {
          const { x, y } = data();
          return model.fit(x, y, { ...FIT, epochs: 8, validationData: [x, y], callbacks });
        },
        'fit with a validation split': async (model, callbacks) => {
          const x = own(tf.tensor2d([...points.x, [0, 0], [1, 1]]));
          const y = own(tf.tensor2d([...points.y, [0], [1]]));
          const validationSplit = 2 / 12;
          return model.fit(x, y, { ...FIT, epochs: 8, validationSplit, callbacks });
        },
        fitDataset: async (model, callbacks) =>
          model.fitDataset(dataset(), { epochs: 8, verbose: 0, callbacks }),
        'fitDataset with validation data and batchesPerEpoch': async (model, callbacks) =>
          model.fitDataset(dataset().repeat(), {
            epochs: 8,
            batchesPerEpoch: 3,
            validationData: dataset(),
            verbose: 0,
            callbacks,
          }),
      };
    for (const [name, way] of Object.entries(ways)) {
      for (const order of ['before', 'after', 'before, as they are,', 'after, as they are,']) {
        it(`${name}, listed ${order} another callback`, async () => {
          const model = net();
          const other = recorder(model);
          const swa = swaCallback(model, { startEpoch: 3, swaFreq: 2 });
          const momentum = () => (model.layers[1] as unknown as { momentum: number }).momentum;
          // A list whose first element is tfjs's own callback is taken as it is.
          const early = tfl.callbacks.earlyStopping({ monitor: 'loss', patience: 100 });
          const asTheyAre = new (class extends tfl.Callback {
            override onEpochEnd = other.onEpochEnd;
          })();
          const lists: Record<string, Callbacks> = {
            before: [swa, other],
            after: [other, swa],
            'before, as they are,': [early, swa, asTheyAre],
            'after, as they are,': [early, asTheyAre, swa],
          };
          assert.deepEqual(await warningsOf(() => way(model, lists[order]!)), []);
          // Of the epochs 3, 5 and 7 (the 8th is the forward pass)
          assertWeights(await trained(model), meanOf(other.weights, [3, 5, 7]));
          assertWeights(other.weights.get(8)!, await trained(model), 0);
          assertWeights(await movingOf(model), await batchMeanMoments(model), 1e-5);
          assert.equal(momentum(), 0.7);
        });
      }
    }

    it('averages the last epoch too without batch normalization, or with bnData', async () => {
      for (const bn of [false, true]) {
        const model = net(undefined, bn);
        const { x, y } = data();
        const other = recorder(model);
        const swa = swaCallback(model, { startEpoch: 4, ...(bn && { bnData: [x] }) });
        const run = { ...FIT, epochs: 6, callbacks: [other, swa] };
        assert.deepEqual(await warningsOf(() => model.fit(x, y, run)), []);
        assertWeights(await trained(model), meanOf(other.weights, [4, 5, 6]));
      }
    });

    it('re-estimates the statistics of all examples with bnData, however they are cut', async () => {
      const { x, y } = data();
      const stream = async function* () {
        yield tf.slice(x, 0, 3);
        yield [tf.slice(x, 3), 'unread'];
      };
      for (const bnData of [[x], dataset(), owning(stream())]) {
        const model = net();
        const swa = swaCallback(model, { startEpoch: 2, bnData });
        await model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa });
        assertWeights(await movingOf(model), await hiddenMoments(model, 0, EXAMPLES), 1e-6);
      }
    });

    it('takes the first statistics of the forward pass exactly, however small', async () => {
      const model = net();
      const { x, y } = data();
      // Inputs so close together that each variance is about 1e-8, below what 1 - (1 - v) keeps.
      const close = own(tf.tidy(() => tf.add(1, tf.mul(x, 1e-4))));
      const swa = swaCallback(model, { startEpoch: 2 });
      await model.fit(close, y, { ...FIT, batchSize: 16, epochs: 3, callbacks: swa });
      const hidden = own(model.layers[0]!.apply(close) as tf.Tensor);
      const { mean, variance } = tf.tidy(() => tf.moments(hidden, 0));
      const [movingMean, movingVariance] = await movingOf(model);
      assertClose(movingMean!, await own(mean).data(), 1e-6);
      const expected = await own(variance).data();
      const ratio = movingVariance!.map((v, j) => v / expected[j]!);
      assertClose(ratio, [1, 1, 1], 1e-3);
    });

    it('changes the momentum of a layer within the batches of the forward pass alone', async () => {
      const { x, y } = data();
      const model = net();
      const layer = model.layers[1] as unknown as { momentum: number };
      const seen: number[] = [];
      const note = async (): Promise<void> => void seen.push(layer.momentum);
      const set = async (epoch: number): Promise<void> => {
        layer.momentum = [0.5, 0.6, 0.8][epoch]!;
      };
      const other = { onBatchBegin: note, onBatchEnd: note, onEpochEnd: set };
      const swa = swaCallback(model, { startEpoch: 2 });
      await model.fit(x, y, { ...FIT, epochs: 3, callbacks: [swa, other] });
      // The n-th batch keeps (n - 1) / n
      assert.deepEqual(seen.slice(12), [0, 0.6, 1 / 2, 0.6, 2 / 3, 0.6]);
      assert.equal(layer.momentum, 0.8); // what was set after it
    });

    it('of a functional model with batch normalization in a model inside', async () => {
      const inner = tfl.sequential({
        layers: [
          tfl.layers.dense({ units: 3, inputShape: [2], activation: 'tanh' }),
          tfl.layers.batchNormalization(),
        ],
      });
      const input = tfl.input({ shape: [2] });
      const output = tfl.layers.dense({ units: 1 }).apply(inner.apply(input));
      const model = own(tfl.model({ inputs: input, outputs: output as tfl.SymbolicTensor }));
      model.compile({ optimizer: bare(tf.train.sgd(0.1)), loss: 'meanSquaredError' });
      const { x, y } = data();
      const other = recorder(model);
      const swa = swaCallback(model, { startEpoch: 2 });
      await model.fit(x, y, { ...FIT, epochs: 5, callbacks: [swa, other] });
      assertWeights(await trained(model), meanOf(other.weights, [2, 3, 4]));
      assertWeights(await movingOf(inner), await batchMeanMoments(inner), 1e-5);
    });

    it('leaves a frozen layer its statistics, averaged, and runs no forward pass for it', async () => {
      const model = net();
      model.layers[1]!.trainable = false;
      model.compile({ optimizer: bare(tf.train.sgd(0.1)), loss: 'meanSquaredError' });
      const { x, y } = data();
      const other = recorder(model);
      const moving: number[][][] = [];
      const note = { onEpochEnd: async () => void moving.push(await movingOf(model)) };
      const callbacks = [other, note, swaCallback(model, { startEpoch: 2 })];
      await model.fit(x, y, { ...FIT, epochs: 4, callbacks });
      assertWeights(await trained(model), meanOf(other.weights, [2, 3, 4]));
      const mean = [0, 1].map((k) =>
        moving[0]![k]!.map(
          (_, j) => (moving[1]![k]![j]! + moving[2]![k]![j]! + moving[3]![k]![j]!) / 3,
        ),
      );
      assertWeights(await movingOf(model), mean);
    });

    it('a layer that is applied twice takes its last value of the first batch', async () => {
      // A spec of the limit in the docstring: with one batch the second place is all that counts.
      const input = tfl.input({ shape: [2] });
      const norm = tfl.layers.batchNormalization();
      const twice = norm.apply(norm.apply(input));
      const output = tfl.layers.dense({ units: 1 }).apply(twice) as tfl.SymbolicTensor;
      const model = tfl.model({ inputs: input, outputs: output });
      own({
        dispose() {
          const weights = model.weights.map((weight) => weight.read());
          model.dispose();
          for (const weight of weights) if (!weight.isDisposed) weight.dispose();
        },
      });
      model.compile({ optimizer: bare(tf.train.sgd(0.01)), loss: 'meanSquaredError' });
      const { x, y } = data();
      const swa = swaCallback(model, { startEpoch: 2 });
      await model.fit(x, y, { ...FIT, batchSize: 16, epochs: 3, callbacks: swa });
      const [gamma, beta, mean] = await Promise.all(
        norm.getWeights().map(async (weight) => [...(await weight.data())]),
      );
      assert.notDeepEqual(gamma, beta);
      assertClose(mean!, beta!, 1e-5); // what went in was normalized, then shifted by beta
    });

    it('integer state stays the latest', async () => {
      const weight = variable([0]);
      const counter = own(tf.tidy(() => tf.variable(tf.tensor1d([0], 'int32'), false)));
      const weights = [weight, counter, weight].map((v) => ({ read: () => v }));
      const model = { weights, optimizer: own(tf.train.sgd(0.1)), stopTraining: false };
      const callback = swaCallback(model, { startEpoch: 2 });
      callback.setParams({ epochs: 4, steps: 1 });
      await callback.onTrainBegin();
      for (let epoch = 0; epoch < 4; epoch++) {
        await callback.onEpochBegin(epoch);
        tf.tidy(() => weight.assign(tf.tensor1d([epoch * epoch])));
        tf.tidy(() => counter.assign(tf.tensor1d([epoch], 'int32')));
        const { numTensors } = tf.memory();
        await callback.onEpochEnd(epoch);
        assert.equal(tf.memory().numTensors - numTensors, epoch === 1 ? 1 : 0);
      }
      await callback.onTrainEnd();
      // (1 + 4 + 9) / 3, a weight that is listed twice counting once
      assertClose(await weight.data(), [14 / 3], 1e-6);
      assert.deepEqual([...(await counter.data())], [3]);
    });
  });

  describe('learning rates', () => {
    // startEpoch 6: s = 5; t of epochs 0 to 7: 0, 0.2, 0.4, 0.6, 0.8, 1, ...; rate 0.1 to t = 0.5,
    // then down to 0.01 at 0.9: 0.1 - 0.09 * 0.1 / 0.4 = 0.0775, 0.1 - 0.09 * 0.3 / 0.4 = 0.0325
    const anneal = [0.1, 0.1, 0.1, 0.0775, 0.0325];
    // A cycle of 2 epochs of 3 batches from 0.04 to 0.01: 0.04 - 0.03 i / 6
    const cycle = [0.035, 0.03, 0.025, 0.02, 0.015, 0.01];
    const perBatch = (rates: number[]): number[] => rates.flatMap((rate) => [rate, rate, rate]);
    const constantRates = perBatch([...anneal, 0.01, 0.01, 0.01]);
    const cyclicRates = [...perBatch(anneal), ...cycle, ...cycle.slice(0, 3)];

    for (const name of ['sgd', 'momentum', 'adam', 'SWA']) {
      it(`constant and cyclic, used by ${name} in every batch, and put back`, async () => {
        const make: Record<string, () => tf.Optimizer> = {
          sgd: () => bare(tf.train.sgd(0.1)),
          momentum: () => bare(tf.train.momentum(0.1, 0.5)),
          adam: () => own(tf.train.adam(0.1)),
          SWA: () => own(new SWA(tf.train.sgd(0.1))),
        };
        const { x, y } = data();
        for (const lrSchedule of ['constant', 'cyclic'] as const) {
          for (const bn of [false, true]) {
            const optimizer = make[name]!();
            const used = ratesOf(optimizer instanceof SWA ? optimizer.optimizer : optimizer);
            const model = net(optimizer, bn);
            const swa = swaCallback(model, {
              startEpoch: 6,
              lrSchedule,
              swaLr: 0.01,
              ...(lrSchedule === 'cyclic' && { swaLr2: 0.04, swaFreq: 2 }),
            });
            const { history } = await model.fit(x, y, { ...FIT, epochs: 8, callbacks: swa });
            const expected = lrSchedule === 'constant' ? [...constantRates] : [...cyclicRates];
            if (bn) expected.splice(21, 3, 0, 0, 0);
            assertClose(used, expected, 1e-7);
            const noted = history['lr'] as number[];
            if (lrSchedule === 'cyclic') assertClose(noted, expected, 1e-7);
            else assertClose(noted, expected.filter((_, i) => i % 3 === 0), 1e-7); // prettier-ignore
            assert.equal((optimizer as unknown as { learningRate: number }).learningRate, 0.1);
          }
        }
      });
    }

    it('automatic: a tenth of the initial rate, and a quarter of the way up from there', async () => {
      const { x, y } = data();
      for (const auto of [{}, { swaLr: 'auto', swaLr2: 'auto' }, { swaLr: 0.01 }] as const) {
        const optimizer = bare(tf.train.sgd(0.1));
        const used = ratesOf(optimizer);
        const model = net(optimizer, false);
        const options = { startEpoch: 6, lrSchedule: 'cyclic', swaFreq: 2, ...auto } as const;
        await model.fit(x, y, { ...FIT, epochs: 8, callbacks: swaCallback(model, options) });
        // swaLr2 = 0.01 + 0.25 * 0.09 = 0.0325
        const expected = [1, 2, 3, 4, 5, 6].map((i) => 0.0325 - (0.0225 * i) / 6);
        assertClose(used.slice(15, 21), expected, 1e-7);
      }
    });

    it('cyclic counts the batches of an epoch whose number fitDataset cannot tell', async () => {
      const optimizer = bare(tf.train.sgd(0.1));
      const used = ratesOf(optimizer);
      const model = net(optimizer, false);
      const cyclic = { lrSchedule: 'cyclic', swaLr: 0.01, swaLr2: 0.04, swaFreq: 2 } as const;
      const swa = swaCallback(model, { startEpoch: 6, ...cyclic });
      await model.fitDataset(dataset(), { epochs: 8, verbose: 0, callbacks: swa });
      assertClose(used, cyclicRates, 1e-7);
      // Nothing to count: an error before the first step.
      const resumed = { epochs: 8, initialEpoch: 5, verbose: 0, callbacks: swa };
      const before = await values(model);
      await assertFails(
        () => model.fitDataset(dataset(), resumed),
        "The batches of an epoch are unknown, which lrSchedule 'cyclic' needs: give " +
          'batchesPerEpoch, or begin before startEpoch, so that they are counted',
      );
      assert.deepEqual(await values(model), before);
      await model.fitDataset(dataset().repeat(), { ...resumed, batchesPerEpoch: 3 });
      assertClose(used.slice(24), [...cycle, ...cycle.slice(0, 3)], 1e-7);
    });

    it('manual leaves it to others, but for the forward pass, whoever sets it then', async () => {
      const { x, y } = data();
      const optimizer = bare(tf.train.sgd(0.1));
      const used = ratesOf(optimizer);
      const model = net(optimizer);
      const other = recorder(model);
      const schedule = {
        onEpochBegin: async (epoch: number) => optimizer.setLearningRate(0.1 / (epoch + 1)),
      };
      const swa = swaCallback(model, { startEpoch: 2 });
      const { history } = await model.fit(x, y, {
        ...FIT,
        epochs: 4,
        callbacks: [swa, other, schedule],
      });
      assertClose(used, [...perBatch([0.1, 0.05, 0.1 / 3]), 0, 0, 0], 1e-7);
      assert.notProperty(history, 'lr');
      assertWeights(await trained(model), meanOf(other.weights, [2, 3]));
      assertClose([(optimizer as never)['learningRate']], [0.1 / 3], 1e-12);
    });

    it('a rate that was set meanwhile is not put back', async () => {
      const { x, y } = data();
      const optimizer = bare(tf.train.sgd(0.1));
      const model = net(optimizer, false);
      const swa = swaCallback(model, { startEpoch: 2, lrSchedule: 'constant' });
      const onEpochEnd = async (): Promise<void> => optimizer.setLearningRate(0.03);
      await model.fit(x, y, { ...FIT, epochs: 3, callbacks: [swa, { onEpochEnd }] });
      assert.equal((optimizer as never)['learningRate'], 0.03);
    });

    it('of the groups of an SWA: one for all meanwhile, then each has its own again', async () => {
      const { x, y } = data();
      const model = net(undefined);
      const vars = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
      const swa = own(
        new SWA(tf.train.sgd(0.1), {
          paramGroups: [{ params: vars.slice(0, 2) }, { params: vars.slice(2), lr: 0.05 }],
        }),
      );
      model.compile({ optimizer: swa, loss: 'meanSquaredError' });
      const seen: number[][] = [];
      const note = {
        onBatchBegin: async () => void seen.push(swa.paramGroups.map(({ lr }) => lr)),
      };
      for (const lrSchedule of ['manual', 'constant'] as const) {
        const callback = swaCallback(model, { startEpoch: 2, lrSchedule });
        await model.fit(x, y, { ...FIT, batchSize: 16, epochs: 3, callbacks: [callback, note] });
        assert.deepEqual(swa.paramGroups.map(({ lr }) => lr), [0.1, 0.05]); // prettier-ignore
      }
      // s = 1: epoch 0 at t = 0, epoch 1 at t = 1
      const expected = [[0.1, 0.05], [0.1, 0.05], [0, 0], [0.1, 0.1], [0.01, 0.01], [0, 0]]; // prettier-ignore
      assertClose(seen.flat(), expected.flat(), 1e-12);
    });
  });

  describe('the weights after a forward pass are the averages exactly, with', () => {
    const optimizers: typeof OPTIMIZERS = {
      ...OPTIMIZERS,
      'rmsprop with momentum': () => tf.train.rmsprop(0.05, 0.9, 0.9),
      'an SWA whose swaLr replaces the rate of 0': () =>
        new SWA(tf.train.sgd(0.05), { swaStart: 1, swaFreq: 2, swaLr: 0.04 }),
    };
    for (const [name, make] of Object.entries(optimizers)) {
      it(name, async () => {
        const { x, y } = data();
        const model = net(bare(make()));
        const other = recorder(model);
        let atBegin: number[][] = [];
        const onEpochBegin = async (epoch: number): Promise<void> => {
          if (epoch === 3) atBegin = await trained(model);
        };
        const swa = swaCallback(model, { startEpoch: 2 });
        const callbacks = [swa, other, { onEpochBegin }];
        await model.fit(x, y, { ...FIT, epochs: 4, callbacks });
        assert.deepEqual(await trained(model), atBegin);
        if (name === 'rmsprop, centered') return; // NaN in training already, a bug of tfjs's
        assertWeights(await trained(model), meanOf(other.weights, [2, 3]));
        assertWeights(await movingOf(model), await batchMeanMoments(model), 1e-5);
      });
    }
  });

  describe('early stopping', () => {
    it("runs the forward pass in one more epoch, tfjs's earlyStopping listed first", async () => {
      const { x, y } = data();
      const model = net();
      const other = recorder(model);
      // No loss gets 100 below the best, so it stops after 1 + 4 epochs.
      const early = tfl.callbacks.earlyStopping({ monitor: 'loss', patience: 4, minDelta: 100 });
      const note = new (class extends tfl.Callback {
        override onEpochEnd = other.onEpochEnd;
      })();
      const swa = swaCallback(model, { startEpoch: 3, lrSchedule: 'constant' });
      const callbacks = [early, note, swa];
      const { epoch } = await model.fit(x, y, { ...FIT, epochs: 20, callbacks });
      assert.deepEqual(epoch, [0, 1, 2, 3, 4, 5]);
      assertWeights(await trained(model), meanOf(other.weights, [3, 4, 5]));
      assertWeights(await movingOf(model), await batchMeanMoments(model), 1e-5);
      assert.isTrue(model.stopTraining);
    });

    for (const [way, fit] of Object.entries({
      fit: (model: tfl.Sequential, callbacks: Callbacks) => {
        const { x, y } = data();
        return model.fit(x, y, { ...FIT, epochs: 20, callbacks });
      },
      fitDataset: (model: tfl.Sequential, callbacks: Callbacks) =>
        model.fitDataset(dataset(), { epochs: 20, verbose: 0, callbacks }),
    })) {
      it(`${way}: the same for a callback of the caller's, listed before`, async () => {
        const model = net();
        const other = recorder(model);
        const swa = swaCallback(model, { startEpoch: 2, swaFreq: 2 });
        // Stopped after epoch 5; 2 and 4 are averaged
        const { epoch } = await fit(model, [other, stopAfter(model, 5), swa]);
        assert.lengthOf(epoch, 6);
        assertWeights(await trained(model), meanOf(other.weights, [2, 4]));
        assertWeights(await movingOf(model), await batchMeanMoments(model), 1e-5);
      });

      it(`${way}: listed after, the statistics are averages, with a warning`, async () => {
        const model = net();
        const other = recorder(model);
        const moving: number[][][] = [];
        const note = { onEpochEnd: async () => void moving.push(await movingOf(model)) };
        const swa = swaCallback(model, { startEpoch: 4 });
        const warnings = await warningsOf(() =>
          fit(model, [swa, other, note, stopAfter(model, 5)]),
        );
        assert.deepEqual(warnings, [
          'swaCallback: training ended without the forward pass for batch normalization, whose ' +
            'moving statistics are averages now; give bnData, or list this callback last',
        ]);
        assertWeights(await trained(model), meanOf(other.weights, [4, 5]));
        const mean = moving[3]!.map((one, k) => one.map((v, j) => (v + moving[4]![k]![j]!) / 2));
        assertWeights(await movingOf(model), mean);
      });

      it(`${way}: with bnData, in either order`, async () => {
        for (const last of [true, false]) {
          const model = net();
          const other = recorder(model);
          const swa = swaCallback(model, { startEpoch: 2, bnData: dataset() });
          const stop = stopAfter(model, 4);
          const callbacks = last ? [other, stop, swa] : [swa, other, stop];
          const { epoch } = await fit(model, callbacks);
          assert.lengthOf(epoch, 4);
          assertWeights(await trained(model), meanOf(other.weights, [2, 3, 4]));
          assertWeights(await movingOf(model), await hiddenMoments(model, 0, EXAMPLES));
        }
      });

      it(`${way}: before startEpoch the weights stay, with a warning`, async () => {
        for (const bnData of [undefined, dataset()]) {
          const optimizer = bare(tf.train.sgd(0.1));
          const model = net(optimizer);
          const other = recorder(model);
          const moving: number[][][] = [];
          const note = { onEpochEnd: async () => void moving.push(await movingOf(model)) };
          const swa = swaCallback(model, {
            startEpoch: 6,
            lrSchedule: 'constant',
            ...(bnData && { bnData }),
          });
          const callbacks = [other, note, stopAfter(model, 4), swa];
          const warnings = await warningsOf(() => fit(model, callbacks));
          assert.deepEqual(warnings, [
            'swaCallback: training ended before an average was due; the weights stay',
          ]);
          assert.lengthOf([...other.weights], 4);
          assert.deepEqual(await trained(model), other.weights.get(4));
          assert.deepEqual(await movingOf(model), moving[3]);
          assert.equal((optimizer as never)['learningRate'], 0.1);
        }
      });
    }

    it('within an epoch, and within the forward pass, which keeps the batches so far', async () => {
      const { x, y } = data();
      const model = net();
      const other = recorder(model);
      let batches = 0;
      const onBatchEnd = async (): Promise<void> => {
        batches += 1;
        // In the first batch of epoch 4, then in the second of the forward pass
        if (batches === 10 || batches === 12) model.stopTraining = true;
      };
      const swa = swaCallback(model, { startEpoch: 2 });
      const callbacks = [swa, other, { onBatchEnd }];
      const { epoch } = await model.fit(x, y, { ...FIT, epochs: 20, callbacks });
      assert.deepEqual(epoch, [0, 1, 2, 3, 4]);
      assert.equal(batches, 12);
      assertWeights(await trained(model), meanOf(other.weights, [2, 3, 4]));
      assertWeights(await movingOf(model), await batchMeanMoments(model, 2), 1e-5);
    });

    it('a forward pass that gets no batch leaves averaged statistics, with a warning', async () => {
      const model = net();
      const moving: number[][][] = [];
      const note = { onEpochEnd: async () => void moving.push(await movingOf(model)) };
      const swa = swaCallback(model, { startEpoch: 2 });
      const other = recorder(model);
      const warnings = await warningsOf(() =>
        model.fitDataset(dataset().repeat(3), {
          epochs: 4,
          batchesPerEpoch: 3,
          verbose: 0,
          callbacks: [note, other, swa],
        }),
      );
      assert.match(warnings.at(-1)!, /^swaCallback: training ended without the forward pass/);
      const mean = moving[1]!.map((one, k) => one.map((v, j) => (v + moving[2]![k]![j]!) / 2));
      assertWeights(await movingOf(model), mean);
      assertWeights(await trained(model), meanOf(other.weights, [2, 3]));
    });

    it("tfjs's own fails listed after a plain object, whatever the object does", async () => {
      // If this starts to pass, the docstring's advice on the order is no longer needed.
      const { x, y } = data();
      const model = net(undefined, false);
      const early = tfl.callbacks.earlyStopping({ monitor: 'loss' });
      for (const first of [{}, swaCallback(model, { startEpoch: 2 })]) {
        const callbacks = [first, early];
        await assertFails(
          () => model.fit(x, y, { ...FIT, epochs: 4, callbacks }),
          /getMonitorValue is not a function/,
        );
      }
    });
  });

  describe('initialEpoch', () => {
    it('averages the epochs that are run, on the schedule of the whole', async () => {
      const { x, y } = data();
      const optimizer = bare(tf.train.sgd(0.1));
      const used = ratesOf(optimizer);
      const model = net(optimizer);
      const other = recorder(model);
      const swa = swaCallback(model, {
        startEpoch: 3,
        lrSchedule: 'constant',
        swaFreq: 2,
        swaLr: 0.02,
        verbose: 1,
      });
      const said = await saidBy(() =>
        model.fit(x, y, { ...FIT, epochs: 9, initialEpoch: 3, callbacks: [swa, other] }),
      );
      // Of 4 to 8 (the 9th is the forward pass) 5 and 7 are due
      assertWeights(await trained(model), meanOf(other.weights, [5, 7]));
      assertClose(used, [...Array<number>(15).fill(0.02), 0, 0, 0], 1e-7);
      assert.equal(said[1], 'Epoch 4: the averaging of weights starts');
    });

    it('that leaves no epoch to average: an error before the first step', async () => {
      const { x, y } = data();
      for (const [bn, message] of [
        [true, 'None of the epochs from 5 to 7 is averaged: every 5. is, from startEpoch 3 on'],
        [false, 'None of the epochs from 5 to 7 is averaged: every 5. is, from startEpoch 3 on'],
      ] as const) {
        const model = net(undefined, bn);
        const before = await values(model);
        const swa = swaCallback(model, { startEpoch: 3, swaFreq: 5 });
        const run = { ...FIT, epochs: bn ? 8 : 7, initialEpoch: 4, callbacks: swa };
        await assertFails(() => model.fit(x, y, run), message);
        assert.deepEqual(await values(model), before);
        if (!bn) await model.fit(x, y, { ...run, epochs: 8 });
      }
    });
  });

  it('says what happens, if asked to', async () => {
    const { x, y } = data();
    const said = async (bn: boolean, options: object): Promise<string[]> => {
      const model = net(undefined, bn);
      const swa = swaCallback(model, { startEpoch: 3, verbose: 1, ...options });
      return saidBy(() => model.fit(x, y, { ...FIT, epochs: 5, callbacks: swa }));
    };
    const starts = 'Epoch 3: the averaging of weights starts';
    assert.deepEqual(await said(false, {}), [starts, 'The weights are set to their averages']);
    assert.deepEqual(await said(true, {}), [
      'Batch normalization: the last epoch will be a forward pass at a learning rate of 0',
      starts,
      'Epoch 5: the weights are set to their averages',
      'Epoch 5: a forward pass, for new batch-normalization statistics',
    ]);
    assert.deepEqual(await said(true, { bnData: [x] }), [
      starts,
      'The weights are set to their averages',
      'Batch normalization: the statistics are re-estimated with bnData',
    ]);
    assert.deepEqual(await said(true, { verbose: 0 }), []);
  });

  describe('memory', () => {
    for (const [name, options] of Object.entries({
      'a forward pass': {},
      bnData: { bnData: dataset() },
      cyclic: { lrSchedule: 'cyclic', swaFreq: 2 },
    } as Record<string, Partial<SwaCallbackOptions>>)) {
      it(`one buffer a weight, and none after: ${name}`, async () => {
        const { x, y } = data();
        const model = net();
        const counts: number[] = [];
        const bytes: number[] = [];
        const note = {
          onEpochEnd: async () => {
            counts.push(tf.memory().numTensors);
            bytes.push(tf.memory().numBytes);
          },
        };
        const before = tf.memory();
        const swa = swaCallback(model, { startEpoch: 3, ...options });
        await model.fit(x, y, { ...FIT, epochs: 7, callbacks: [swa, note] });
        const after = tf.memory();
        assert.deepEqual([after.numTensors, after.numBytes], [before.numTensors, before.numBytes]);
        // 2 dense layers with 2 weights each, and 4 of batch normalization: 6 + 3 + 12 + 3 + 1
        const buffers = counts.map((count) => count - counts[1]!);
        assert.deepEqual(buffers.slice(2, 6), [8, 8, 8, 8]);
        assert.isAtMost(Math.max(...bytes) - bytes[1]!, 25 * 4);
      });
    }

    it('is freed, and rates are put back, where bnData fails', async () => {
      const { x, y } = data();
      const optimizer = bare(tf.train.sgd(0.1));
      const model = net(optimizer);
      const other = recorder(model);
      const { numTensors } = tf.memory();
      const swa = swaCallback(model, { startEpoch: 2, lrSchedule: 'constant', bnData: [] });
      const run = { ...FIT, epochs: 3, callbacks: [other, swa] };
      await assertFails(() => model.fit(x, y, run), 'updateBn: the loader gave no examples');
      assert.equal(tf.memory().numTensors, numTensors);
      assertWeights(await trained(model), meanOf(other.weights, [2, 3]));
      assert.equal((optimizer as never)['learningRate'], 0.1);
    });
  });

  describe('mistakes', () => {
    const stub = { weights: [], stopTraining: false };
    const refused = (options: object | null, message: string | RegExp): Promise<void> =>
      assertFails(() => swaCallback(stub, options as SwaCallbackOptions), message);

    it('options that make no sense', async () => {
      for (const startEpoch of [1, 0, -3, 2.5, NaN, Infinity]) {
        await refused(
          { startEpoch },
          `Invalid startEpoch: ${startEpoch} (expected an integer >= 2 or 'auto')`,
        );
      }
      await refused({}, "Invalid startEpoch: undefined (expected an integer >= 2 or 'auto')");
      await refused(
        { startEpoch: '5' },
        `Invalid startEpoch: "5" (expected an integer >= 2 or 'auto')`,
      );
      for (const options of [null, undefined, 75]) {
        const message = `Invalid options: ${options} (expected an object with startEpoch)`;
        await refused(options as never, message);
      }
      const five = (options: object, message: string): Promise<void> =>
        refused({ startEpoch: 5, ...options }, message);
      const schedules = "(expected 'manual', 'constant' or 'cyclic')";
      await five({ lrSchedule: 'cosine' }, `Invalid lrSchedule: "cosine" ${schedules}`);
      await five({ lrSchedule: null }, `Invalid lrSchedule: null ${schedules}`);
      for (const swaFreq of [0, -1, 1.5, NaN]) {
        await five({ swaFreq }, `Invalid swaFreq: ${swaFreq} (expected an integer >= 1)`);
      }
      for (const swaFreq of [undefined, 1, 2.5]) {
        await five(
          { lrSchedule: 'cyclic', swaFreq },
          `Invalid swaFreq: ${swaFreq ?? 1} (expected an integer >= 2 with lrSchedule 'cyclic')`,
        );
      }
      for (const name of ['swaLr', 'swaLr2']) {
        for (const value of [-0.1, NaN, Infinity]) {
          const message = `Invalid ${name}: ${value} (expected a finite number >= 0 or 'auto')`;
          await five({ lrSchedule: 'cyclic', swaFreq: 2, [name]: value }, message);
        }
        const text = `Invalid ${name}: "0.1" (expected a finite number >= 0 or 'auto')`;
        await five({ [name]: '0.1' }, text);
      }
      for (const swaLr of ['auto', undefined]) {
        const message = "Invalid swaLr2: 0.1 (expected 'auto' as long as swaLr is 'auto')";
        await five({ swaLr, swaLr2: 0.1 }, message);
      }
      await five(
        { lrSchedule: 'cyclic', swaFreq: 2, swaLr: 0.2, swaLr2: 0.1 },
        'Invalid swaLr: 0.2 (expected at most swaLr2, 0.1)',
      );
      const loader = '(expected an iterable, an async iterable or a tf.data Dataset)';
      await five({ bnData: 5 }, `Invalid bnData: 5 ${loader}`);
      const tensor = own(tf.tensor1d([1]));
      await five({ bnData: tensor }, `Invalid bnData: an instance of Tensor ${loader}`);
      for (const verbose of [2, true, '1']) {
        const shown = typeof verbose === 'string' ? '"1"' : verbose;
        await five({ verbose }, `Invalid verbose: ${shown} (expected 0 or 1)`);
      }
      await five(
        { batchSize: 32 },
        'Unknown option batchSize (known ones: startEpoch, lrSchedule, swaLr, swaLr2, swaFreq, ' +
          'bnData, avgFn, validationData, keepBest, verbose)',
      );
    });

    it('options that a schedule does not use: a warning', async () => {
      const options = { startEpoch: 5, swaLr: 0.01, swaLr2: 0.02 };
      const manual = await warningsOf(() => swaCallback(stub, options));
      assert.deepEqual(manual, [
        "swaCallback: lrSchedule is 'manual', ignoring swaLr",
        "swaCallback: lrSchedule is 'manual', ignoring swaLr2",
      ]);
      const constant = { ...options, lrSchedule: 'constant' } as const;
      assert.deepEqual(await warningsOf(() => swaCallback(stub, constant)), [
        "swaCallback: lrSchedule is 'constant', ignoring swaLr2",
      ]);
      const cyclic = { ...options, lrSchedule: 'cyclic', swaFreq: 2 } as const;
      assert.deepEqual(await warningsOf(() => swaCallback(stub, cyclic)), []);
    });

    it('a model that is none', async () => {
      for (const [model, shown] of [
        [null, 'null'],
        [undefined, 'undefined'],
        [{}, 'an object'],
        [[], 'a list of 0'],
      ] as const) {
        await assertFails(
          () => swaCallback(model as never, { startEpoch: 2 }),
          `Invalid model: ${shown} (expected a tfjs-layers model)`,
        );
      }
    });

    it('an average that no epoch is left for', async () => {
      const { x, y } = data();
      for (const bn of [true, false]) {
        const model = net(undefined, bn);
        for (const startEpoch of [4, 5]) {
          const swa = swaCallback(model, { startEpoch });
          await assertFails(
            () => model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa }),
            `Invalid startEpoch: ${startEpoch} (expected an integer below the number of epochs, 4)`,
          );
        }
        const swa = swaCallback(model, { startEpoch: 3 });
        await model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa });
      }
    });

    it("a rate above the optimizer's", async () => {
      const { x, y } = data();
      const model = net();
      for (const more of [
        { lrSchedule: 'constant' },
        { lrSchedule: 'cyclic', swaFreq: 2 },
      ] as const) {
        const swa = swaCallback(model, { startEpoch: 2, swaLr: 0.2, ...more });
        await assertFails(
          () => model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa }),
          'Invalid swaLr: 0.2 (expected at most the rate of the optimizer, 0.1)',
        );
        const same = swaCallback(model, { startEpoch: 2, swaLr: 0.1, ...more });
        await model.fit(x, y, { ...FIT, epochs: 4, callbacks: same });
      }
    });

    it('a rate that cannot be set or read', async () => {
      class Fixed extends tf.Optimizer {
        static readonly className = 'Fixed';
        override applyGradients(): void {}
        override getConfig(): tf.serialization.ConfigDict {
          return {};
        }
      }
      class Hidden extends Fixed {
        setLearningRate(): void {}
      }
      const { x, y } = data();
      const fails = async (model: tfl.LayersModel, options: object, message: string) => {
        const swa = swaCallback(model, { startEpoch: 2, ...options });
        const before = await values(model);
        await assertFails(() => model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa }), message);
        assert.deepEqual(await values(model), before);
      };
      const neither = 'the optimizer Fixed has no learningRate';
      const plain = net(new Fixed(), false);
      const constant = "Cannot set the rate of lrSchedule 'constant': ";
      await fails(plain, { lrSchedule: 'constant' }, constant + neither);
      const cyclic = "Cannot set the rate of lrSchedule 'cyclic': ";
      await fails(plain, { lrSchedule: 'cyclic', swaFreq: 2 }, cyclic + neither);
      const forward = 'Cannot set a rate of 0 for the last epoch (or give bnData): ';
      await fails(net(new Fixed()), {}, forward + neither);
      const hidden = 'The optimizer Fixed has no learningRate';
      await fails(net(new Hidden()), {}, hidden);
      // None is needed by these
      const run = { ...FIT, epochs: 3 };
      await plain.fit(x, y, { ...run, callbacks: swaCallback(plain, { startEpoch: 2 }) });
      const bn = net(new Fixed());
      const callbacks = swaCallback(bn, { startEpoch: 2, bnData: [x] });
      await bn.fit(x, y, { ...run, callbacks });
    });

    it('no optimizer, no number of epochs', async () => {
      const { x, y } = data();
      const model = own(
        tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [2] })] }),
      );
      const swa = swaCallback(model, { startEpoch: 2 });
      swa.setParams({ epochs: 4 });
      await assertFails(() => swa.onTrainBegin(), 'The model has no optimizer: compile it first');
      model.compile({ optimizer: bare(tf.train.sgd(0.1)), loss: 'meanSquaredError' });
      const other = swaCallback(model, { startEpoch: 2 });
      const callbacks = { onTrainBegin: () => other.onTrainBegin() };
      (model as unknown as { model: { isTraining: boolean } }).model.isTraining = false;
      const error = 'The number of epochs is unknown: hand the callback itself to fit()';
      await assertFails(() => model.fit(x, y, { ...FIT, epochs: 4, callbacks }), error);
    });

    it('another model than the one that is fitted', async () => {
      const { x, y } = data();
      const [model, other] = [net(), net()];
      const swa = swaCallback(other, { startEpoch: 2 });
      const early = tfl.callbacks.earlyStopping({ monitor: 'loss' });
      for (const callbacks of [swa, [early, swa]]) {
        const before = await values(model);
        await assertFails(
          () => model.fit(x, y, { ...FIT, epochs: 4, callbacks }),
          'swaCallback was made for another model than the one that is fitted',
        );
        assert.deepEqual(await values(model), before);
      }
    });
  });
});
