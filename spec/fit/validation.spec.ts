import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import {
  emaAvgFn,
  swaAvgFn,
  swaCallback,
  type SwaCallbackOptions,
  type ValidationData,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertWeights,
  bare,
  data,
  dataset,
  EXAMPLES,
  FIT,
  hiddenMoments,
  meanOf,
  net,
  recorder,
  saidBy,
  trained,
  values,
} from '../support/fitted.js';
import {
  assertClose,
  assertFails,
  disposeBare,
  own,
  valuesOf,
  variable,
  warningsOf,
} from '../support/support.js';

/** The net of these specs, with a metric beside the loss. */
function measured(optimizer: tf.Optimizer, bn: boolean): tfl.Sequential {
  const model = net(optimizer, bn);
  model.compile({ optimizer, loss: 'meanSquaredError', metrics: ['mae'] });
  return model;
}

/** Validation data that training does not lead to: other targets. */
const other = (): [tf.Tensor2D, tf.Tensor2D] => {
  const { x, y } = data();
  return [x, own(tf.tidy(() => tf.sub(1, y)))];
};

/** A model of one weight, whose loss is `(weight - 3)^2`, with a callback; driven by hand. */
function byHand(options: object, evaluate?: (weight: tf.Variable) => number) {
  const weight = variable([0]);
  const loss = (): Promise<tf.Scalar> =>
    weight.data().then(([w]) => tf.scalar(evaluate?.(weight) ?? (w! - 3) ** 2));
  const model = {
    weights: [{ read: () => weight }],
    optimizer: own(tf.train.sgd(0.1)),
    stopTraining: false,
    evaluate: () => [],
    evaluateDataset: loss,
  };
  // What it is evaluated on is the model's business here.
  const validationData = { iterator: () => Promise.resolve({}) };
  const swa = swaCallback(model, { startEpoch: 2, validationData, ...options });
  /** Runs epochs after which the weight is as listed; returns the logs of each. */
  const run = async (...weights: number[]): Promise<object[]> => {
    swa.setParams({ epochs: weights.length, steps: 1 });
    await swa.onTrainBegin();
    const all: object[] = [];
    for (const [epoch, value] of weights.entries()) {
      await swa.onEpochBegin(epoch);
      tf.tidy(() => weight.assign(tf.tensor1d([value])));
      const logs = {};
      await swa.onEpochEnd(epoch, logs);
      assert.deepEqual([...(await weight.data())], [value]);
      all.push(logs);
    }
    await swa.onTrainEnd();
    return all;
  };
  return { weight, swa, run, model };
}

describe('swaCallback: validationData', () => {
  it('worked: the loss of each average, none before the first', async () => {
    // Averages of the weights from epoch 2 on: 1, (1 + 5) / 2 = 3, (1 + 5 + 9) / 3 = 5
    const { weight, run } = byHand({});
    const logs = await run(7, 1, 5, 9);
    assert.deepEqual(logs, [{}, { swa_val_loss: 4 }, { swa_val_loss: 0 }, { swa_val_loss: 4 }]);
    assertClose(await weight.data(), [5], 1e-6);
  });

  it('worked: with keepBest the weights end with the best average', async () => {
    const { weight, run } = byHand({ keepBest: true });
    await run(7, 1, 5, 9);
    assertClose(await weight.data(), [3], 1e-6);
  });

  it('keepBest: of equal ones the first, and NaN is worse than any', async () => {
    // Averages 1, 5 / 1, 3, 5 with losses as listed
    const losses = [NaN, 4, 4, NaN];
    const counted = byHand({ keepBest: true }, () => losses.shift()!);
    await counted.run(7, 1, 5, 9, 13); // averages 1, 3, 5, 7
    assertClose(await counted.weight.data(), [3], 1e-6);
    const never = byHand({ keepBest: true }, () => NaN);
    await never.run(7, 1, 5);
    assertClose(await never.weight.data(), [3], 1e-6); // the last
  });

  it('an epoch without an update has the results of the average as it is', async () => {
    let evaluations = 0;
    const { run } = byHand({ swaFreq: 2 }, () => (evaluations += 1));
    const logs = await run(7, 1, 5, 9, 13);
    assert.deepEqual(logs.slice(1), [1, 1, 2, 2].map((n) => ({ swa_val_loss: n }))); // prettier-ignore
  });

  it('avgFn says how to average', async () => {
    // From 1: 0.5 * 1 + 0.5 * 5 = 3, 0.5 * 3 + 0.5 * 9 = 6
    const { weight, run } = byHand({ avgFn: emaAvgFn(0.5) });
    const logs = await run(7, 1, 5, 9);
    assert.deepEqual(logs[3], { swa_val_loss: 9 });
    assertClose(await weight.data(), [6], 1e-6);
  });

  for (const bn of [false, true]) {
    for (const way of ['fit', 'fitDataset'] as const) {
      it(`is what evaluate gives for the averages: ${way}${bn ? ', batch normalization' : ''}`, async () => {
        const { x, y } = data();
        const model = measured(bare(tf.train.momentum(0.05, 0.5)), bn);
        const note = recorder(model);
        const seen: Record<string, number>[] = [];
        const behind = {
          onEpochEnd: async (_: number, logs?: object) => void seen.push({ ...logs }),
        };
        const [vx, vy] = other();
        const validationData: ValidationData = way === 'fit' ? [vx, vy] : dataset();
        const swa = swaCallback(model, { startEpoch: 3, validationData, bnData: [x] });
        const callbacks = [note, swa, behind];
        const { history } =
          way === 'fit'
            ? await model.fit(x, y, { ...FIT, epochs: 6, callbacks })
            : await model.fitDataset(dataset(), { epochs: 6, verbose: 0, callbacks });

        const names = ['swa_val_loss', 'swa_val_mae'];
        const reference = measured(bare(tf.train.sgd(0.1)), bn);
        for (let epoch = 1; epoch <= 6; epoch++) {
          if (epoch < 3) {
            for (const name of names) assert.notProperty(seen[epoch - 1], name);
            continue;
          }
          const averaged = Array.from({ length: epoch - 2 }, (_, i) => i + 3);
          const weights = meanOf(note.weights, averaged);
          reference.trainableWeights.forEach((weight, i) => {
            tf.tidy(() => void weight.write(tf.tensor(weights[i]!, weight.read().shape)));
          });
          if (bn) {
            const moments = await hiddenMoments(reference, 0, EXAMPLES);
            const layer = reference.layers[1] as unknown as Record<string, { read(): tf.Variable }>;
            ['movingMean', 'movingVariance'].forEach((name, k) => {
              tf.tidy(() => layer[name]!.read().assign(tf.tensor(moments[k]!)));
            });
          }
          const expected = reference.evaluate(x, way === 'fit' ? vy : y) as tf.Scalar[];
          const wanted = (await valuesOf(expected.map(own))).flat();
          const logged = names.map((name) => seen[epoch - 1]![name]!);
          assertClose(logged, wanted, 1e-5, `epoch ${epoch}`);
          const kept = names.map((name) => history[name]![epoch - 3] as number);
          assert.deepEqual(kept, logged);
        }
        assert.lengthOf(history['swa_val_loss']!, 4);
      });
    }
  }

  it('evaluates as many examples at once as fit trains on', async () => {
    const { x, y } = data();
    const model = measured(bare(tf.train.sgd(0.1)), false);
    const given: unknown[] = [];
    const evaluate = model.evaluate.bind(model);
    model.evaluate = (xs, ys, args) => {
      given.push(args);
      return evaluate(xs, ys, args);
    };
    const swa = swaCallback(model, { startEpoch: 2, validationData: [x, y] });
    await model.fit(x, y, { ...FIT, epochs: 3, callbacks: swa });
    await model.fitDataset(dataset(), { epochs: 3, verbose: 0, callbacks: swa });
    assert.deepEqual(given, [4, 4, 32, 32].map((batchSize) => ({ batchSize }))); // prettier-ignore
  });

  it('trains as without, bit for bit, and ends with the same averages', async () => {
    const optimizers: Record<string, () => tf.Optimizer> = {
      sgd: () => tf.train.sgd(0.1),
      momentum: () => tf.train.momentum(0.05, 0.9),
      adam: () => tf.train.adam(0.05),
    };
    const drawn = fc.record({
      optimizer: fc.constantFrom(...Object.keys(optimizers)),
      bn: fc.boolean(),
      swaFreq: fc.integer({ min: 2, max: 3 }),
      lrSchedule: fc.constantFrom('manual' as const, 'constant' as const, 'cyclic' as const),
      avgFn: fc.constantFrom(swaAvgFn(), emaAvgFn(0.7), (averaged: tf.Tensor, current: tf.Tensor) =>
        tf.mul(0.5, tf.add(averaged, current)),
      ),
      asDataset: fc.boolean(),
    });
    const { x, y } = data();
    const [vx, vy] = other();
    await fc.assert(
      fc.asyncProperty(drawn, async ({ optimizer, bn, asDataset, ...options }) => {
        const runs = [];
        for (const validation of [false, true]) {
          const base = optimizers[optimizer]!();
          const model = measured(base, bn);
          const seen: number[][][] = [];
          const note = { onEpochEnd: async () => void seen.push(await values(model)) };
          const swa = swaCallback(model, {
            startEpoch: 2,
            bnData: [x],
            ...options,
            ...(validation && { validationData: asDataset ? dataset() : [vx, vy] }),
          });
          const callbacks = [note, swa, note];
          const { history } = await model.fit(x, y, { ...FIT, epochs: 5, callbacks });
          runs.push({ seen, end: await values(model), loss: history['loss'] });
          disposeBare(base);
        }
        assert.deepEqual(runs[1], runs[0]);
      }),
      { seed: 20180314, numRuns: shareOf(12) },
    );
  });

  it('keepBest: the model is the one that was evaluated, statistics included', async () => {
    const { x, y } = data();
    for (const bn of [false, true]) {
      const model = measured(bare(tf.train.sgd(0.1)), bn);
      const note = recorder(model);
      const validationData = other();
      const swa = swaCallback(model, {
        startEpoch: 2,
        validationData,
        bnData: [x],
        keepBest: true,
      });
      const { history } = await model.fit(x, y, { ...FIT, epochs: 8, callbacks: [note, swa] });
      const losses = history['swa_val_loss'] as number[];
      const best = losses.indexOf(Math.min(...losses));
      assert.isBelow(best, losses.length - 1, 'the last is not the best here');
      const averaged = Array.from({ length: best + 1 }, (_, i) => i + 2);
      assertWeights(await trained(model), meanOf(note.weights, averaged));
      const results = model.evaluate(...validationData, { batchSize: 4 }) as tf.Scalar[];
      const [[loss]] = (await valuesOf(results.map(own))) as [[number]];
      assert.equal(loss, losses[best]);
    }
  });

  describe('other callbacks behind it', () => {
    const early = () =>
      tfl.callbacks.earlyStopping({ monitor: 'swa_val_loss', patience: 2, mode: 'min' });

    it("tfjs's earlyStopping stops by swa_val_loss, behind the callback in tf.CustomCallback", async () => {
      const { x, y } = data();
      const model = measured(bare(tf.train.sgd(0.1)), true);
      const swa = swaCallback(model, { startEpoch: 3, validationData: other(), bnData: [x] });
      const callbacks = [new tfl.CustomCallback(swa), early()];
      let epochs: number[] = [];
      let losses: number[] = [];
      await warningsOf(async () => {
        const { epoch, history } = await model.fit(x, y, { ...FIT, epochs: 40, callbacks });
        [epochs, losses] = [epoch, history['swa_val_loss'] as number[]];
      });
      // Two epochs in a row that are no better than the best before them
      const best = Math.min(...losses);
      assert.equal(losses.indexOf(best), losses.length - 3);
      assert.lengthOf(epochs, 2 + losses.length);
      assert.isBelow(epochs.length, 40);
    });

    it('a callback of the user can stop by it, and a scheduler can watch it', async () => {
      const { x, y } = data();
      const model = measured(bare(tf.train.sgd(0.1)), false);
      const swa = swaCallback(model, { startEpoch: 2, validationData: other() });
      const seen: number[] = [];
      const stop = {
        onEpochEnd: async (_: number, logs?: object) => {
          const { swa_val_loss: loss } = logs as { swa_val_loss?: number };
          if (loss !== undefined && seen.push(loss) === 3) model.stopTraining = true;
        },
      };
      const { epoch } = await model.fit(x, y, { ...FIT, epochs: 20, callbacks: [swa, stop] });
      assert.lengthOf(epoch, 4);
      assert.lengthOf(seen, 3);
    });
  });

  describe('an evaluation that fails leaves the training as it was:', () => {
    it('bnData that ends', async () => {
      const { x, y } = data();
      const optimizer = bare(tf.train.sgd(0.1));
      const model = measured(optimizer, true);
      let reads = 0;
      const bnData = {
        *[Symbol.iterator]() {
          if ((reads += 1) < 3) yield x;
          else throw new Error('no more');
        },
      };
      const at: number[][][] = [];
      const note = { onEpochEnd: async () => void at.push(await values(model)) };
      const options = { startEpoch: 2, lrSchedule: 'constant', bnData, keepBest: true } as const;
      const swa = swaCallback(model, { ...options, validationData: other() });
      const { numTensors } = tf.memory();
      tf.engine().startScope(); // what the failed fit of tfjs-layers leaves
      await assertFails(
        () => model.fit(x, y, { ...FIT, epochs: 6, callbacks: [note, swa] }),
        'no more',
      );
      tf.engine().endScope();
      assert.lengthOf(at, 4);
      assert.deepEqual(await values(model), at[3]);
      assert.equal((optimizer as never)['learningRate'], 0.1);
      assert.equal(tf.memory().numTensors, numTensors);
    });

    it('evaluate itself, and dispose() meanwhile', async () => {
      for (const disposes of [false, true]) {
        const tensors = tf.memory().numTensors;
        const { numDataBuffers } = tf.memory();
        let evaluations = 0;
        const hand = byHand({ keepBest: true }, () => {
          if ((evaluations += 1) < 3) return -evaluations;
          if (disposes) hand.swa.dispose();
          else throw new Error('lost');
          return -3;
        });
        if (disposes) await hand.run(7, 1, 5, 9, 13);
        else await assertFails(() => hand.run(7, 1, 5, 9, 13), 'lost');
        assert.equal(evaluations, 3);
        assert.deepEqual([...(await hand.weight.data())], [disposes ? 13 : 9]);
        hand.swa.dispose();
        // The weight and the rate
        assert.equal(tf.memory().numTensors, tensors + 2);
        assert.equal(tf.memory().numDataBuffers, numDataBuffers + 2);
      }
    });
  });

  it('holds one buffer a weight, two with keepBest, and none after', async () => {
    const { x, y } = data();
    for (const keepBest of [false, true]) {
      const model = measured(bare(tf.train.sgd(0.1)), true);
      const counts: number[] = [];
      const note = { onEpochEnd: async () => void counts.push(tf.memory().numTensors) };
      const validationData = other();
      const swa = swaCallback(model, { startEpoch: 2, validationData, bnData: [x], keepBest });
      const before = tf.memory();
      await model.fit(x, y, { ...FIT, epochs: 6, callbacks: [swa, note] });
      const buffers = counts.map((count) => count - counts[0]!);
      const each = keepBest ? 16 : 8;
      // tfjs keeps no more than the logs, which are numbers by then.
      assert.deepEqual(buffers.slice(1), [each, each, each, each, each]);
      const after = tf.memory();
      assert.deepEqual([after.numTensors, after.numBytes], [before.numTensors, before.numBytes]);
    }
  });

  it('says what comes out, if asked to', async () => {
    const { run } = byHand({ verbose: 1, keepBest: true });
    assert.deepEqual(await saidBy(() => run(7, 1, 5, 9)), [
      'Epoch 2: the averaging of weights starts',
      'Epoch 2: swa_val_loss 4.000',
      'Epoch 3: swa_val_loss 0.000',
      'Epoch 4: swa_val_loss 4.000',
      'The weights are set to the averages of epoch 3, swa_val_loss 0',
    ]);
  });

  describe('mistakes', () => {
    const stub = { weights: [], stopTraining: false };
    const refused = (options: object, message: string | RegExp): Promise<void> =>
      assertFails(
        () => swaCallback(stub, { startEpoch: 2, ...options } as SwaCallbackOptions),
        message,
      );

    it('options that make no sense', async () => {
      const { x, y } = data();
      const data2 = '(expected a list [xs, ys] or a tf.data Dataset)';
      await refused({ validationData: 5 }, `Invalid validationData: 5 ${data2}`);
      await refused({ validationData: [x] }, `Invalid validationData: a list of 1 ${data2}`);
      await refused({ validationData: [x, y, x] }, `Invalid validationData: a list of 3 ${data2}`);
      await refused(
        { validationData: x },
        `Invalid validationData: an instance of Tensor ${data2}`,
      );
      await refused({ keepBest: 1 }, 'Invalid keepBest: 1 (expected a boolean)');
      await refused({ keepBest: true }, 'keepBest requires validationData');
      await refused({ avgFn: 0.9 }, 'Invalid avgFn: 0.9 (expected a function)');
      const once = (function* () {
        yield x;
      })();
      await refused(
        { validationData: [x, y], bnData: once },
        /^Invalid bnData: .* \(expected batches that can be read again, for each evaluation\)$/,
      );
    });

    it('are told before training: no bnData, data that does not fit, no evaluate()', async () => {
      const { x, y } = data();
      const model = measured(bare(tf.train.sgd(0.1)), true);
      const before = await values(model);
      const fails = async (options: object, message: string | RegExp): Promise<void> => {
        const swa = swaCallback(model, { startEpoch: 2, ...options });
        const { numTensors } = tf.memory();
        await assertFails(() => model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa }), message);
        assert.equal(tf.memory().numTensors, numTensors);
        assert.deepEqual(await values(model), before);
      };
      const needs = 'validationData requires bnData, since the model has batch normalization';
      await fails({ validationData: [x, y] }, needs);
      const wide = own(tf.zeros([3, 5]));
      await fails({ validationData: [wide, y], bnData: [x] }, /shape/);
      model.layers[1]!.trainable = false; // with nothing to re-estimate
      model.compile({ optimizer: bare(tf.train.sgd(0.1)), loss: 'meanSquaredError' });
      const swa = swaCallback(model, { startEpoch: 2, validationData: [x, y] });
      const { history } = await model.fit(x, y, { ...FIT, epochs: 3, callbacks: swa });
      assert.lengthOf(history['swa_val_loss']!, 2);

      const weight = variable([0]);
      const bare1 = { weights: [{ read: () => weight }], optimizer: own(tf.train.sgd(1)) };
      const hand = swaCallback(
        { ...bare1, stopTraining: false },
        { startEpoch: 2, validationData: [x, y] },
      );
      hand.setParams({ epochs: 4 });
      await assertFails(
        () => hand.onTrainBegin(),
        'Invalid model: an object (expected one with evaluate(), for validationData)',
      );
    });
  });
});
