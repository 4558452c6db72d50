import * as tfd from '@tensorflow/tfjs-data';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { SWA } from '../../lib/index.js';
import { assertClose, own, random, valuesOf } from '../support/support.js';

/** The trainable variables of a model or layer, in its order. */
function variablesOf(from: { trainableWeights: tfl.LayerVariable[] }): tf.Variable[] {
  return from.trainableWeights.map((weight) => weight.read() as tf.Variable);
}

/** The averages that an SWA holds, in the order of its parameters. */
async function averagesOf(swa: SWA): Promise<number[][]> {
  const { swa_state } = await swa.stateDict();
  return Object.values(swa_state).map(({ swa_buffer }) => [...swa_buffer.values]);
}

/** Gives every weight values in [-0.5, 0.5), the same for the same seed. */
function seedWeights<M extends tfl.LayersModel>(model: M, seed: number): M {
  const next = random(seed);
  for (const variable of variablesOf(model)) {
    const values = Array.from({ length: variable.size }, () => next() - 0.5);
    tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
  }
  return model;
}

/** 3 -> 4 (tanh) -> 2, with the same weights for the same seed. */
function denseNet(seed: number): tfl.Sequential {
  const layers = [
    tfl.layers.dense({ units: 4, activation: 'tanh', inputShape: [3] }),
    tfl.layers.dense({ units: 2 }),
  ];
  return seedWeights(own(tfl.sequential({ layers })), seed);
}

/** `count` examples of [x1, x2, x3] -> [x1 + x2, x2 - x3]. */
function examples(count: number, seed: number): { x: tf.Tensor2D; y: tf.Tensor2D } {
  const next = random(seed);
  const xs = Array.from({ length: count }, () => [next() - 0.5, next() - 0.5, next() - 0.5]);
  const ys = xs.map(([a, b, c]) => [a! + b!, b! - c!]);
  return { x: own(tf.tensor2d(xs)), y: own(tf.tensor2d(ys)) };
}

/** The sum, kept by hand in float64, of what the variables held after the averaged steps. */
class Sum {
  step = 0;
  count = 0;
  readonly sums: Float64Array[];

  constructor(
    private readonly variables: tf.Variable[],
    private readonly swaStart: number,
    private readonly swaFreq: number,
  ) {
    this.sums = variables.map(({ size }) => new Float64Array(size));
  }

  /** For `fit`: after each batch. */
  readonly callbacks = {
    onBatchEnd: async (): Promise<void> => {
      this.step += 1;
      if (this.step <= this.swaStart || this.step % this.swaFreq !== 0) return;
      this.count += 1;
      for (const [v, values] of (await valuesOf(this.variables)).entries()) {
        values.forEach((x, i) => (this.sums[v]![i]! += x));
      }
    },
  };

  get mean(): number[][] {
    return this.sums.map((sum) => Array.from(sum, (x) => x / this.count));
  }
}

function assertAllClose(actual: number[][], expected: number[][], tolerance: number): void {
  assert.lengthOf(actual, expected.length);
  actual.forEach((values, i) => assertClose(values, expected[i]!, tolerance, `variable ${i}`));
}

const quiet = { shuffle: false, verbose: 0, yieldEvery: 'never' } as const;
const mse = 'meanSquaredError';

describe('SWA in model.compile and model.fit', () => {
  it('averages as the sum kept by hand, with exact counters and rates', async () => {
    const model = denseNet(1);
    const { x, y } = examples(40, 2);
    const swa = own(new SWA(tf.train.sgd(0.1), { swaStart: 4, swaFreq: 3, swaLr: 0.05 }));
    model.compile({ optimizer: swa, loss: mse });
    const sum = new Sum(variablesOf(model), 4, 3);
    const rates: number[] = [];
    await model.fit(x, y, {
      ...quiet,
      batchSize: 4,
      epochs: 2,
      callbacks: {
        onBatchEnd: async () => {
          await sum.callbacks.onBatchEnd();
          rates.push(swa.paramGroups[0]!.lr);
        },
      },
    });
    // 2 epochs of 10 batches; of the steps 5..20 those that 3 divides: 6, 9, 12, 15, 18.
    const [group] = swa.paramGroups;
    assert.equal(swa.paramGroups.length, 1);
    assert.deepEqual([group!.step_counter, group!.n_avg, sum.count], [20, 5, 5]);
    // Steps 1 to 4 find a counter below 4; step 5 finds 4.
    assert.deepEqual(rates, [...Array(4).fill(0.1), ...Array(16).fill(0.05)]);
    const averages = await averagesOf(swa);
    assertAllClose(averages, sum.mean, 1e-6);

    const weights = await valuesOf(variablesOf(model));
    swa.swapSwaSgd();
    assert.deepEqual(await valuesOf(variablesOf(model)), averages);
    swa.swapSwaSgd();
    assert.deepEqual(await valuesOf(variablesOf(model)), weights);
    assert.notDeepEqual(weights, averages);
  });

  it('trains bit for bit as the base optimizer does, with the same losses and metrics', async () => {
    const { x, y } = examples(24, 3);
    const runs = await Promise.all(
      [tf.train.adam(0.05), new SWA(tf.train.adam(0.05))].map(async (optimizer) => {
        const model = denseNet(4);
        model.compile({ optimizer: own(optimizer), loss: mse, metrics: ['mae'] });
        const { history } = await model.fit(x, y, { ...quiet, batchSize: 5, epochs: 4 });
        return { history, weights: await valuesOf(variablesOf(model)) };
      }),
    );
    assert.deepEqual(runs[1], runs[0]);
    assert.hasAllKeys(runs[0]!.history, ['loss', 'mae']);
    const loss = runs[0]!.history['loss'] as number[];
    assert.isBelow(loss.at(-1)!, loss[0]! / 2);
  });

  it('gives each layer the rate of its group', async () => {
    const { x, y } = examples(8, 5);
    const fit = { ...quiet, batchSize: 8, epochs: 1 };
    // A plain step at rate 1 moves each variable by minus its gradient.
    const plain = denseNet(6);
    const before = await valuesOf(variablesOf(plain));
    plain.compile({ optimizer: own(tf.train.sgd(1)), loss: mse });
    await plain.fit(x, y, fit);
    const moved = (await valuesOf(variablesOf(plain))).map((w, v) =>
      w.map((a, i) => a - before[v]![i]!),
    );

    const model = denseNet(6);
    const [first, second] = model.layers;
    const swa = own(
      new SWA(tf.train.sgd(0.5), {
        swaStart: 0,
        swaFreq: 1,
        paramGroups: [
          { params: variablesOf(first!), lr: 0.2 },
          { params: variablesOf(second!), lr: 0.03 },
        ],
      }),
    );
    model.compile({ optimizer: swa, loss: mse });
    await model.fit(x, y, fit);
    const rates = [0.2, 0.2, 0.03, 0.03];
    const expected = before.map((w, v) => w.map((a, i) => a + rates[v]! * moved[v]![i]!));
    assertAllClose(await valuesOf(variablesOf(model)), expected, 1e-6);
    assert.deepEqual(
      swa.paramGroups.map(({ lr, n_avg, step_counter }) => [lr, n_avg, step_counter]),
      [
        [0.2, 1, 1],
        [0.03, 1, 1],
      ],
    );
    // A rate that is changed between two calls of fit is the live one.
    const [w0, w1] = [await valuesOf(variablesOf(first!)), await valuesOf(variablesOf(second!))];
    swa.paramGroups[0]!.lr = 0;
    await model.fit(x, y, fit);
    assert.deepEqual(await valuesOf(variablesOf(first!)), w0);
    assert.notDeepEqual(await valuesOf(variablesOf(second!)), w1);
  });

  it('fitDataset trains and averages bit for bit as fit does', async () => {
    const { x, y } = examples(20, 7);
    const [rows, labels] = [await x.array(), await y.array()];
    const runs = [];
    for (const dataset of [false, true]) {
      const model = denseNet(8);
      const swa = own(new SWA(tf.train.adam(0.05), { swaStart: 2, swaFreq: 2 }));
      model.compile({ optimizer: swa, loss: mse, metrics: ['mae'] });
      const { numTensors } = tf.memory();
      const { history } = dataset
        ? await model.fitDataset(tfd.zip({ xs: tfd.array(rows), ys: tfd.array(labels) }).batch(4), {
            epochs: 3,
            verbose: 0,
            yieldEvery: 'never',
          })
        : await model.fit(x, y, { ...quiet, batchSize: 4, epochs: 3 });
      // Four variables with two slots of Adam's and an average each.
      assert.equal(tf.memory().numTensors - numTensors, 4 * 3);
      const [group] = swa.paramGroups;
      runs.push({
        loss: history['loss'],
        weights: await valuesOf(variablesOf(model)),
        averages: await averagesOf(swa),
        counters: [group!.step_counter, group!.n_avg],
      });
    }
    // 15 steps; of 3..15 the even ones are 4, 6, 8, 10, 12, 14.
    assert.deepEqual(runs[0]!.counters, [15, 6]);
    assert.deepEqual(runs[1], runs[0]);
  });

  it('leaves no tensor after fit but slots and averages, and none at a second fit', async () => {
    const { x, y } = examples(12, 9);
    const model = denseNet(10);
    const swa = own(new SWA(tf.train.momentum(0.1, 0.9), { swaStart: 1, swaFreq: 1 }));
    model.compile({ optimizer: swa, loss: mse, metrics: ['mae'] });
    const counts = [tf.memory().numTensors];
    for (let run = 0; run < 3; run++) {
      await model.fit(x, y, { ...quiet, batchSize: 3, epochs: 2, validationSplit: 0.25 });
      counts.push(tf.memory().numTensors);
    }
    const [none, first, ...later] = counts;
    assert.equal(first! - none!, 4 + 4);
    assert.deepEqual(later, [first, first]);
    swa.swapSwaSgd();
    assert.equal(tf.memory().numTensors, first);
    tf.dispose(model.evaluate(x, y, { verbose: 0 }) as tf.Scalar[]);
    swa.swapSwaSgd();
    swa.dispose();
    assert.equal(tf.memory().numTensors, none! - 2, 'the average, the slots and two scalars');
  });

  it('trainOnBatch takes a step, and evaluate takes none', async () => {
    const { x, y } = examples(6, 11);
    const model = denseNet(12);
    const swa = own(new SWA(tf.train.sgd(0.1), { swaStart: 0, swaFreq: 1 }));
    model.compile({ optimizer: swa, loss: mse });
    await model.trainOnBatch(x, y);
    const weights = await valuesOf(variablesOf(model));
    own(model.evaluate(x, y, { verbose: 0 }) as tf.Scalar);
    assert.equal(swa.paramGroups[0]!.step_counter, 1);
    assert.deepEqual(await valuesOf(variablesOf(model)), weights);
    assert.deepEqual(await averagesOf(swa), weights);
  });

  it('minimize returns the cost before the step if asked, else null', async () => {
    const model = denseNet(13);
    const { x, y } = examples(4, 14);
    const loss = () => tf.losses.meanSquaredError(y, model.apply(x) as tf.Tensor) as tf.Scalar;
    const swa = own(new SWA(tf.train.sgd(0.1)));
    const before = (await own(tf.tidy(loss)).data())[0];
    const { numTensors } = tf.memory();
    const cost = own(swa.minimize(loss, true, variablesOf(model))!);
    assert.deepEqual([...cost.shape, ...(await cost.data())], [before]);
    assert.isNull(swa.minimize(loss, false, variablesOf(model)));
    assert.equal(tf.memory().numTensors, numTensors + 1, 'the cost alone');
    assert.isBelow((await own(tf.tidy(loss)).data())[0]!, before!);
  });

  it('refuses to train while swapped, and leaves the averages alone', async () => {
    const { x, y } = examples(4, 15);
    const model = denseNet(16);
    const swa = own(new SWA(tf.train.sgd(0.1), { swaStart: 0, swaFreq: 1 }));
    model.compile({ optimizer: swa, loss: mse });
    await model.fit(x, y, { ...quiet, epochs: 2 });
    swa.swapSwaSgd();
    const averages = await valuesOf(variablesOf(model));
    let message = '';
    // trainOnBatch, because fit leaves its list of indices when a step fails (tfjs-layers 4.22).
    await model.trainOnBatch(x, y).catch((error: Error) => (message = error.message));
    assert.match(message, /while swapped.*call swapSwaSgd\(\) first/);
    assert.deepEqual(await valuesOf(variablesOf(model)), averages);
    assert.deepEqual([swa.paramGroups[0]!.step_counter, swa.paramGroups[0]!.n_avg], [2, 2]);
  });

  it('a layer that is frozen before compile has no part in the group', async () => {
    const { x, y } = examples(4, 17);
    const model = denseNet(18);
    model.layers[0]!.trainable = false;
    const frozen = await valuesOf(model.layers[0]!.getWeights());
    const swa = own(new SWA(tf.train.sgd(0.1), { swaStart: 0, swaFreq: 1 }));
    model.compile({ optimizer: swa, loss: mse });
    await model.fit(x, y, quiet);
    assert.deepEqual(swa.paramGroups[0]!.params, variablesOf(model.layers[1]!));
    assert.deepEqual(await valuesOf(model.layers[0]!.getWeights()), frozen);
  });
});

describe('two SWA at once', () => {
  /** A generator 2 -> 2 and a discriminator 2 -> 1, with their losses. */
  function gan() {
    const generator = seedWeights(
      own(tfl.sequential({ layers: [tfl.layers.dense({ units: 2, inputShape: [2] })] })),
      20,
    );
    const discriminator = seedWeights(
      own(tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [2] })] })),
      21,
    );
    const real = own(tf.tensor2d([1, 2, 1.5, 1, 0.5, 2], [3, 2]));
    const noise = own(tf.tensor2d([0.1, -0.2, 0.3, 0.4, -0.5, 0.6], [3, 2]));
    const score = (x: tf.Tensor) => tf.sigmoid(discriminator.apply(x) as tf.Tensor);
    const fake = () => generator.apply(noise) as tf.Tensor;
    const toOne = (x: tf.Tensor) => tf.mean(tf.square(tf.sub(score(x), 1)));
    const toZero = (x: tf.Tensor) => tf.mean(tf.square(score(x)));
    return {
      g: variablesOf(generator),
      d: variablesOf(discriminator),
      discriminatorLoss: () => tf.add(toOne(real), toZero(fake())) as tf.Scalar,
      realLoss: () => toOne(real) as tf.Scalar,
      generatorLoss: () => toOne(fake()) as tf.Scalar,
    };
  }

  it('with a varList each: one’s step leaves all of the other’s alone', async () => {
    const { g, d, discriminatorLoss, generatorLoss } = gan();
    const swaG = own(new SWA(tf.train.adam(0.05), { swaStart: 1, swaFreq: 2 }));
    const swaD = own(new SWA(tf.train.momentum(0.1, 0.5), { swaStart: 0, swaFreq: 1 }));
    const sums = { g: new Sum(g, 1, 2), d: new Sum(d, 0, 1) };
    const look = async (swa: SWA, variables: tf.Variable[]) => ({
      values: await valuesOf(variables),
      averages: await averagesOf(swa),
      counters: swa.paramGroups.map(({ n_avg, step_counter }) => [n_avg, step_counter]),
    });
    for (let step = 0; step < 9; step++) {
      const otherG = await look(swaG, g);
      swaD.minimize(discriminatorLoss, false, d);
      await sums.d.callbacks.onBatchEnd();
      assert.deepEqual(await look(swaG, g), otherG);
      if (step % 3 === 2) continue; // the generator takes two steps for the discriminator's three
      const otherD = await look(swaD, d);
      swaG.minimize(generatorLoss, false, g);
      await sums.g.callbacks.onBatchEnd();
      assert.deepEqual(await look(swaD, d), otherD);
      assert.notDeepEqual(await valuesOf(g), otherG.values);
    }
    // The generator averaged steps 2, 4, 6, the discriminator every one.
    const [groupG, groupD] = [swaG.paramGroups[0]!, swaD.paramGroups[0]!];
    assert.deepEqual([groupG.step_counter, groupG.n_avg, groupG.params], [6, 3, g]);
    assert.deepEqual([groupD.step_counter, groupD.n_avg, groupD.params], [9, 9, d]);
    assertAllClose(await averagesOf(swaG), sums.g.mean, 1e-6);
    assertAllClose(await averagesOf(swaD), sums.d.mean, 1e-6);

    const weights = await valuesOf(d);
    swaG.swapSwaSgd();
    assert.deepEqual([swaG.swapped, swaD.swapped], [true, false]);
    assert.deepEqual(await valuesOf(d), weights);
    // The discriminator may train on while the generator shows its average.
    swaD.minimize(discriminatorLoss, false, d);
    assertAllClose(await valuesOf(g), sums.g.mean, 1e-6);
    swaG.swapSwaSgd();
  });

  it('with named groups each needs no varList', async () => {
    const { g, d, generatorLoss, discriminatorLoss } = gan();
    const swaG = own(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: g }] }));
    const swaD = own(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: d }] }));
    const before = [await valuesOf(g), await valuesOf(d)];
    swaG.minimize(generatorLoss);
    assert.notDeepEqual(await valuesOf(g), before[0]);
    assert.deepEqual(await valuesOf(d), before[1]);
    const after = await valuesOf(g);
    swaD.minimize(discriminatorLoss);
    assert.deepEqual(await valuesOf(g), after);
    assert.notDeepEqual(await valuesOf(d), before[1]);
  });

  it('by default a wrapper takes all variables that its loss depends on', async () => {
    const { g, d, generatorLoss, realLoss } = gan();
    const swaD = own(new SWA(tf.train.sgd(0.1)));
    const swaG = own(new SWA(tf.train.sgd(0.1)));
    const before = [await valuesOf(g), await valuesOf(d)];
    swaD.minimize(realLoss);
    assert.deepEqual(await valuesOf(g), before[0]);
    assert.deepEqual(swaD.paramGroups[0]!.params, d);
    swaG.minimize(generatorLoss);
    const names = (variables: readonly tf.Variable[]) => variables.map(({ name }) => name).sort();
    assert.deepEqual(names(swaG.paramGroups[0]!.params), names([...g, ...d]));
  });

  it('by default variables that one wrapper meets later form a second group', async () => {
    const { g, d, generatorLoss, realLoss } = gan();
    const swa = own(new SWA(tf.train.sgd(0.1), { swaStart: 1, swaFreq: 1 }));
    swa.minimize(realLoss);
    swa.minimize(realLoss);
    swa.minimize(generatorLoss);
    assert.deepEqual(
      swa.paramGroups.map(({ params, step_counter, n_avg }) => [params, step_counter, n_avg]),
      [
        [d, 3, 2], // averaged at its steps 2 and 3
        [g, 3, 1], // in step with the first: averaged at its first, which counts as step 3
      ],
    );
  });
});

describe('a net with batch normalization', () => {
  /** Images 4 x 4 whose class is the half that is brighter, on a random ground. */
  function images(count: number): { x: tf.Tensor4D; y: tf.Tensor2D } {
    const next = random(30);
    const labels = Array.from({ length: count }, (_, n) => n % 2);
    const pixels = labels.flatMap((label) =>
      Array.from({ length: 16 }, (_, i) => next() + (Number(i >= 8) === label ? 3 : 2)),
    );
    const y = labels.map((label) => [1 - label, label]);
    return { x: own(tf.tensor4d(pixels, [count, 4, 4, 1])), y: own(tf.tensor2d(y)) };
  }

  it('is trained, averaged, swapped, re-estimated and swapped back', async function () {
    // A convolution's gradient for its kernel is a kernel that wasm lacks: it is kept there.
    const trainable = tf.getBackend() !== 'wasm';
    const conv = tfl.layers.conv2d({
      filters: 2,
      kernelSize: 2,
      inputShape: [4, 4, 1],
      trainable,
    });
    const bn = tfl.layers.batchNormalization({ momentum: 0.9 });
    const model = own(
      tfl.sequential({
        layers: [
          conv,
          bn,
          tfl.layers.activation({ activation: 'relu' }),
          tfl.layers.flatten(),
          tfl.layers.dense({ units: 2, activation: 'softmax' }),
        ],
      }),
    );
    const next = random(31);
    tf.tidy(() =>
      model.setWeights(
        model.getWeights().map((w) => {
          const values = Array.from({ length: w.size }, () => 0.25 + 0.5 * next());
          return tf.tensor(values, w.shape);
        }),
      ),
    );
    const { x, y } = images(32);
    const swa = own(new SWA(tf.train.momentum(0.05, 0.9), { swaStart: 8, swaFreq: 4 }));
    model.compile({ optimizer: swa, loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
    const variables = variablesOf(model);
    const sum = new Sum(variables, 8, 4);
    await model.fit(x, y, { ...quiet, batchSize: 8, epochs: 10, callbacks: sum.callbacks });
    // 40 steps; averaged at 12, 16, ..., 40.
    assert.deepEqual([swa.paramGroups[0]!.step_counter, swa.paramGroups[0]!.n_avg], [40, 8]);

    const weights = await valuesOf(variables);
    const { numTensors } = tf.memory();
    await swa.withSwa(async () => {
      assertAllClose(await valuesOf(variables), sum.mean, 1e-6);
      await SWA.bnUpdate(
        tfd.zip({ xs: tfd.array(await x.array()), ys: tfd.array(await y.array()) }).batch(5),
        model,
      );
      // The statistics of the convolution with the averaged weights, worked in float64.
      const [kernel, bias] = await valuesOf(conv.getWeights());
      const pixels = await x.data();
      const channels: number[][] = [[], []];
      for (let n = 0; n < 32; n++) {
        for (const i of [0, 1, 2]) {
          for (const j of [0, 1, 2]) {
            for (const f of [0, 1]) {
              let total = bias![f]!;
              for (const [k, offset] of [0, 1, 4, 5].entries()) {
                total += pixels[16 * n + 4 * i + j + offset]! * kernel![2 * k + f]!;
              }
              channels[f]!.push(total);
            }
          }
        }
      }
      const mean = channels.map((c) => c.reduce((a, b) => a + b, 0) / c.length);
      const variance = channels.map(
        (c, f) => c.reduce((a, b) => a + (b - mean[f]!) ** 2, 0) / c.length,
      );
      const [movingMean, movingVariance] = bn.getWeights().slice(2);
      assertClose(await movingMean!.data(), mean, 1e-5, 'mean');
      assertClose(await movingVariance!.data(), variance, 1e-5, 'variance');
      const [loss, accuracy] = model.evaluate(x, y, { verbose: 0 }) as tf.Scalar[];
      assert.equal((await accuracy!.data())[0], 1);
      tf.dispose([loss!, accuracy!]);
    });
    assert.deepEqual(await valuesOf(variables), weights);
    assert.equal(tf.memory().numTensors, numTensors);
  });
});

describe('model.save with includeOptimizer', () => {
  /** Saves in memory, and takes the artifacts through JSON as a file would. */
  async function saved(model: tfl.LayersModel): Promise<tf.io.ModelArtifacts> {
    // model.save disposes nothing of what getWeights() gave (tfjs-layers 4.22, training.ts), of
    // which the first is made anew.
    const { optimizer } = model;
    optimizer.getWeights = async () => {
      const weights = await SWA.prototype.getWeights.call(optimizer);
      own(weights[0]!.tensor);
      return weights;
    };
    let artifacts: tf.io.ModelArtifacts | undefined;
    await model.save(
      tf.io.withSaveHandler(async (given) => {
        artifacts = given;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
      { includeOptimizer: true },
    );
    const { weightData, ...json } = artifacts!;
    const bytes = tf.io.CompositeArrayBuffer.join(weightData);
    return { ...JSON.parse(JSON.stringify(json)), weightData: bytes.slice(0) };
  }

  async function loaded(artifacts: tf.io.ModelArtifacts): Promise<tfl.LayersModel> {
    return own(await tfl.loadLayersModel(tf.io.fromMemory(artifacts)));
  }

  /** All that a run leaves to compare. */
  async function outcome(model: tfl.LayersModel, losses: unknown) {
    const swa = model.optimizer as SWA;
    return {
      losses,
      weights: await valuesOf(variablesOf(model)),
      averages: await averagesOf(swa),
      groups: swa.paramGroups.map(({ lr, n_avg, step_counter }) => ({ lr, n_avg, step_counter })),
    };
  }

  const bases: Record<string, () => tf.Optimizer> = {
    sgd: () => tf.train.sgd(0.1),
    momentum: () => tf.train.momentum(0.05, 0.9),
    nesterov: () => tf.train.momentum(0.05, 0.9, true),
    adagrad: () => tf.train.adagrad(0.1),
    adadelta: () => tf.train.adadelta(0.5),
    adam: () => tf.train.adam(0.03),
    adamax: () => tf.train.adamax(0.03),
    rmsprop: () => tf.train.rmsprop(0.01, 0.9, 0.5),
  };
  const fit = { ...quiet, batchSize: 4, epochs: 1 };

  for (const [name, base] of Object.entries(bases)) {
    it(`goes on bit for bit with ${name}: 6 + 9 steps are 15`, async () => {
      const [first, second] = [examples(24, 40), examples(36, 41)];
      const options = { swaStart: 3, swaFreq: 2, swaLr: 0.04 };
      const compiled = () => {
        const model = denseNet(42);
        model.compile({ optimizer: own(new SWA(base(), options)), loss: mse, metrics: ['mae'] });
        return model;
      };
      const straight = compiled();
      await straight.fit(first.x, first.y, fit);
      const { history } = await straight.fit(second.x, second.y, fit);
      const expected = await outcome(straight, history['loss']);
      // Averaged at 4, 6, 8, 10, 12, 14.
      assert.deepEqual(expected.groups, [{ lr: 0.04, n_avg: 6, step_counter: 15 }]);

      const stopped = compiled();
      await stopped.fit(first.x, first.y, fit);
      const model = await loaded(await saved(stopped));
      own(model.optimizer);
      assert.instanceOf(model.optimizer, SWA);
      const swa = model.optimizer as SWA;
      assert.deepEqual([swa.swaStart, swa.swaFreq, swa.swaLr], [3, 2, 0.04]);
      const { optimizer: wrapped } = stopped.optimizer as SWA;
      assert.strictEqual(swa.optimizer.constructor, wrapped.constructor);
      assert.deepEqual(swa.optimizer.getConfig(), wrapped.getConfig());
      // tfjs gives a second model of the same layers other names, so that positions decide.
      const names = [stopped, model].map((m) => variablesOf(m).map((variable) => variable.name));
      assert.notDeepEqual(names[1], names[0]);
      const resumed = await model.fit(second.x, second.y, fit);
      assert.deepEqual(await outcome(model, resumed.history['loss']), expected);
      // The run that was saved was not touched by the loading, and goes on too.
      const same = await stopped.fit(second.x, second.y, fit);
      assert.deepEqual(await outcome(stopped, same.history['loss']), expected);
    });
  }

  it('can be saved again right after loading, and again later', async () => {
    const { x, y } = examples(20, 43);
    const model = denseNet(44);
    model.compile({
      optimizer: own(new SWA(tf.train.adam(0.03), { swaStart: 1, swaFreq: 1 })),
      loss: mse,
    });
    await model.fit(x, y, fit);
    const second = await loaded(await saved(model));
    own(second.optimizer);
    const third = await loaded(await saved(second));
    own(third.optimizer);
    const runs = [];
    for (const run of [model, second, third]) {
      const { history } = await run.fit(x, y, fit);
      runs.push(await outcome(run, history['loss']));
    }
    assert.deepEqual(runs[1], runs[0]);
    assert.deepEqual(runs[2], runs[0]);
  });

  it('carries a swap over: the loaded model swaps back to the weights', async () => {
    const { x, y } = examples(20, 45);
    const model = denseNet(46);
    const swa = own(new SWA(tf.train.adam(0.03), { swaStart: 1, swaFreq: 1 }));
    model.compile({ optimizer: swa, loss: mse });
    await model.fit(x, y, fit);
    const weights = await valuesOf(variablesOf(model));
    swa.swapSwaSgd();
    const averages = await valuesOf(variablesOf(model));
    const copy = await loaded(await saved(model));
    const copied = own(copy.optimizer) as SWA;
    assert.deepEqual(await valuesOf(variablesOf(copy)), averages);
    let message = '';
    await copy.trainOnBatch(x, y).catch((error: Error) => (message = error.message));
    assert.match(message, /while swapped/);
    copied.swapSwaSgd();
    assert.deepEqual(await valuesOf(variablesOf(copy)), weights);
    swa.swapSwaSgd();
    const histories = [await model.fit(x, y, fit), await copy.fit(x, y, fit)];
    const [one, two] = histories.map(({ history }) => history['loss']);
    assert.deepEqual(await outcome(copy, two), await outcome(model, one));
  });

  it('leaves no tensor for each save, and none after dispose', async () => {
    const { x, y } = examples(8, 49);
    const model = denseNet(50);
    const swa = new SWA(tf.train.sgd(0.03), { swaStart: 1, swaFreq: 1 });
    model.compile({ optimizer: swa, loss: mse });
    await model.fit(x, y, { ...fit, epochs: 3 });
    const { numTensors } = tf.memory();
    const handler = tf.io.withSaveHandler(async () => ({
      modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const },
    }));
    for (let save = 0; save < 5; save++) await model.save(handler, { includeOptimizer: true });
    const more = tf.memory().numTensors - numTensors;
    swa.dispose();
    // Four averages and the learning rate of SGD go with the wrapper; nothing was left by the saves.
    assert.equal(tf.memory().numTensors, numTensors - 5, 'after dispose');
    assert.equal(more, 0, 'after five saves: each tensor that was lent has been read');
  });

  it('disposing the loaded model and its optimizer leaves nothing, trained or not', async () => {
    const { x, y } = examples(8, 47);
    const model = denseNet(48);
    model.compile({
      optimizer: own(new SWA(tf.train.momentum(0.03, 0.9), { swaStart: 1, swaFreq: 1 })),
      loss: mse,
    });
    await model.fit(x, y, { ...fit, epochs: 3 });
    const artifacts = await saved(model);
    const before = tf.memory();
    for (const train of [false, true]) {
      const copy = await tfl.loadLayersModel(tf.io.fromMemory(artifacts));
      if (train) await copy.fit(x, y, fit);
      copy.optimizer.dispose();
      copy.dispose();
      const { numTensors, numBytes } = tf.memory();
      assert.deepEqual([numTensors, numBytes], [before.numTensors, before.numBytes]);
    }
  });
});
