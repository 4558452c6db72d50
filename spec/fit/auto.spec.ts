import * as tf from '@tensorflow/tfjs-core';
import * as tfd from '@tensorflow/tfjs-data';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import {
  emaAvgFn,
  finiteOnly,
  SWA,
  swaAvgFn,
  swaCallback,
  type SwaCallbackOptions,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertWeights,
  bare,
  BATCHES,
  type Callbacks,
  data,
  dataset,
  EXAMPLES,
  FIT,
  hiddenMoments,
  meanOf,
  movingOf,
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
  warningsOf,
} from '../support/support.js';

/**
 * A model of one weight that each batch sets to what it lists: of the loss `(w - y)^2` at an input of
 * 1 SGD at a rate of 0.5 takes `0.5 * 2 (w - y)`. On validation data it has the loss `(w - 4.5)^2`.
 */
function listed(epochs: readonly (readonly number[])[], validation = 4.5) {
  const model = own(
    tfl.sequential({ layers: [tfl.layers.dense({ units: 1, useBias: false, inputShape: [1] })] }),
  );
  model.compile({ optimizer: bare(tf.train.sgd(0.5)), loss: 'meanSquaredError' });
  const column = (...each: number[]) => own(tf.tensor2d(each, [each.length, 1]));
  const validationData = [column(1), column(validation)] as const;
  const batches = tfd.generator(function* () {
    for (const value of epochs.flat()) yield { xs: column(1), ys: column(value) };
  });
  /** Epochs are as long as the first. */
  const fit = (callbacks: Callbacks) =>
    model.fitDataset(batches, {
      ...{ epochs: epochs.length, batchesPerEpoch: epochs[0]!.length },
      ...{ verbose: 0, callbacks },
    });
  const weight = async (): Promise<number[]> => (await trained(model))[0]!;
  return { model, validationData, fit, weight };
}

/** The table that is said, by row: window, first and last epoch, updates, loss, whether it is chosen. */
function rowsOf(said: readonly string[]) {
  const table = said.find((text) => text.includes('updates'))!.split('\n');
  return table.slice(1).map((line) => {
    const [, window, first, last, updates, loss, mark] =
      /^ *(\d+) +epochs? (\d+)(?: to (\d+))? +(\d+) +(\S+)( +<- chosen)?$/.exec(line)!;
    return {
      ...{ window: Number(window), first: Number(first), last: Number(last ?? first) },
      ...{ updates: Number(updates), loss: Number(loss), chosen: mark !== undefined },
    };
  });
}

/** Validation data that training does not lead to: other targets. */
const other = (): [tf.Tensor2D, tf.Tensor2D] => {
  const { x, y } = data();
  return [x, own(tf.tidy(() => tf.sub(1, y)))];
};

describe("swaCallback: startEpoch 'auto'", () => {
  const epochs = [
    [8, 6], // mean 7
    [1, 5], // 3
    [0, 4], // 2
    [7, 9], // 8
  ];

  it('worked: the window of the least validation loss', async () => {
    // The last 1, 2, 3 and 4 epochs: 8, (2 + 8) / 2 = 5, (3 + 2 + 8) / 3 = 13 / 3, 20 / 4 = 5
    const { model, validationData, fit, weight } = listed(epochs);
    const { history } = await fit(swaCallback(model, { startEpoch: 'auto', validationData }));
    assertClose(await weight(), [13 / 3], 1e-6);
    // Of 1 to 4 segments the last 1, 1, 2 and 2: averages 7, 3, (3 + 2) / 2 = 2.5, 5
    assertClose(history['swa_val_loss'] as number[], [2.5 ** 2, 1.5 ** 2, 2 ** 2, 0.5 ** 2], 1e-5);
  });

  it('worked: of equal ones it is the longest', async () => {
    const { model, validationData, fit, weight } = listed(epochs, 5); // 3, 0, 2 / 3 and 0 from it
    const swa = swaCallback(model, { startEpoch: 'auto', validationData, verbose: 1 });
    const rows = rowsOf(await saidBy(() => fit(swa)));
    assertClose(await weight(), [5], 1e-6);
    assert.deepEqual(rows.map(({ chosen }) => chosen), [false, false, false, true]); // prettier-ignore
  });

  it('worked: NaN is worse than any, and where there is nothing else an error', async () => {
    for (const losses of [
      [NaN, 3, 2, NaN],
      [NaN, NaN, NaN, NaN],
    ]) {
      const { model, validationData, fit, weight } = listed(epochs);
      const each = [1, 1, 1, 1, ...losses]; // after each epoch, then of each window
      model.evaluate = () => tf.scalar(each.shift()!);
      const swa = swaCallback(model, { startEpoch: 'auto', validationData });
      if (losses.includes(2)) await fit(swa);
      else await assertFails(() => fit(swa), 'Cannot choose: evaluate gave NaN for every window');
      assertClose(await weight(), [losses.includes(2) ? 13 / 3 : 9], 1e-6);
      assert.lengthOf(each, 0);
    }
  });

  it('says what each window was worth, if asked to', async () => {
    const { model, validationData, fit } = listed(epochs);
    const options = { startEpoch: 'auto', validationData, verbose: 1 } as const;
    const said = await saidBy(() => fit(swaCallback(model, options)));
    const loss = said.at(-1)!.split(' ').at(-1)!; // in float32: (13 / 3 - 4.5)^2 = 1 / 36
    assertClose([Number(loss)], [1 / 36], 1e-6);
    assert.deepEqual(said, [
      'Epoch 1: the averaging of weights starts',
      'Epoch 1: swa_val_loss 6.250',
      'Epoch 2: swa_val_loss 2.250',
      'Epoch 3: swa_val_loss 4.000',
      'Epoch 4: swa_val_loss 0.2500',
      [
        'window       averaged  updates  swa_val_loss',
        '     1        epoch 4        2         12.25',
        '     2  epochs 3 to 4        4        0.2500',
        '     3  epochs 2 to 4        6       0.02778  <- chosen',
        '     4  epochs 1 to 4        8        0.2500',
      ].join('\n'),
      `The weights are set to the averages of every batch of epochs 2 to 4, swa_val_loss ${loss}`,
    ]);
  });

  it('the chosen window is that of the least loss, each the direct average of its batches', async () => {
    const drawn = fc.record({
      // More than 16, too, of which some are merged.
      epochs: fc.integer({ min: 1, max: 40 }),
      batches: fc.integer({ min: 1, max: 3 }),
      seed: fc.array(fc.float({ min: -8, max: 8, noNaN: true }), {
        minLength: 120,
        maxLength: 120,
      }),
      validation: fc.float({ min: -4, max: 4, noNaN: true }),
      /** Training is stopped at the end of this batch of all, the middle of an epoch included. */
      stop: fc.option(fc.integer({ min: 1, max: 60 }), { nil: Infinity }),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ epochs: n, batches, seed, validation, stop }) => {
        const targets = Array.from({ length: n }, (_, epoch) =>
          seed.slice(epoch * batches, (epoch + 1) * batches),
        );
        const { model, validationData, fit, weight } = listed(targets, validation);
        const steps: number[] = [];
        const ends: number[] = [];
        const note = {
          onBatchEnd: async () => {
            steps.push((await weight())[0]!);
            if (steps.length === stop) model.stopTraining = true;
          },
          onEpochEnd: async () => void ends.push(steps.length),
        };
        const options = { startEpoch: 'auto', validationData, verbose: 1 } as const;
        const rows = rowsOf(await saidBy(() => fit([note, swaCallback(model, options)])));

        /** In float64: the mean of the last so many steps, and its loss. */
        const meanOfLast = (count: number) =>
          steps.slice(-count).reduce((sum, step) => sum + step, 0) / count;
        const lossOf = (count: number) => (meanOfLast(count) - Math.fround(validation)) ** 2;
        rows.forEach(({ window, first, last, updates, loss }, i) => {
          assert.equal(window, i + 1);
          assert.equal(last, ends.length);
          // Whole epochs: of all but the last of them, then of all.
          assert.equal(updates, steps.length - (first > 1 ? ends[first - 2]! : 0));
          assertClose([loss], [lossOf(updates)], 1e-3 * loss + 1e-5);
        });
        assert.equal(rows.at(-1)!.updates, steps.length);
        if (ends.length <= 16) assert.lengthOf(rows, ends.length);
        else assert.lengthOf(rows, 16);

        const chosen = rows.find((row) => row.chosen)!;
        assertClose(await weight(), [meanOfLast(chosen.updates)], 1e-5);
        const least = Math.min(...rows.map(({ updates }) => lossOf(updates)));
        assert.isAtMost(lossOf(chosen.updates), least + 1e-5);
      }),
      { seed: 20180314, numRuns: shareOf(40) },
    );
  });

  for (const bn of [false, true]) {
    for (const way of ['fit', 'fitDataset'] as const) {
      it(`is what evaluate gives, statistics included: ${way}${bn ? ', batch normalization' : ''}`, async () => {
        const { x, y } = data();
        const optimizer = bare(tf.train.momentum(0.05, 0.5));
        const model = net(optimizer, bn);
        model.compile({ optimizer, loss: 'meanSquaredError', metrics: ['mae'] });
        const steps = new Map<number, number[][]>(); // by step from 1
        const note = {
          onBatchEnd: async () => void steps.set(steps.size + 1, await trained(model)),
        };
        const [vx, vy] = other();
        const swa = swaCallback(model, {
          startEpoch: 'auto',
          validationData: way === 'fit' ? [vx, vy] : dataset(),
          ...(bn && { bnData: [x] }),
          verbose: 1,
        });
        const callbacks = [note, swa];
        let history: Record<string, unknown[]> = {};
        const said = await saidBy(async () => {
          ({ history } =
            way === 'fit'
              ? await model.fit(x, y, { ...FIT, epochs: 5, callbacks })
              : await model.fitDataset(dataset(), { epochs: 5, verbose: 0, callbacks }));
        });
        const rows = rowsOf(said);
        assert.lengthOf(rows, 5);
        const [least] = [...rows].sort((a, b) => a.loss - b.loss);
        assert.isTrue(least!.chosen);

        const last = Array.from({ length: least!.updates }, (_, i) => steps.size - i);
        assertWeights(await trained(model), meanOf(steps, last), 1e-6);
        if (bn) assertWeights(await movingOf(model), await hiddenMoments(model, 0, EXAMPLES), 1e-6);
        // Windows of 1, 1, 2, 2 and 3 epochs: of each the loss of the direct average
        const reference = net(bare(tf.train.sgd(0.1)), bn);
        reference.compile({ optimizer: bare(tf.train.sgd(1)), loss: 'meanSquaredError', metrics: ['mae'] }); // prettier-ignore
        const judge = async (from: number, to: number): Promise<number[]> => {
          const window = Array.from({ length: to - from + 1 }, (_, i) => from + i);
          const weights = meanOf(steps, window);
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
          const results = reference.evaluate(vx, way === 'fit' ? vy : y) as tf.Scalar[];
          return (await valuesOf(results.map(own))).flat();
        };
        const perEpoch = BATCHES.length;
        for (const [i, size] of [1, 1, 2, 2, 3].entries()) {
          const logged = ['swa_val_loss', 'swa_val_mae'].map((name) => history[name]![i] as number);
          const wanted = await judge((i + 1 - size) * perEpoch + 1, (i + 1) * perEpoch);
          assertClose(logged, wanted, 1e-5, `epoch ${i + 1}`);
        }
        for (const { updates, loss } of rows) {
          const [wanted] = await judge(steps.size - updates + 1, steps.size);
          assertClose([loss], [wanted!], 1e-3 * loss);
        }
      });
    }
  }

  it('trains as without, bit for bit', async () => {
    const optimizers: Record<string, () => tf.Optimizer> = {
      sgd: () => tf.train.sgd(0.1),
      momentum: () => tf.train.momentum(0.05, 0.9),
      adam: () => tf.train.adam(0.05),
    };
    const { x, y } = data();
    const validationData = other();
    for (const [name, make] of Object.entries(optimizers)) {
      for (const bn of [false, true]) {
        const runs = [];
        for (const auto of [false, true]) {
          const base = make();
          const model = net(base, bn);
          const seen: number[][][] = [];
          const record = async (): Promise<void> => void seen.push(await values(model));
          const note = { onBatchEnd: record, onEpochEnd: record };
          const swa = swaCallback(model, { startEpoch: 'auto', bnData: [x], validationData });
          const callbacks = [note, ...(auto ? [swa] : []), note];
          const { history } = await model.fit(x, y, { ...FIT, epochs: 4, callbacks });
          runs.push({ seen, loss: history['loss'] });
          disposeBare(base);
        }
        assert.deepEqual(runs[1], runs[0], name);
      }
    }
  });

  it('around an SWA, beside another callback, for one fit after another', async () => {
    const { x, y } = data();
    const inner = bare(tf.train.sgd(0.1));
    const wrapper = own(new SWA(inner, { swaStart: 2, swaFreq: 1 }));
    const model = net(wrapper, false);
    const note = recorder(model);
    const fixed = swaCallback(model, { startEpoch: 2 });
    const auto = swaCallback(model, { startEpoch: 'auto', validationData: other(), verbose: 1 });
    for (const _ of [1, 2]) {
      const callbacks = [note, fixed, auto];
      const said = await saidBy(() => model.fit(x, y, { ...FIT, batchSize: 10, epochs: 4, callbacks })); // prettier-ignore
      const { updates } = rowsOf(said).find(({ chosen }) => chosen)!;
      const window = Array.from({ length: updates }, (_, i) => 4 - i);
      assertWeights(await trained(model), meanOf(note.weights, window));
    }
  });

  it('of one epoch alone, and from initialEpoch on', async () => {
    const { x, y } = data();
    const model = net(undefined, false);
    const note = recorder(model);
    const swa = swaCallback(model, { startEpoch: 'auto', validationData: other(), verbose: 1 });
    const run = { ...FIT, batchSize: 10, callbacks: [note, swa] };
    await saidBy(() => model.fit(x, y, { ...run, epochs: 1 }));
    assertWeights(await trained(model), note.weights.get(1)!);
    const said = await saidBy(() => model.fit(x, y, { ...run, initialEpoch: 3, epochs: 5 }));
    const rows = rowsOf(said).map(({ first, last, updates }) => [first, last, updates]);
    assert.deepEqual(rows, [
      [5, 5, 1],
      [4, 5, 2],
    ]);
  });

  it('leaves alone what is frozen, and refuses what was frozen since compile()', async () => {
    const { x, y } = data();
    const optimizer = bare(tf.train.sgd(0.1));
    const model = net(optimizer, false);
    model.layers[0]!.trainable = false;
    const before = await values(model);
    const swa = swaCallback(model, { startEpoch: 'auto', validationData: [x, y] });
    const fit = () => model.fit(x, y, { ...FIT, epochs: 3, callbacks: swa });
    await warningsOf(() =>
      assertFails(
        fit,
        /^fit would train dense_Dense\d+\/kernel, which was frozen since compile\(\), and not average it: compile the model again$/,
      ),
    );
    assert.deepEqual(await values(model), before);
    model.compile({ optimizer, loss: 'meanSquaredError' });
    await fit();
    const after = await values(model);
    assert.deepEqual(after.slice(2), before.slice(2)); // listed last
    assert.notDeepEqual(after.slice(0, 2), before.slice(0, 2));
  });

  it('refuses what is unfrozen in the middle', async () => {
    const { x, y } = data();
    const optimizer = bare(tf.train.sgd(0.1));
    const model = net(optimizer, false);
    model.layers[0]!.trainable = false;
    model.compile({ optimizer, loss: 'meanSquaredError' });
    const unfreeze = async (epoch: number): Promise<void> => {
      if (epoch !== 1) return;
      model.layers[0]!.trainable = true;
      model.compile({ optimizer, loss: 'meanSquaredError' });
    };
    const swa = swaCallback(model, { startEpoch: 'auto', validationData: [x, y] });
    const callbacks = [{ onEpochBegin: unfreeze }, swa];
    tf.engine().startScope(); // what the failed fit of tfjs-layers leaves
    await assertFails(
      () => model.fit(x, y, { ...FIT, epochs: 3, callbacks }),
      /^The weight dense_Dense\d+\/kernel is trainable now, and was not when/,
    );
    tf.engine().endScope();
  });

  it('takes no averages of another for weights, nor has its own taken', async () => {
    const { x, y } = data();
    const wrapper = own(new SWA(bare(tf.train.sgd(0.1)), { swaStart: 0, swaFreq: 1 }));
    const model = net(wrapper, false);
    const swa = swaCallback(model, { startEpoch: 'auto', validationData: [x, y] });
    const fit = (callbacks: Callbacks) => model.fit(x, y, { ...FIT, epochs: 3, callbacks });
    const swap = { onBatchEnd: async () => wrapper.swapSwaSgd() };
    tf.engine().startScope(); // what the failed fit of tfjs-layers leaves
    const taken = / dense_Dense\d+\/kernel holds the averages of another wrapper/;
    await assertFails(() => fit([swap, swa]), taken);
    tf.engine().endScope();
    wrapper.swapSwaSgd();

    const evaluate = model.evaluate.bind(model);
    const refused: boolean[] = [];
    model.evaluate = (...args) => {
      try {
        wrapper.updateSwa();
        refused.push(false);
      } catch (error) {
        refused.push(taken.test((error as Error).message));
      }
      return evaluate(...args);
    };
    await fit([swa]);
    assert.deepEqual(refused, [true, true, true, true, true, true]); // three epochs, three windows
    wrapper.updateSwa();
  });

  describe('training that is stopped', () => {
    it("by tfjs's earlyStopping, which watches swa_val_loss", async () => {
      const { x, y } = data();
      const model = net(undefined, true);
      const options = { startEpoch: 'auto', validationData: other(), bnData: [x] } as const;
      const swa = swaCallback(model, { ...options, verbose: 1 });
      const stop = tfl.callbacks.earlyStopping({ monitor: 'swa_val_loss', patience: 2 });
      let losses: number[] = [];
      const said = await saidBy(async () => {
        const callbacks = [new tfl.CustomCallback(swa), stop];
        const { history } = await model.fit(x, y, { ...FIT, epochs: 40, callbacks });
        losses = history['swa_val_loss'] as number[];
      });
      // Two epochs in a row that are no better than the best before them
      assert.equal(losses.indexOf(Math.min(...losses)), losses.length - 3);
      assert.isBelow(losses.length, 40);
      assert.equal(rowsOf(said).at(-1)!.updates, losses.length * BATCHES.length);
      const results = own(model.evaluate(...options.validationData, { batchSize: 4 }) as tf.Scalar);
      const [loss] = await results.data();
      assert.equal(said.at(-1)!.split(' ').at(-1), `${loss!}`);
    });
  });

  describe('what fails leaves the weights as training left them:', () => {
    /** Fits until `boom`; what is then in the model is what training alone left there. */
    async function fails(
      bn: boolean,
      options: object,
      message: string | RegExp,
      more: Callbacks = [],
    ): Promise<void> {
      const { x, y } = data();
      const optimizer = bare(tf.train.sgd(0.1));
      const model = net(optimizer, bn);
      let left: number[][] = [];
      const note = { onBatchEnd: async () => void (left = await values(model)) };
      const swa = swaCallback(model, {
        ...{ startEpoch: 'auto', validationData: other() },
        ...(bn && { bnData: [x] }),
        ...options,
      });
      const { numTensors } = tf.memory();
      tf.engine().startScope(); // what the failed fit of tfjs-layers leaves
      const callbacks = [note, swa, ...([more].flat() as tfl.CustomCallbackArgs[])];
      await assertFails(() => model.fit(x, y, { ...FIT, epochs: 5, callbacks }), message);
      tf.engine().endScope();
      assert.deepEqual(await values(model), left);
      assert.equal(tf.memory().numTensors, numTensors);
    }
    const boom = async (): Promise<void> => {
      throw new Error('boom');
    };

    for (const bn of [false, true]) {
      const which = bn ? ' (batch normalization)' : '';
      it(`an epoch, a batch of it or its end${which}`, async () => {
        for (const place of ['onEpochBegin', 'onBatchBegin', 'onBatchEnd', 'onEpochEnd']) {
          let calls = 0;
          const late = { [place]: async () => ((calls += 1) === 4 ? boom() : undefined) };
          await fails(bn, {}, 'boom', [late]);
        }
      });

      it(`bnData or the evaluation, after an epoch or in the choice${which}`, async () => {
        // Five epochs are evaluated, then five windows.
        for (const at of [1, 3, 6, 8, 10]) {
          let calls = 0;
          const validationData = tfd.generator(function* () {
            if ((calls += 1) === at) throw new Error('lost');
            const { x: xs, y: ys } = data();
            yield { xs, ys };
          });
          await fails(bn, { validationData }, /lost$/);
          if (!bn) continue;
          let reads = 0;
          const bnData = {
            *[Symbol.iterator]() {
              if ((reads += 1) === at) throw new Error('no more');
              yield data().x;
            },
          };
          await fails(bn, { bnData }, 'no more');
        }
      });
    }

    it('dispose() in the middle of an evaluation', async () => {
      const { model, validationData, fit, weight } = listed(epochs);
      const { numTensors } = tf.memory();
      let evaluations = 0;
      const swa = swaCallback(model, { startEpoch: 'auto', validationData });
      model.evaluate = () => {
        if ((evaluations += 1) === 3) swa.dispose();
        return tf.scalar(1);
      };
      await fit(swa);
      assert.equal(evaluations, 3);
      assertClose(await weight(), [9], 0);
      assert.equal(tf.memory().numTensors, numTensors);
    });
  });

  it('holds a copy a segment, 17 at most, and none after', async () => {
    const { x, y } = data();
    for (const bn of [false, true]) {
      const model = net(undefined, bn);
      const copies = bn ? 6 : 4; // what is trainable
      const held: number[] = [];
      const note = { onEpochEnd: async () => void held.push(tf.memory().numTensors) };
      const validationData = other();
      const swa = swaCallback(model, { startEpoch: 'auto', validationData, bnData: [x] });
      const before = tf.memory();
      await model.fit(x, y, { ...FIT, epochs: 20, callbacks: [note, swa, note] });
      // Before the end of the first epoch, and after the end of each.
      const after = held.filter((_, i) => i % 2 === 1).map((n) => n - held[0]!);
      const expected = Array.from({ length: 20 }, (_, i) => (Math.min(i + 1, 16) - 1) * copies);
      assert.deepEqual(after, expected);
      const open = held.filter((_, i) => i % 2 === 0).map((n) => n - held[0]!);
      assert.equal(open.at(-1), 16 * copies);
      const now = tf.memory();
      assert.deepEqual([now.numTensors, now.numBytes], [before.numTensors, before.numBytes]);
    }
  });

  describe('mistakes', () => {
    const stub = { weights: [], stopTraining: false };
    const refused = (options: object, message: string): Promise<void> =>
      assertFails(
        () => swaCallback(stub, { startEpoch: 'auto', ...options } as SwaCallbackOptions),
        message,
      );

    it('options that make no sense with it', async () => {
      const { x, y } = data();
      const validationData = [x, y];
      await refused({}, "startEpoch 'auto' requires validationData");
      await refused(
        { validationData, keepBest: true },
        "startEpoch 'auto' and keepBest exclude one another: each says what to end with",
      );
      for (const lrSchedule of ['constant', 'cyclic']) {
        await refused(
          { validationData, lrSchedule, swaFreq: 2 },
          `Invalid lrSchedule: "${lrSchedule}" (expected 'manual' with startEpoch 'auto': ` +
            'the others lay out their rates by startEpoch)',
        );
      }
      await refused(
        { validationData, swaFreq: 2 },
        "Invalid swaFreq: 2 (expected 1 with startEpoch 'auto', which averages every batch)",
      );
      for (const avgFn of [emaAvgFn(0.9), finiteOnly(swaAvgFn()), (a: tf.Tensor) => a]) {
        await refused(
          { validationData, avgFn },
          'Invalid avgFn: an instance of Function ' +
            "(expected swaAvgFn() with startEpoch 'auto', whose windows are equal averages)",
        );
      }
      await refused(
        { startEpoch: 'late', validationData },
        `Invalid startEpoch: "late" (expected an integer >= 2 or 'auto')`,
      );
      // What says the same as the defaults is taken.
      const same = { lrSchedule: 'manual', swaFreq: 1, avgFn: swaAvgFn(), keepBest: false };
      swaCallback(stub, { startEpoch: 'auto', validationData: [x, y], ...same } as never);
    });

    it('are told before training: no bnData, data that does not fit, a model that is none', async () => {
      const { x, y } = data();
      const model = net();
      const before = await values(model);
      const refuses = async (options: object, message: string | RegExp): Promise<void> => {
        const swa = swaCallback(model, { startEpoch: 'auto', ...options } as SwaCallbackOptions);
        const { numTensors } = tf.memory();
        await assertFails(() => model.fit(x, y, { ...FIT, epochs: 4, callbacks: swa }), message);
        assert.equal(tf.memory().numTensors, numTensors);
        assert.deepEqual(await values(model), before);
      };
      const needs = 'validationData requires bnData, since the model has batch normalization';
      await refuses({ validationData: [x, y] }, needs);
      const wide = own(tf.zeros([3, 5]));
      await refuses({ validationData: [wide, y], bnData: [x] }, /shape/);

      const optimizer = own(tf.train.sgd(1));
      const hand = swaCallback(
        { weights: [], optimizer, stopTraining: false },
        { startEpoch: 'auto', validationData: [x, y] },
      );
      hand.setParams({ epochs: 4 });
      await assertFails(
        () => hand.onTrainBegin(),
        /^Invalid model: an object \(expected a tfjs-layers model/,
      );
    });
  });
});
