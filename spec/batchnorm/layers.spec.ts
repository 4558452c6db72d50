import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { bnLayersOf } from '../../lib/batchnorm/layers.js';
import { updateBn } from '../../lib/index.js';
import { own, valuesOf, warningsOf } from '../support/support.js';

/** Keeps its normalization in a private field, and lists its weights. */
class Private extends tfl.layers.Layer {
  static className = 'BnLayersSpecPrivate';
  readonly #norm = tfl.layers.batchNormalization({});

  override build(shape: tfl.Shape): void {
    this.#norm.build(shape);
    this.trainableWeights = this.#norm.trainableWeights;
    this.nonTrainableWeights = this.#norm.nonTrainableWeights;
    this.built = true;
  }
  override computeOutputShape(shape: tfl.Shape): tfl.Shape {
    return shape;
  }
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: object): tf.Tensor {
    return this.#norm.call(inputs as tf.Tensor, kwargs) as tf.Tensor;
  }
  norm(): tfl.layers.Layer {
    return this.#norm;
  }
}

describe('bnLayersOf', () => {
  it('tells what is frozen, by itself or by what is around it', () => {
    const bns = [0, 1, 2].map(() => tfl.layers.batchNormalization({ inputShape: [2] }));
    const inner = tfl.sequential({ layers: [bns[0]!] });
    const model = own(tfl.sequential({ layers: [inner, bns[1]!, bns[2]!] }));
    inner.trainable = false;
    bns[1]!.trainable = false;
    const found = bnLayersOf(model) as unknown as { layer: unknown; frozen: boolean }[];
    assert.deepEqual(
      found.map(({ frozen }) => frozen),
      [true, true, false],
    );
    found.forEach(({ layer }, i) => assert.strictEqual(layer, bns[i]));
  });

  it('warns once of statistics whose layers it cannot see, and points to batchNormLayers()', async () => {
    const layer = new Private({ inputShape: [1] });
    const model = own(
      tfl.sequential({ layers: [layer, tfl.layers.batchNormalization({ name: 'seen' })] }),
    );
    const hidden = layer.norm().weights.slice(2);
    assert.include(hidden[0]!.name, 'moving_mean');
    const x = own(tf.tensor2d([[1], [5]]));
    const warnings = await warningsOf(async () => {
      await updateBn([x], model);
      await updateBn([x], model);
    });
    assert.deepEqual(warnings, [
      `updateBn: found no layer of ${hidden.map(({ name }) => name).join(', ')}, which stay as ` +
        'they are; list the layers in a method batchNormLayers() of the model',
    ]);
  });

  it('says nothing of a model that lists its layers itself', async () => {
    const layer = new Private({ inputShape: [1] });
    const model = own(
      tfl.sequential({ layers: [layer, tfl.layers.batchNormalization({ name: 'left_out' })] }),
    );
    const x = own(tf.tensor2d([[1], [5]]));
    const listing = Object.assign(model, { batchNormLayers: () => [layer.norm()] });
    assert.deepEqual(await warningsOf(() => updateBn([x], listing as object)), []);
    assert.deepEqual(await valuesOf(layer.norm().getWeights().slice(2)), [[3], [4]]);
  });

  it('warns also where no layer is seen at all', async () => {
    const model = own(tfl.sequential({ layers: [new Private({ inputShape: [1] })] }));
    const warnings = await warningsOf(() => updateBn([], model));
    assert.lengthOf(warnings, 1);
    assert.match(warnings[0]!, /moving_mean.*, .*moving_variance/);
  });

  it('says nothing of a model without such weights, or whose layers are all seen', async () => {
    const model = own(
      tfl.sequential({
        layers: [
          tfl.layers.timeDistributed({
            layer: tfl.layers.batchNormalization({}),
            inputShape: [2, 1],
          }),
          tfl.layers.dense({ units: 1 }),
        ],
      }),
    );
    assert.deepEqual(await warningsOf(() => bnLayersOf(model)), []);
  });
});
