import * as tfd from '@tensorflow/tfjs-data';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { SWA, updateBn, type BnLoader, type BnUpdateOptions } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import {
  assertClose,
  assertFails,
  golden,
  own,
  random,
  valuesOf,
  variable,
} from '../support/support.js';

interface Moments {
  mean: number[];
  variance: number[];
}

interface BnLike {
  movingMean: tf.Variable | { read(): tf.Variable };
  movingVariance: tf.Variable | { read(): tf.Variable };
  momentum: number;
}

/** Mean and biased variance of each column, in float64. */
function momentsOf(rows: readonly (readonly number[])[]): Moments {
  const mean = rows[0]!.map((_, c) => rows.reduce((sum, row) => sum + row[c]!, 0) / rows.length);
  const square = (row: readonly number[], c: number) => (row[c]! - mean[c]!) ** 2;
  const variance = mean.map((_, c) => rows.reduce((sum, r) => sum + square(r, c), 0) / rows.length);
  return { mean, variance };
}

/** `rows x columns` numbers, each a float32; column c is uniform in [c - 1, 2 c]. */
function table(rows: number, columns: number, seed: number): number[][] {
  const next = random(seed);
  const cell = (_: unknown, c: number) => Math.fround(c - 1 + (c + 1) * next());
  return Array.from({ length: rows }, () => Array.from({ length: columns }, cell));
}

/** The rows cut into owned batches of these sizes. */
function cut(rows: number[][], sizes: readonly number[]): tf.Tensor2D[] {
  let from = 0;
  return sizes.map((size) => {
    from += size;
    return own(tf.tensor2d(rows.slice(from - size, from), [size, rows[0]!.length]));
  });
}

/** Batches of one size, the last may be smaller. */
function batchesOf(size: number, rows: number[][]): tf.Tensor2D[] {
  const count = Math.ceil(rows.length / size);
  const sizes = Array.from({ length: count }, (_, i) => Math.min(size, rows.length - i * size));
  return cut(rows, sizes);
}

/** What a layer holds now. */
async function statistics(layer: unknown): Promise<Moments> {
  const read = async (s: BnLike['movingMean']) => [...(await ('read' in s ? s.read() : s).data())];
  const { movingMean, movingVariance } = layer as BnLike;
  return { mean: await read(movingMean), variance: await read(movingVariance) };
}

async function assertMoments(layer: unknown, expected: Moments, tolerance = 1e-5): Promise<void> {
  const { mean, variance } = await statistics(layer);
  assertClose(mean, expected.mean, tolerance, 'mean');
  assertClose(variance, expected.variance, tolerance, 'variance');
}

/** A batch normalization, by itself a model of `columns` inputs. */
function bnModel(columns: number): { model: tfl.Sequential; bn: tfl.layers.Layer } {
  const bn = tfl.layers.batchNormalization({ inputShape: [columns] });
  return { model: own(tfl.sequential({ layers: [bn] })), bn };
}

/** Owns the weights of a layer that is in no model: tfjs disposes only layers in use. */
function ownWeights(layer: tfl.layers.Layer): void {
  for (const weight of layer.weights) own(weight);
}

/** A batch normalization that is in no model. */
function built(shape: tfl.Shape): tfl.layers.Layer {
  const bn = tfl.layers.batchNormalization({});
  bn.build(shape);
  ownWeights(bn);
  return bn;
}

/** Puts these statistics in a layer that holds gamma, beta, mean and variance. */
function setStatistics(bn: tfl.layers.Layer, mean: number[], variance: number[]): void {
  tf.tidy(() => {
    const [gamma, beta] = bn.getWeights();
    bn.setWeights([gamma!, beta!, tf.tensor1d(mean), tf.tensor1d(variance)]);
  });
}

/** Two normalizations that hold remembered numbers, and what must be there after a failure. */
function remembered({ inner = false } = {}): {
  model: tfl.Sequential;
  bns: tfl.layers.Layer[];
  check: () => Promise<void>;
} {
  const bns = [0.9, 0.97].map((momentum) =>
    tfl.layers.batchNormalization({ momentum, inputShape: [2] }),
  );
  const model = tfl.sequential({ layers: bns });
  if (!inner) own(model); // else the outer model's to dispose
  setStatistics(bns[0]!, [1.5, -2], [3, 4]);
  setStatistics(bns[1]!, [0.25, 7], [5, 6]);
  const check = async () => {
    assert.deepEqual(await statistics(bns[0]), { mean: [1.5, -2], variance: [3, 4] });
    assert.deepEqual(await statistics(bns[1]), { mean: [0.25, 7], variance: [5, 6] });
    assert.deepEqual(bns.map(momentumOf), [0.9, 0.97]);
    for (const bn of bns) assert.isFalse(Object.hasOwn(bn, 'call'), 'call is the class’s again');
  };
  return { model, bns, check };
}

function momentumOf(layer: unknown): number {
  return (layer as BnLike).momentum;
}

/** What `f` throws or rejects with. */
async function caughtFrom(f: () => unknown): Promise<unknown> {
  try {
    await f();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}

/** A normalization of the caller's own, on [examples, columns]; `passes` counts its calls. */
class OwnNorm {
  readonly movingMean: tf.Variable;
  readonly movingVariance: tf.Variable;
  momentum = 0.75;
  trainable = true;
  passes = 0;

  constructor(mean: number[], variance: number[]) {
    this.movingMean = variable(mean);
    this.movingVariance = variable(variance);
  }

  forward(x: tf.Tensor): tf.Tensor {
    this.passes += 1;
    return tf.tidy(() => {
      const { mean, variance } = tf.moments(x, 0);
      const move = (old: tf.Variable, now: tf.Tensor) =>
        old.assign(tf.add(tf.mul(old, this.momentum), tf.mul(now, 1 - this.momentum)));
      move(this.movingMean, mean);
      move(this.movingVariance, variance);
      return tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-3)));
    });
  }
}

/** x + bn(x), a layer that keeps its normalization in a property of its own. */
class Residual extends tfl.layers.Layer {
  static className = 'BnSpecResidual';
  readonly inner = { name: 'not a layer' };
  readonly branches = [[tfl.layers.batchNormalization({})]];

  get norm(): tfl.layers.Layer {
    return this.branches[0]![0]!;
  }
  override build(shape: tfl.Shape): void {
    this.norm.build(shape);
    this.built = true;
  }
  override computeOutputShape(shape: tfl.Shape): tfl.Shape {
    return shape;
  }
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: object): tf.Tensor {
    const x = Array.isArray(inputs) ? inputs[0]! : inputs;
    return tf.add(x, this.norm.call(x, kwargs) as tf.Tensor);
  }
}

/** A recurrent cell whose output and state are bn(x); it forgets the state. */
class NormCell extends tfl.layers.RNNCell {
  static className = 'BnSpecNormCell';
  readonly stateSize = 2;
  readonly norm = tfl.layers.batchNormalization({});

  override build(shape: tfl.Shape): void {
    this.norm.build(shape);
    this.built = true;
  }
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: object): tf.Tensor[] {
    const y = this.norm.call((inputs as tf.Tensor[])[0]!, kwargs) as tf.Tensor;
    return [y, y];
  }
}

/** Its own class, because Bidirectional cannot copy an RNN of any cell (tfjs-layers 4.22). */
class NormRnn extends tfl.RNN {
  static override className = 'BnSpecNormRnn';

  constructor(config: object) {
    super({ ...config, cell: new NormCell({}), returnSequences: true });
  }
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    return new cls(config);
  }
}
tf.serialization.registerClass(NormRnn);

describe('updateBn: whose statistics', () => {
  it('gives the population statistics of the recorded net, and not torch’s', async () => {
    const trace = golden('bn_update');
    const bn1 = tfl.layers.batchNormalization({ epsilon: trace.eps });
    const bn4 = tfl.layers.batchNormalization({ epsilon: trace.eps });
    const dense0 = tfl.layers.dense({ units: 4, inputShape: [5] });
    const dense3 = tfl.layers.dense({ units: 3 });
    const relu = tfl.layers.activation({ activation: 'relu' });
    const net = own(tfl.sequential({ layers: [dense0, bn1, relu, dense3, bn4] }));
    tf.tidy(() => {
      const given = (layer: number, part: string) => {
        const { shape, values } = trace.weights[`${layer}.${part}`];
        return tf.tensor(values, shape);
      };
      // torch's weight is [out, in], tfjs's kernel [in, out].
      const dense = (layer: number) => [tf.transpose(given(layer, 'weight')), given(layer, 'bias')];
      dense0.setWeights(dense(0));
      dense3.setWeights(dense(3));
      bn1.setWeights([given(1, 'weight'), given(1, 'bias'), ...bn1.getWeights().slice(2)]);
      bn4.setWeights([given(4, 'weight'), given(4, 'bias'), ...bn4.getWeights().slice(2)]);
    });
    const data: number[][] = [];
    for (let i = 0; i < 100; i++) data.push(trace.data.values.slice(5 * i, 5 * i + 5));

    await updateBn(batchesOf(trace.batch_size, data), net);

    for (const [layer, name] of [[bn1, '1'] as const, [bn4, '4'] as const]) {
      const { mean, variance } = await statistics(layer);
      const relative = (actual: number[], rule: string, part: string) =>
        actual.map((x, i) => Math.abs(x / trace[rule][name][part].values[i] - 1));
      const errors = [
        ...relative(mean, 'population', 'mean'),
        ...relative(variance, 'population', 'var'),
      ];
      assert.isBelow(Math.max(...errors), 1e-5, `population, layer ${name}`);
      // Layer 4, say: 0.67515 pooled, 0.72237 by torchcontrib, 0.68446 by swa_utils, 0.67446 by
      // weighing the batch variances: each rule is off by 1e-3 somewhere.
      for (const rule of ['torchcontrib_bn_update', 'swa_utils_update_bn', 'weighted_biased']) {
        assert.isAbove(Math.max(...relative(variance, rule, 'var')), 1e-3, `${rule}, ${name}`);
      }
    }
  });

  it('weighs batches by their examples: [1], [2, 3, 10] has mean 4 and variance 12.5', async () => {
    // Mean (1 + 2 + 3 + 10) / 4 = 4; squares 9 + 4 + 1 + 36 = 50, / 4 = 12.5. Alike-weighing would
    // give a mean of (1 + 5) / 2 = 3.
    const { model, bn } = bnModel(1);
    await updateBn(cut([[1], [2], [3], [10]], [1, 3]), model);
    await assertMoments(bn, { mean: [4], variance: [12.5] }, 1e-6);
  });

  it('pools the spread between batches: four batches of one have their variance', async () => {
    // Every batch variance is 0; the examples 0, 2, 4, 6 have mean 3 and variance (9+1+1+9)/4 = 5.
    const { model, bn } = bnModel(1);
    await updateBn(batchesOf(1, [[0], [2], [4], [6]]), model);
    await assertMoments(bn, { mean: [3], variance: [5] }, 1e-6);
  });

  for (const sizes of [[100], Array(100).fill(1), [16, 16, 16, 16, 16, 16, 4], [1, 99], [99, 1]]) {
    it(`is the same for 100 examples cut into ${sizes.length}, first ${sizes[0]}`, async () => {
      const rows = table(100, 3, 1);
      const { model, bn } = bnModel(3);
      await updateBn(cut(rows, sizes), model);
      await assertMoments(bn, momentsOf(rows), 2e-6);
    });
  }

  it('is the same however the data is cut, empty batches included', async () => {
    const rows = table(60, 2, 2);
    const expected = momentsOf(rows);
    const { model, bn } = bnModel(2);
    const cuts = fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cuts, async (wanted) => {
        let left = rows.length;
        const sizes = wanted.map((size) => {
          const taken = Math.min(size, left);
          left -= taken;
          return taken;
        });
        await updateBn(cut(rows, [...sizes, left]), model);
        await assertMoments(bn, expected, 3e-6);
      }),
      { seed: 20180314, numRuns: shareOf(100) },
    );
  });

  it('does not send an empty batch to the model', async () => {
    const { model, bn } = bnModel(1);
    const sizes: number[] = [];
    await updateBn(cut([[1], [3]], [1, 0, 1]), model, {
      forward: (given, x) => {
        sizes.push(x.shape[0]);
        return given.apply(x, { training: true });
      },
    });
    assert.deepEqual(sizes, [1, 1]);
    await assertMoments(bn, { mean: [2], variance: [1] }, 0);
  });

  it('takes nothing from sequences of no steps', async () => {
    const bn = tfl.layers.batchNormalization({ inputShape: [null, 1] });
    const model = own(tfl.sequential({ layers: [bn] }));
    const seen: number[] = [];
    await updateBn([own(tf.zeros([4, 0, 1])), own(tf.tensor3d([1, 3], [1, 2, 1]))], model, {
      onBatch: ({ examples }) => void seen.push(examples),
    });
    assert.deepEqual(seen, [4, 5]);
    await assertMoments(bn, { mean: [2], variance: [1] }, 0);
  });

  it('starts afresh at each call: what the layer held before has no part in it', async () => {
    const { model, bn } = bnModel(1);
    await updateBn(cut([[100], [300]], [2]), model);
    await updateBn(cut([[1], [3]], [2]), model);
    await assertMoments(bn, { mean: [2], variance: [1] }, 0);
  });

  it('keeps the variance of data far from zero', async () => {
    // Mean 3000, variance 1. float32 steps by 2.4e-4 there, so that each mean may be off by 1.2e-4,
    // and twice that where a backend sums in float32; with batch means some 0.25 apart the variance
    // is then off by 2 * 2.4e-4 * 0.25 or so. E[x^2] - E[x]^2 in float32 would be off by 0.5.
    const next = random(3);
    const rows: number[][] = [];
    for (let i = 0; i < 1000; i++) {
      const gauss = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
      rows.push([Math.fround(3000 + gauss)]);
    }
    const { model, bn } = bnModel(1);
    await updateBn(batchesOf(16, rows), model);
    const { mean, variance } = await statistics(bn);
    const expected = momentsOf(rows);
    assertClose(mean, expected.mean, 5e-4, 'mean');
    assertClose(variance, expected.variance, 2e-4, 'variance');
  });

  for (const stale of [NaN, Infinity, -Infinity, 3e38]) {
    it(`does not carry on a stale ${stale}`, async () => {
      const { model, bn } = bnModel(2);
      setStatistics(bn, [stale, 5], [stale, stale]);
      const rows = table(10, 2, 4);
      await updateBn(batchesOf(4, rows), model);
      await assertMoments(bn, momentsOf(rows), 2e-6);
    });
  }

  it('leaves a layer as it is until all batches have passed', async () => {
    const { model, bn } = bnModel(2);
    setStatistics(bn, [5, 6], [7, 8]);
    (bn as unknown as BnLike).momentum = 0.8;
    const within: unknown[] = [];
    await updateBn(batchesOf(2, table(4, 2, 5)), model, {
      onBatch: async () => within.push([momentumOf(bn), await statistics(bn)]),
    });
    const before = [0.8, { mean: [5, 6], variance: [7, 8] }];
    assert.deepEqual(within, [before, before]);
    assert.equal(momentumOf(bn), 0.8);
    assert.isFalse(Object.hasOwn(bn, 'call'));
  });

  it('puts back a call that the caller had put on the layer', async () => {
    const { model, bn } = bnModel(1);
    let calls = 0;
    const original = bn.call.bind(bn);
    const wrapped: typeof bn.call = (...args) => {
      calls += 1;
      return original(...args);
    };
    bn.call = wrapped;
    await updateBn(cut([[1], [3]], [2]), model);
    assert.strictEqual(bn.call, wrapped);
    assert.equal(calls, 1);
    await assertMoments(bn, { mean: [2], variance: [1] }, 0);
  });

  it('leaves no alias: the two statistics are data of their own', async () => {
    const { model, bn } = bnModel(1);
    await updateBn(cut([[1], [3]], [2]), model);
    const [mean, variance] = bn.weights.slice(2).map((weight) => weight.read() as tf.Variable);
    assert.notStrictEqual(mean!.dataId, variance!.dataId);
    assert.deepEqual(
      [mean, variance].map((statistic) => tf.backend().refCount!(statistic!.dataId)),
      [1, 1],
    );
  });

  it('sends a layer behind another what that one makes of each batch', async () => {
    // Batches [0, 2] and [4, 10]: bn1 makes of each -1, 1 (but for its epsilon), so the second has
    // mean 0 and variance 1; of all four as one batch it would be the same.
    const layers = [0, 1].map(() =>
      tfl.layers.batchNormalization({ epsilon: 1e-8, inputShape: [1] }),
    );
    const model = own(tfl.sequential({ layers }));
    await updateBn(cut([[0], [2], [4], [10]], [2, 2]), model);
    await assertMoments(layers[0], { mean: [4], variance: [14] }, 1e-5);
    await assertMoments(layers[1], { mean: [0], variance: [1] }, 1e-5);
  });

  it('changes no trainable weight', async () => {
    const dense = tfl.layers.dense({ units: 2, inputShape: [2] });
    const bn = tfl.layers.batchNormalization({});
    const model = own(tfl.sequential({ layers: [dense, bn] }));
    const weights = () =>
      valuesOf(model.trainableWeights.map((weight) => weight.read() as tf.Tensor));
    const before = await weights();
    await updateBn(batchesOf(3, table(9, 2, 6)), model);
    assert.deepEqual(await weights(), before);
  });
});

describe('updateBn: nets', () => {
  it('finds layers in models in models', async () => {
    const rows = table(30, 2, 7);
    const bns = [0, 1, 2].map(() => tfl.layers.batchNormalization({ inputShape: [2] }));
    const innermost = tfl.sequential({ layers: [bns[0]!] });
    const input = tfl.input({ shape: [2] });
    const middle = tfl.model({
      inputs: input,
      outputs: bns[1]!.apply(innermost.apply(input)) as tfl.SymbolicTensor,
    });
    const outer = own(tfl.sequential({ layers: [middle, bns[2]!] }));
    await updateBn(batchesOf(10, rows), outer);
    await assertMoments(bns[0], momentsOf(rows));
    // What bns[0] hands on has mean 0 and, v / (v + 1e-3) being the epsilon's doing, variance
    // nearly 1 in each batch, and bns[1] likewise.
    for (const bn of bns.slice(1)) {
      const { mean, variance } = await statistics(bn);
      assertClose(mean, [0, 0], 1e-5);
      assertClose(variance, [1, 1], 2e-2);
      assert.notDeepEqual(variance, [1, 1]);
    }
  });

  it('counts both passes of a normalization that two branches share', async () => {
    const [left, right] = [table(20, 2, 8), table(20, 2, 9).map((row) => row.map((x) => x + 5))];
    // tfjs counts a reference for each use, and model.dispose() gives back one.
    const bn = own(tfl.layers.batchNormalization({}));
    const inputs = [tfl.input({ shape: [2] }), tfl.input({ shape: [2] })];
    const outputs = inputs.map((input) => bn.apply(input) as tfl.SymbolicTensor);
    const model = own(tfl.model({ inputs, outputs }));
    const [a, b] = [batchesOf(8, left!), batchesOf(8, right!)];
    await updateBn(
      a.map((x, i) => [[x, b[i]!]] as const),
      model,
    );
    await assertMoments(bn, momentsOf([...left!, ...right!]));
  });

  for (const inner of ['BatchNormalization', 'Sequential']) {
    it(`counts every time step of a TimeDistributed ${inner}`, async () => {
      const rows = table(2 * 3 * 4, 2, 10);
      const bn = tfl.layers.batchNormalization({ inputShape: [2] });
      const layer =
        inner === 'Sequential'
          ? tfl.sequential({
              layers: [
                tfl.layers.dense({ units: 2, kernelInitializer: 'identity', inputShape: [2] }),
                bn,
              ],
            })
          : bn;
      const model = own(
        tfl.sequential({ layers: [tfl.layers.timeDistributed({ layer, inputShape: [3, 2] })] }),
      );
      // 8 sequences of 3 steps, in batches of 5 and 3.
      const all = own(tf.tensor(rows.flat(), [8, 3, 2]));
      await updateBn(
        [[0, 5] as const, [5, 3] as const].map(([from, count]) => own(tf.slice(all, from, count))),
        model,
      );
      await assertMoments(bn, momentsOf(rows));
    });
  }

  it('finds a normalization in a list of a layer of the caller’s, within a wrapper', async () => {
    const rows = table(24, 2, 11);
    const residual = new Residual({});
    const layer = tfl.layers.timeDistributed({ layer: residual, inputShape: [3, 2] });
    const model = own(tfl.sequential({ layers: [layer] }));
    ownWeights(residual.norm);
    await updateBn([own(tf.tensor(rows.flat(), [8, 3, 2]))], model);
    await assertMoments(residual.norm, momentsOf(rows));
  });

  it('finds both directions of a Bidirectional, in their cells', async () => {
    const rows = table(24, 2, 12);
    const both = tfl.layers.bidirectional({
      layer: new NormRnn({}),
      mergeMode: 'concat',
      inputShape: [3, 2],
    });
    const model = own(tfl.sequential({ layers: [both] }));
    const directions = both as unknown as Record<string, { cell: NormCell }>;
    const norms = ['forwardLayer', 'backwardLayer'].map((name) => directions[name]!.cell.norm);
    norms.forEach(ownWeights);
    await updateBn([own(tf.tensor(rows.flat(), [8, 3, 2]))], model);
    // Forwards or backwards, each sees every step of every sequence.
    for (const norm of norms) await assertMoments(norm, momentsOf(rows));
  });

  for (const missing of ['scale', 'center']) {
    it(`has the statistics of a layer with ${missing}: false, which cannot train in tfjs`, async () => {
      // tfjs-layers 4.22, normalization.ts, reads gamma and beta in training without asking.
      const rows = table(24, 2, 13);
      const options = { [missing]: false, epsilon: 1e-7, inputShape: [2] };
      const bn = tfl.layers.batchNormalization(options);
      const head = tfl.layers.batchNormalization();
      const model = own(tfl.sequential({ layers: [bn, head] }));
      await updateBn(batchesOf(4, rows), model);
      await assertMoments(bn, momentsOf(rows), 2e-6);
      // What it hands on is normalized.
      await assertMoments(head, { mean: [0, 0], variance: [1, 1] }, 1e-5);
    });
  }

  it('has the statistics of every pixel after a convolution, per channel', async () => {
    const pixels = table(6 * 4 * 4, 1, 13).flat();
    const kernel = [0.5, -1, 2, 0.25]; // 2 x 2 x 1 x 1
    const conv = tfl.layers.conv2d({ filters: 1, kernelSize: 2, inputShape: [4, 4, 1] });
    const bn = tfl.layers.batchNormalization({});
    const model = own(tfl.sequential({ layers: [conv, bn] }));
    tf.tidy(() => conv.setWeights([tf.tensor(kernel, [2, 2, 1, 1]), tf.tensor1d([0.125])]));
    const outputs: number[][] = [];
    for (let n = 0; n < 6; n++) {
      for (let i = 0; i < 3; i++) {
        for (let j = 0; j < 3; j++) {
          const at = (di: number, dj: number) => pixels[16 * n + 4 * (i + di) + j + dj]!;
          const sum = 0.5 * at(0, 0) - at(0, 1) + 2 * at(1, 0) + 0.25 * at(1, 1);
          outputs.push([sum + 0.125]);
        }
      }
    }
    const images = own(tf.tensor(pixels, [6, 4, 4, 1]));
    const parts = [
      [0, 1],
      [1, 5],
    ] as const;
    await updateBn(
      parts.map(([from, count]) => own(tf.slice(images, from, count))),
      model,
    );
    await assertMoments(bn, momentsOf(outputs));
  });

  for (const axis of [-1, 3, 1]) {
    it(`normalizes 4-D data along axis ${axis}`, async () => {
      // [examples 4, 2, 3, 2]; axis 1 has 2 channels too.
      const data = table(4 * 2 * 3 * 2, 1, 14).flat();
      const channel = (i: number) => (axis === 1 ? Math.floor(i / 6) % 2 : i % 2);
      const columns = [0, 1].map((c) => data.filter((_, i) => channel(i) === c));
      const rows = columns[0]!.map((x, i) => [x, columns[1]![i]!]);
      const bn = tfl.layers.batchNormalization({ axis, inputShape: [2, 3, 2] });
      const model = own(tfl.sequential({ layers: [bn] }));
      const all = own(tf.tensor(data, [4, 2, 3, 2]));
      await updateBn([own(tf.slice(all, 0, 3)), own(tf.slice(all, 3, 1))], model);
      await assertMoments(bn, momentsOf(rows));
    });
  }

  for (const axis of [-1, 1]) {
    it(`hands on what it does in training, along axis ${axis}`, async () => {
      const bn = tfl.layers.batchNormalization({ axis, inputShape: [2, 3, 2] });
      const model = own(tfl.sequential({ layers: [bn] }));
      const weights = [
        [2, -1],
        [0.5, 3],
        [7, 8],
        [9, 10],
      ];
      tf.tidy(() => bn.setWeights(weights.map((values) => tf.tensor1d(values))));
      const x = own(tf.tensor(table(24, 2, 16).flat(), [4, 2, 3, 2]));
      const outputs: tf.Tensor[] = [];
      const apply = () =>
        outputs.push(own(tf.keep(model.apply(x, { training: true }) as tf.Tensor)));
      await updateBn([x], model, { forward: apply });
      apply();
      const [within, outside] = await valuesOf(outputs);
      assertClose(within!, outside!, 1e-5);
    });
  }

  it('weighs images of different sizes, and sequences of different lengths, by values', async () => {
    for (const shapes of [
      [
        [2, 3, 3, 2],
        [1, 5, 4, 2],
      ],
      [
        [3, 2, 2],
        [1, 9, 2],
      ],
    ] as const) {
      const bn = tfl.layers.batchNormalization({
        inputShape: shapes[0]
          .slice(1, -1)
          .map(() => null)
          .concat(2 as never),
      });
      const model = own(tfl.sequential({ layers: [bn] }));
      const counts = shapes.map((shape) => tf.util.sizeFromShape([...shape]) / 2);
      const rows = table(counts[0]! + counts[1]!, 2, 15);
      const parts = [rows.slice(0, counts[0]), rows.slice(counts[0])];
      const seen: number[] = [];
      await updateBn(
        parts.map((part, i) => own(tf.tensor(part.flat(), [...shapes[i]!]))),
        model,
        { onBatch: ({ examples }) => void seen.push(examples) },
      );
      await assertMoments(bn, momentsOf(rows));
      assert.deepEqual(seen, [shapes[0][0], shapes[0][0] + shapes[1][0]]);
    }
  });

  it('is found in a model that is not tfjs’s, with apply and layers', async () => {
    const bn = built([null, 1]);
    const model = {
      blocks: [[bn]],
      apply: (x: tf.Tensor, kwargs: object) => bn.apply(x, kwargs),
    };
    await updateBn(cut([[1], [2], [6]], [1, 2]), model);
    // Mean 3; squares 4 + 1 + 9 = 14.
    await assertMoments(bn, { mean: [3], variance: [14 / 3] }, 1e-6);
  });
});

describe('updateBn: batches and loaders', () => {
  const rows = table(10, 2, 16);
  const moments = momentsOf(rows);

  for (const [form, make] of Object.entries<(x: tf.Tensor, y: tf.Tensor) => unknown>({
    x: (x) => x,
    '[x]': (x) => [x],
    '[x, y]': (x, y) => [x, y],
    '[[x], y]': (x, y) => [[x], y],
    '{xs}': (xs) => ({ xs }),
    '{xs, ys}': (xs, ys) => ({ xs, ys }),
    '{xs: [x]}': (x) => ({ xs: [x] }),
  })) {
    it(`takes batches ${form}`, async () => {
      const { model, bn } = bnModel(2);
      const y = own(tf.zeros([4, 1]));
      const batches = batchesOf(4, rows);
      await updateBn(
        batches.map((x) => make(x, y)),
        model,
      );
      await assertMoments(bn, moments, 2e-6);
      assert.isFalse([...batches, y].some(({ isDisposed }) => isDisposed));
    });
  }

  for (const [form, make] of Object.entries<(a: tf.Tensor, b: tf.Tensor) => unknown>({
    '[a, b]': (a, b) => [a, b],
    '[[a, b], y]': (a, b) => [[a, b], a],
    '[[a, b]]': (a, b) => [[a, b]],
    '{xs: [a, b]}': (a, b) => ({ xs: [a, b] }),
    '{xs: {left: a, right: b}}': (a, b) => ({ xs: { left: a, right: b } }),
    '{xs: {right: b, left: a}}': (a, b) => ({ xs: { right: b, left: a } }),
    '[{right: b, left: a}, y]': (a, b) => [{ right: b, left: a }, a],
  })) {
    it(`takes the two inputs of a model as ${form}`, async () => {
      const bns = [1, 2].map(() => tfl.layers.batchNormalization({}));
      const inputs = ['left', 'right'].map((name) => tfl.input({ shape: [2], name }));
      const outputs = inputs.map((input, i) => bns[i]!.apply(input) as tfl.SymbolicTensor);
      const model = own(tfl.model({ inputs, outputs }));
      const others = table(10, 2, 17);
      const [a, b] = [batchesOf(4, rows), batchesOf(4, others)];
      await updateBn(
        a.map((x, i) => make(x, b[i]!)),
        model,
      );
      await assertMoments(bns[0], moments, 2e-6);
      await assertMoments(bns[1], momentsOf(others), 2e-6);
    });
  }

  it('refuses another number of inputs than the model has, in its own words', async () => {
    const inputs = ['one', 'two'].map((name) => tfl.input({ shape: [2], name }));
    const sum = tfl.layers.add().apply(inputs) as tfl.SymbolicTensor;
    const outputs = tfl.layers.batchNormalization({}).apply(sum) as tfl.SymbolicTensor;
    const two = own(tfl.model({ inputs, outputs }));
    const { model: one } = bnModel(2);
    const [x] = batchesOf(10, rows);
    const forms = 'the 2 inputs of the model: [a, b], [[a, b], y] or {xs: [a, b]} for two';
    for (const batch of [x, [x], [x, x, x], [[x], x], { xs: [x, x, x] }]) {
      await assertFails(() => updateBn([batch] as BnLoader, two), new RegExp(`^Invalid batch: .+ \\(expected ${forms.replace(/[[\]{}]/g, '\\$&')}\\)$`)); // prettier-ignore
    }
    for (const batch of [[[x, x], x], { xs: [x, x] }]) {
      await assertFails(
        () => updateBn([batch] as BnLoader, one),
        /^Invalid batch: .+ \(expected the 1 input of the model\)$/,
      );
    }
  });

  it('names the input that a batch lacks', async () => {
    const inputs = ['here', 'absent'].map((name) => tfl.input({ shape: [2], name }));
    const sum = tfl.layers.add().apply(inputs) as tfl.SymbolicTensor;
    const outputs = tfl.layers.batchNormalization({}).apply(sum) as tfl.SymbolicTensor;
    const model = own(tfl.model({ inputs, outputs }));
    const [x] = batchesOf(10, rows);
    await assertFails(
      () => updateBn([{ xs: { here: x!, other: x! } }], model),
      'Invalid input absent of a batch: undefined (expected a tensor)',
    );
  });

  it('takes the one input of a Sequential by name, before its first use and after', async () => {
    const { model, bn } = bnModel(2);
    const name = model.layers[0]!.name;
    assert.deepEqual(model.inputNames, []);
    for (const part of [rows.slice(0, 4), rows.slice(4)]) {
      const [x] = batchesOf(10, part);
      await updateBn([{ xs: { [model.inputNames[0] ?? name]: x! } }], model);
      await assertMoments(bn, momentsOf(part), 2e-6);
      assert.lengthOf(model.inputNames, 1);
    }
  });

  for (const [kind, make] of Object.entries<(batches: tf.Tensor[]) => BnLoader<tf.Tensor>>({
    'an array': (batches) => batches,
    'a Set': (batches) => new Set(batches),
    'a generator': (batches) =>
      (function* () {
        yield* batches;
      })(),
    'an async generator': (batches) =>
      (async function* () {
        for (const batch of batches) {
          await Promise.resolve();
          yield batch;
        }
      })(),
    'an object with an async iterator alone': (batches) => ({
      async *[Symbol.asyncIterator]() {
        yield* batches;
      },
    }),
  })) {
    for (const update of [updateBn, SWA.bnUpdate]) {
      it(`reads ${kind} (${update.name}) and leaves its batches to the caller`, async () => {
        const { model, bn } = bnModel(2);
        const batches = batchesOf(3, rows);
        const { numTensors } = tf.memory();
        await update(make(batches), model);
        await assertMoments(bn, moments, 2e-6);
        assert.equal(tf.memory().numTensors, numTensors);
        assert.isFalse(batches.some(({ isDisposed }) => isDisposed));
      });
    }
  }

  for (const update of [updateBn, SWA.bnUpdate]) {
    it(`reads a tf.data Dataset and disposes its batches (${update.name})`, async () => {
      const { model, bn } = bnModel(2);
      const { numTensors } = tf.memory();
      const xs = tfd.array(rows);
      await update(tfd.zip({ xs, ys: tfd.array(rows.map(() => 1)) }).batch(4), model);
      await assertMoments(bn, moments, 2e-6);
      assert.equal(tf.memory().numTensors, numTensors);
      await update(xs.batch(3) as tfd.Dataset<tf.Tensor>, model);
      await assertMoments(bn, moments, 2e-6);
      assert.equal(tf.memory().numTensors, numTensors);
    });
  }

  it('disposes the batches of a Dataset when the model, the batch or onBatch fails', async () => {
    const { model } = bnModel(2);
    const { numTensors } = tf.memory();
    const dataset = tfd.array(rows).batch(4) as tfd.Dataset<tf.Tensor>;
    const error = new Error('stop');
    const fail = () => {
      throw error;
    };
    assert.strictEqual(await caughtFrom(() => updateBn(dataset, model, { forward: fail })), error);
    assert.strictEqual(await caughtFrom(() => updateBn(dataset, model, { onBatch: fail })), error);
    const wrong = tfd.array([{ xs: { label: 'a' } }]) as unknown as BnLoader;
    await assertFails(() => updateBn(wrong, model), /^Invalid batch: /);
    assert.equal(tf.memory().numTensors, numTensors);
  });

  it('reads a Dataset no further than maxBatches, and leaves none of its tensors', async () => {
    const { model, bn } = bnModel(2);
    const { numTensors } = tf.memory();
    await updateBn(tfd.array(rows).batch(4) as tfd.Dataset<tf.Tensor>, model, { maxBatches: 2 });
    await assertMoments(bn, momentsOf(rows.slice(0, 8)), 2e-6);
    assert.equal(tf.memory().numTensors, numTensors);
  });

  it('stops at maxBatches, and closes the generator there', async () => {
    const { model, bn } = bnModel(2);
    const batches = batchesOf(2, rows);
    let read = 0;
    let closed = false;
    function* loader() {
      try {
        for (const batch of batches) {
          read += 1;
          yield batch;
        }
      } finally {
        closed = true;
      }
    }
    await updateBn(loader(), model, { maxBatches: 3 });
    assert.deepEqual([read, closed], [3, true]);
    await assertMoments(bn, momentsOf(rows.slice(0, 6)), 2e-6);
  });

  it('reads all there is when maxBatches is more', async () => {
    const { model, bn } = bnModel(2);
    await updateBn(batchesOf(4, rows), model, { maxBatches: 99 });
    await assertMoments(bn, moments, 2e-6);
  });

  it('reads one batch when maxBatches is 1', async () => {
    const { model } = bnModel(2);
    const seen: number[] = [];
    const onBatch = ({ examples }: { examples: number }) => seen.push(examples);
    await updateBn(batchesOf(4, rows), model, { maxBatches: 1, onBatch });
    assert.deepEqual(seen, [4]);
  });

  for (const [value, shown] of [
    [0, '0'],
    [-1, '-1'],
    [1.5, '1.5'],
    [NaN, 'NaN'],
    ['3', '"3"'],
    [null, 'null'],
  ] as const) {
    it(`refuses maxBatches ${shown}`, async () => {
      const { model, check } = remembered();
      const maxBatches = value as unknown as number;
      await assertFails(
        () => updateBn(batchesOf(4, rows), model, { maxBatches }),
        `Invalid maxBatches: ${shown} (expected an integer >= 1)`,
      );
      await check();
    });
  }

  it('tells onBatch the batches and examples so far, and waits for it', async () => {
    const { model } = bnModel(2);
    const log: unknown[] = [];
    const batches = batchesOf(4, rows);
    function* loader() {
      for (const batch of batches) {
        log.push('read');
        yield batch;
      }
    }
    await updateBn(loader(), model, {
      onBatch: async (progress) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        log.push(progress);
      },
    });
    assert.deepEqual(log, [
      'read',
      { batch: 1, examples: 4 },
      'read',
      { batch: 2, examples: 8 },
      'read',
      { batch: 3, examples: 10 },
    ]);
  });

  for (const [what, batch] of Object.entries<() => unknown>({
    'a number': () => 3,
    'an empty object': () => ({}),
    'an empty array': () => [],
    'a list of no inputs': () => [[]],
    'no xs': () => ({ xs: null }),
    null: () => null,
    text: () => 'batch',
  })) {
    it(`refuses a batch that is ${what}`, async () => {
      const { model, check } = remembered();
      await assertFails(
        () => updateBn([...batchesOf(4, rows), batch()], model),
        /^Invalid batch: .+ \(expected a tensor of examples, an array \[inputs, \.\.\.\] or an object \{xs\}\)$/,
      );
      await check();
    });
  }

  it('refuses a scalar', async () => {
    const { model, check } = remembered();
    await assertFails(
      () => updateBn([own(tf.scalar(1))], model),
      /^Invalid batch: an instance of Tensor \(expected a tensor of examples, /,
    );
    await check();
  });

  for (const loader of [null, undefined, 7, 'batches', {}, { iterator: 3 }]) {
    it(`refuses a loader that is ${JSON.stringify(loader)}`, async () => {
      const { model, check } = remembered();
      await assertFails(
        () => updateBn(loader as unknown as BnLoader, model),
        /^Invalid loader: .+ \(expected an iterable, an async iterable or a tf.data Dataset\)$/,
      );
      await check();
    });
  }

  it('refuses a model that is none', async () => {
    for (const model of [null, undefined, 3, 'net']) {
      await assertFails(() => updateBn([], model), /^Invalid model: .* \(expected a model with/);
    }
  });

  it('asks for forward where the model has no apply', async () => {
    const bn = built([null, 2]);
    await assertFails(
      () => updateBn(batchesOf(4, rows), { norm: bn }),
      /^Invalid model: .+ \(expected one with apply\(\), or the option forward\)$/,
    );
    assert.deepEqual(await statistics(bn), { mean: [0, 0], variance: [1, 1] });
  });

  it('asks to build a model whose layers have no statistics yet', async () => {
    const bn = tfl.layers.batchNormalization({ name: 'unbuilt' });
    await assertFails(
      () => updateBn(batchesOf(4, rows), { layers: [bn] }),
      'updateBn: the layer unbuilt has no statistics; build the model first',
    );
  });
});

describe('updateBn: forward and layers of the caller’s own', () => {
  const rows = table(11, 2, 18);

  it('runs forward(model, batch) in place of apply, and disposes what it makes', async () => {
    const { model, bn } = bnModel(2);
    const seen: unknown[] = [];
    const batches = batchesOf(4, rows).map((x) => ({ xs: x, weight: 2 }));
    const { numTensors } = tf.memory();
    await updateBn(batches, model, {
      forward: (given, { xs, weight }) => {
        seen.push(given);
        return given.apply(tf.mul(xs, weight), { training: true });
      },
    });
    assert.deepEqual(seen, [model, model, model]);
    await assertMoments(bn, momentsOf(rows.map((row) => row.map((x) => 2 * x))));
    assert.equal(tf.memory().numTensors, numTensors);
  });

  it('runs forward on batches of any form, and counts what it can see', async () => {
    const { model, bn } = bnModel(2);
    const records = batchesOf(4, rows).map((image) => ({ id: 7, image }));
    const counts: number[] = [];
    const onBatch = ({ examples }: { examples: number }) => counts.push(examples);
    await updateBn(records, model, {
      forward: (given, { image }) => given.apply(image, { training: true }),
      onBatch,
    });
    await assertMoments(bn, momentsOf(rows), 2e-6);
    const lists = [rows.slice(0, 4), rows.slice(4)];
    await updateBn(lists, model, {
      forward: (given, list) => given.apply(tf.tensor2d(list), { training: true }),
      onBatch,
    });
    await assertMoments(bn, momentsOf(rows), 2e-6);
    const count = rows.length;
    const seen = records.map((_, i) => Math.min(4 * (i + 1), count));
    assert.deepEqual(counts, [...seen, 4, count]);
  });

  it('refuses options that it does not know', async () => {
    const { model } = bnModel(2);
    await assertFails(
      () => updateBn(batchesOf(4, rows), model, { maxBatch: 1 } as object),
      'Unknown option maxBatch (known ones: onBatch, maxBatches, forward)',
    );
  });

  it('refuses a forward that is asynchronous', async () => {
    const { model, check } = remembered();
    await assertFails(
      () => updateBn(batchesOf(4, rows), model, { forward: () => Promise.resolve() }),
      'updateBn: forward must not be asynchronous',
    );
    await assertFails(
      () => updateBn(batchesOf(4, rows), model, { forward: () => Promise.reject(new Error('x')) }),
      'updateBn: forward must not be asynchronous',
    );
    await check();
  });

  it('counts no pass that is not in training mode', async () => {
    const { model, bns, check } = remembered();
    await updateBn(batchesOf(4, rows), model, {
      forward: (given, x: tf.Tensor) => given.apply(x, { training: false }),
    });
    await check();
    await updateBn(batchesOf(4, rows), model, {
      forward: (given, x: tf.Tensor) => {
        given.apply(x, { training: true });
        return given.apply(tf.add(x, 1000), {});
      },
    });
    await assertMoments(bns[0], momentsOf(rows));
  });

  it('leaves a layer that runs in inference its statistics, for the layers behind it', async () => {
    const norm = () => tfl.layers.batchNormalization({ epsilon: 1e-7, inputShape: [1] });
    const [features, head] = [norm(), norm()];
    const model = own(tfl.sequential({ layers: [features, head] }));
    setStatistics(features, [2], [4]);
    await updateBn([own(tf.tensor2d([[4], [8]]))], model, {
      forward: (_, x: tf.Tensor) =>
        head.apply(features.apply(x, { training: false }) as tf.Tensor, { training: true }),
    });
    await assertMoments(head, { mean: [2], variance: [1] }); // (4 - 2) / 2 = 1 and (8 - 2) / 2 = 3
    assert.deepEqual(await statistics(features), { mean: [2], variance: [4] });
  });

  it('updates layers that batchNormLayers() lists', async () => {
    const norm = new OwnNorm([NaN, 3], [Infinity, 4]);
    const model = { norm, batchNormLayers: () => [norm] };
    await updateBn(batchesOf(4, rows), model, {
      forward: (given, x: tf.Tensor) => given.norm.forward(x),
    });
    await assertMoments(norm, momentsOf(rows), 2e-6);
    assert.equal(norm.momentum, 0.75);
    assert.equal(norm.passes, 3);
  });

  it('calls batchNormLayers() on the model, and apply too', async () => {
    class Net {
      private readonly norm = new OwnNorm([0, 0], [1, 1]);
      batchNormLayers(): Set<OwnNorm> {
        return new Set([this.norm]);
      }
      apply(x: tf.Tensor, { training }: { training: boolean }): tf.Tensor {
        assert.isTrue(training);
        return this.norm.forward(x);
      }
    }
    const net = new Net();
    await SWA.bnUpdate(batchesOf(5, rows), net);
    const [norm] = net.batchNormLayers();
    await assertMoments(norm, momentsOf(rows), 2e-6);
  });

  it('takes statistics that are LayerVariables of tfjs-layers', async () => {
    const layerVariable = (value: number) =>
      own(new tfl.LayerVariable(own(tf.fill([2], value)), 'float32', 'own'));
    const [movingMean, movingVariance] = [layerVariable(9), layerVariable(8)];
    const norm = { movingMean, movingVariance, momentum: 0.5 };
    const forward = (_: unknown, x: tf.Tensor) => {
      const { mean, variance } = tf.moments(x, 0);
      const move = (old: tfl.LayerVariable, now: tf.Tensor) =>
        old.write(tf.add(tf.mul(old.read(), norm.momentum), tf.mul(now, 1 - norm.momentum)));
      move(movingMean, mean);
      move(movingVariance, variance);
    };
    const listed = { batchNormLayers: () => [norm] };
    await updateBn(batchesOf(4, rows), listed as unknown as object, { forward });
    await assertMoments(norm, momentsOf(rows), 2e-6);
    assert.equal(norm.momentum, 0.5);
  });

  it('counts for a layer the examples that passed it', async () => {
    // Batches of 4, 4 and 3; the layer sees the first and the last.
    const norm = new OwnNorm([0, 0], [1, 1]);
    const never = new OwnNorm([1, 2], [3, 4]);
    let batch = 0;
    await updateBn(
      batchesOf(4, rows),
      { batchNormLayers: () => [norm, never] },
      {
        forward: (_, x: tf.Tensor) => (batch++ === 1 ? x : norm.forward(x)),
      },
    );
    await assertMoments(norm, momentsOf([...rows.slice(0, 4), ...rows.slice(8)]), 2e-6);
    assert.deepEqual(await statistics(never), { mean: [1, 2], variance: [3, 4] });
    assert.equal(never.momentum, 0.75);
  });

  it('updates tfjs’s layers and own ones that are listed together', async () => {
    const { model, bn } = bnModel(2);
    const norm = new OwnNorm([0, 0], [1, 1]);
    await updateBn(batchesOf(4, rows), { batchNormLayers: () => [norm, bn] } as unknown as object, {
      forward: (_, x: tf.Tensor) => [norm.forward(x), model.apply(tf.neg(x), { training: true })],
    });
    await assertMoments(norm, momentsOf(rows), 2e-6);
    await assertMoments(bn, momentsOf(rows.map((row) => row.map((x) => -x))), 2e-6);
  });

  it('puts own layers back when the forward pass fails', async () => {
    const norm = new OwnNorm([1, 2], [3, 4]);
    const error = new Error('third');
    const forward = (_: unknown, x: tf.Tensor) => {
      norm.forward(x);
      if (norm.passes === 3) throw error;
    };
    const model = { batchNormLayers: () => [norm] };
    const caught = await caughtFrom(() => updateBn(batchesOf(4, rows), model, { forward }));
    assert.strictEqual(caught, error);
    assert.deepEqual(await statistics(norm), { mean: [1, 2], variance: [3, 4] });
    assert.equal(norm.momentum, 0.75);
  });

  it('names a listed layer that has no statistics', async () => {
    const listed = { batchNormLayers: () => [{ name: 'mine', momentum: 0.9 }] };
    await assertFails(
      () => updateBn(batchesOf(4, rows), listed as unknown as object),
      'updateBn: the layer mine has no statistics; build the model first',
    );
  });
});

describe('updateBn: what it leaves alone', () => {
  const rows = table(12, 2, 19);
  /** Every way of reading it fails. */
  const untouchable = [
    {
      [Symbol.iterator]: (): Iterator<tf.Tensor> => {
        throw new Error('the loader was read');
      },
    },
    {
      [Symbol.asyncIterator]: (): AsyncIterator<tf.Tensor> => {
        throw new Error('the loader was read');
      },
    },
    {
      iterator: (): Promise<never> => {
        throw new Error('the loader was read');
      },
    },
  ];

  it('frozen layers keep statistics and momentum while others are updated', async () => {
    const { model, bns } = remembered();
    bns[1]!.trainable = false;
    await updateBn(batchesOf(4, rows), model);
    await assertMoments(bns[0], momentsOf(rows), 2e-6);
    assert.deepEqual(await statistics(bns[1]), { mean: [0.25, 7], variance: [5, 6] });
    assert.deepEqual(bns.map(momentumOf), [0.9, 0.97]);
  });

  it('layers of a frozen model within a model keep theirs', async () => {
    const { model: inner, bns } = remembered({ inner: true });
    const last = tfl.layers.batchNormalization({});
    const model = own(tfl.sequential({ layers: [inner, last] }));
    inner.trainable = false;
    await updateBn(batchesOf(4, rows), model);
    assert.deepEqual(await statistics(bns[0]), { mean: [1.5, -2], variance: [3, 4] });
    assert.deepEqual(await statistics(bns[1]), { mean: [0.25, 7], variance: [5, 6] });
    assertClose((await statistics(last)).mean, [0, 0], 1e-5);
    assertClose((await statistics(last)).variance, [1, 1], 2e-2);
    assert.notDeepEqual((await statistics(last)).mean, [0, 0], 'the last one was updated');
  });

  it('a frozen layer of the caller’s own keeps its, during the passes too', async () => {
    const [norm, frozen] = [new OwnNorm([0, 0], [1, 1]), new OwnNorm([1, 2], [3, 4])];
    frozen.trainable = false;
    const model = { batchNormLayers: () => [frozen, norm] };
    await updateBn(batchesOf(4, rows), model, {
      forward: (_, x: tf.Tensor) => norm.forward(tf.sub(x, frozen.movingMean)),
    });
    await assertMoments(norm, momentsOf(rows.map(([x, y]) => [x! - 1, y! - 2])), 2e-6);
    await updateBn(batchesOf(4, rows), model, {
      forward: (_, x: tf.Tensor) => [norm.forward(x), frozen.forward(x)],
    });
    await assertMoments(norm, momentsOf(rows), 2e-6);
    assert.deepEqual(await statistics(frozen), { mean: [1, 2], variance: [3, 4] });
    assert.equal(frozen.momentum, 0.75);
  });

  it('a model without batch normalization: the loader is not read', async () => {
    const model = own(
      tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [2] })] }),
    );
    for (const loader of untouchable) {
      await updateBn(loader as BnLoader, model);
      await SWA.bnUpdate(loader as BnLoader, model);
      await updateBn(loader as BnLoader, { batchNormLayers: () => [] });
    }
    await updateBn([], model);
  });

  it('a model whose normalizations are all frozen: the loader is not read', async () => {
    const { model, bns, check } = remembered();
    for (const bn of bns) bn.trainable = false;
    for (const loader of untouchable) await updateBn(loader as BnLoader, model);
    await check();
  });

  it('a loader that cannot be read at all is what fails where there is a layer', async () => {
    const { model, check } = remembered();
    for (const loader of untouchable) {
      await assertFails(() => updateBn(loader as BnLoader, model), 'the loader was read');
      await check();
    }
  });

  it('an empty loader is an error', async () => {
    const { model, check } = remembered();
    for (const update of [updateBn, SWA.bnUpdate]) {
      for (const loader of [[], new Set<tf.Tensor>(), [own(tf.zeros([0, 2]))]]) {
        await assertFails(() => update(loader, model), 'updateBn: the loader gave no examples');
        await check();
      }
      const none = tfd.generator(function* () {}) as unknown as BnLoader;
      await assertFails(() => update(none, model), 'updateBn: the loader gave no examples');
      await check();
    }
  });

  const error = new Error('on purpose');
  const failing: Record<
    string,
    (x: tf.Tensor[]) => [BnLoader<tf.Tensor>, BnUpdateOptions<tfl.Sequential, tf.Tensor>]
  > = {
    'a loader that fails at batch 3': (batches) => [
      (function* () {
        yield* batches.slice(0, 2);
        throw error;
      })(),
      {},
    ],
    'an async loader that fails at batch 3': (batches) => [
      (async function* () {
        yield* batches.slice(0, 2);
        throw error;
      })(),
      {},
    ],
    'a Dataset that fails at batch 3': () => [
      tfd.generator(function* () {
        yield tf.zeros([2, 2]);
        yield tf.zeros([2, 2]);
        throw error;
      }) as tfd.Dataset<tf.Tensor>,
      {},
    ],
    'a model that fails at batch 2': (batches) => {
      let batch = 0;
      return [
        batches,
        {
          forward: (model, x) => {
            model.apply(x, { training: true });
            if (++batch === 2) throw error;
          },
        },
      ];
    },
    'an onBatch that throws at batch 2': (batches) => [
      batches,
      {
        onBatch: ({ batch }) => {
          if (batch === 2) throw error;
        },
      },
    ],
    'an onBatch that rejects': (batches) => [batches, { onBatch: () => Promise.reject(error) }],
  };
  for (const [what, make] of Object.entries(failing)) {
    for (const update of [updateBn, SWA.bnUpdate]) {
      it(`${what} puts everything back, and its error goes through (${update.name})`, async () => {
        const { model, check } = remembered();
        const [loader, options] = make(batchesOf(4, rows));
        const { numTensors } = tf.memory();
        assert.strictEqual(await caughtFrom(() => update(loader, model, options)), error);
        await check();
        assert.equal(tf.memory().numTensors, numTensors);
      });
    }
  }

  it('a layer that fails in the middle of the net puts everything back', async () => {
    const { model: inner, check } = remembered({ inner: true });
    const model = own(
      tfl.sequential({ layers: [inner, tfl.layers.reshape({ targetShape: [2] })] }),
    );
    const batches = [...batchesOf(4, rows), own(tf.zeros([4, 3]))];
    await assertFails(() => updateBn(batches, model), /shape|expected|axis/i);
    await check();
  });

  it('a layer that throws in its call gets its statistics back, the very variables', async () => {
    const { model, bns, check } = remembered();
    const statisticsOf = (bn: unknown) => [
      (bn as BnLike).movingMean,
      (bn as BnLike).movingVariance,
    ];
    const before = bns.map(statisticsOf);
    const batches = batchesOf(4, rows);
    const { numTensors } = tf.memory();
    const error = new Error('no rank 5');
    const call = (): never => {
      throw error;
    };
    Object.assign(bns[1]!, { call });
    assert.strictEqual(await caughtFrom(() => updateBn(batches, model)), error);
    assert.strictEqual(bns[1]!.call, call);
    delete (bns[1] as Partial<tfl.layers.Layer>).call;
    await check();
    assert.equal(tf.memory().numTensors, numTensors);
    for (const [i, bn] of bns.entries()) {
      statisticsOf(bn).forEach((s, k) => assert.strictEqual(s, before[i]![k]));
    }
  });

  it('a layer of two updates at a time is refused to the second, and the first is right', async () => {
    const { model, bn } = bnModel(2);
    const first = updateBn(batchesOf(4, rows), model);
    await assertFails(
      () => updateBn(batchesOf(4, rows), model),
      `updateBn: the layer ${bn.name} is being updated already`,
    );
    await first;
    await assertMoments(bn, momentsOf(rows));
    await updateBn(batchesOf(4, rows.slice(1)), model);
    await assertMoments(bn, momentsOf(rows.slice(1)));
  });

  it('memory: the same number of tensors and bytes after each of 50 batches', async () => {
    const bns = [0, 1, 2].map(() => tfl.layers.batchNormalization({ inputShape: [2] }));
    const model = own(tfl.sequential({ layers: bns }));
    function* loader() {
      for (let i = 0; i < 50; i++) {
        const batch = tf.tensor2d(rows);
        yield batch;
        batch.dispose();
      }
    }
    const seen: string[] = [];
    const before = tf.memory();
    await updateBn(loader(), model, {
      onBatch: () => {
        const { numTensors, numBytes } = tf.memory();
        seen.push(`${numTensors - before.numTensors} ${numBytes - before.numBytes}`);
      },
    });
    assert.equal(seen.length, 50);
    assert.deepEqual([...new Set(seen)], [seen[0]!], 'after batch 5 as after batch 50');
    const after = tf.memory();
    assert.deepEqual(
      [after.numTensors, after.numBytes],
      [before.numTensors, before.numBytes],
      'nothing is left',
    );
  });
});

describe('updateBn: after averaging', () => {
  /** Expected inference output of a linear map followed by batch normalization, in float64. */
  function normalized(rows: number[][], gamma: number[], beta: number[], all: Moments): number[] {
    // epsilon is tfjs's default, 1e-3
    return rows.flatMap((row) =>
      row.map(
        (x, c) => ((x - all.mean[c]!) / Math.sqrt(all.variance[c]! + 1e-3)) * gamma[c]! + beta[c]!,
      ),
    );
  }

  const nets: Record<
    string,
    {
      layer: () => tfl.layers.Layer;
      shape: number[];
      /** The linear map, by hand: the rows of channels that a batch normalization sees. */
      apply: (data: number[], kernel: number[], bias: number[]) => number[][];
    }
  > = {
    dense: {
      layer: () => tfl.layers.dense({ units: 2, inputShape: [3] }),
      shape: [3],
      apply: (data, kernel, bias) => {
        const rows: number[][] = [];
        for (let n = 0; n < data.length; n += 3) {
          const unit = (u: number) =>
            [0, 1, 2].reduce((sum, i) => sum + data[n + i]! * kernel[2 * i + u]!, bias[u]!);
          rows.push([unit(0), unit(1)]);
        }
        return rows;
      },
    },
    convolutional: {
      layer: () => tfl.layers.conv2d({ filters: 2, kernelSize: [1, 2], inputShape: [2, 3, 1] }),
      shape: [2, 3, 1],
      apply: (data, kernel, bias) => {
        // Kernel [1, 2, 1, 2]: two pixels side by side, two filters.
        const rows: number[][] = [];
        for (let n = 0; n < data.length; n += 3) {
          for (const j of [0, 1]) {
            const filter = (f: number) =>
              data[n + j]! * kernel[f]! + data[n + j + 1]! * kernel[2 + f]! + bias[f]!;
            rows.push([filter(0), filter(1)]);
          }
        }
        return rows;
      },
    },
  };

  for (const [name, { layer, shape, apply }] of Object.entries(nets)) {
    for (const auto of [true, false]) {
      const mode = auto ? 'automatic' : 'manual';
      it(`a ${name} net predicts with averaged weights and their statistics (${mode})`, async () => {
        const [first, bn] = [layer(), tfl.layers.batchNormalization({})];
        const model = own(tfl.sequential({ layers: [first, bn] }));
        const weights = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
        const next = random(20);
        for (const weight of weights) {
          const values = Array.from({ length: weight.size }, () => next() + 0.25);
          tf.tidy(() => weight.assign(tf.tensor(values, weight.shape)));
        }
        const swa = own(
          new SWA(tf.train.sgd(0.5), {
            ...(auto ? { swaStart: 1, swaFreq: 2 } : {}),
            paramGroups: [{ params: weights }],
          }),
        );
        // Gradients of the spec's own, so that no backend needs a convolution's gradient. Seven
        // steps; averaged are steps 2, 4 and 6.
        const sums = weights.map(({ size }) => new Float64Array(size));
        for (let step = 1; step <= 7; step++) {
          const grads = weights.map(({ name: weight, shape: like, size }) => {
            const values = Array.from({ length: size }, () => next() - 0.5);
            return { name: weight, tensor: tf.tensor(values, like) };
          });
          swa.applyGradients(grads);
          tf.dispose(grads.map(({ tensor }) => tensor));
          if (step % 2 === 1) continue;
          if (!auto) swa.updateSwa();
          for (const [w, values] of (await valuesOf(weights)).entries()) {
            values.forEach((x, i) => (sums[w]![i]! += x));
          }
        }
        const [kernel, bias, gamma, beta] = sums.map((sum) => Array.from(sum, (x) => x / 3));

        const size = tf.util.sizeFromShape(shape);
        const data = Array.from({ length: 20 * size }, () => Math.fround(4 * next()));
        const all = own(tf.tensor(data, [20, ...shape]));
        const cuts = [
          [0, 7],
          [7, 7],
          [14, 6],
        ] as const;
        const batches = cuts.map(([from, count]) => own(tf.slice(all, from, count)));
        swa.swapSwaSgd();
        await SWA.bnUpdate(batches, model);

        const mapped = apply(data, kernel!, bias!);
        const population = momentsOf(mapped);
        await assertMoments(bn, population, 1e-4);
        const predicted = own(model.predict(all) as tf.Tensor);
        const expected = normalized(mapped, gamma!, beta!, population);
        assertClose(await predicted.data(), expected, 2e-5, 'prediction');
      });
    }
  }
});
