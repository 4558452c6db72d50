import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import * as fc from 'fast-check';
import { layersOf } from '../../lib/model/layers.js';
import { matchModels } from '../../lib/model/match.js';
import { weightsOfModel } from '../../lib/model/weights.js';
import { freezable, netOf, nets, ownModel, randomizeNet, variablesOf } from '../support/nets.js';
import { shareOf } from '../support/backends.js';
import { assertFails, disposeOwned, own, valuesOf } from '../support/support.js';

const dense = (units: number, name?: string): tfl.layers.Layer =>
  tfl.layers.dense({ units, inputShape: [2], ...(name ? { name } : {}) });
const chain = (...layers: tfl.layers.Layer[]): tfl.Sequential =>
  ownModel(tfl.sequential({ layers }));
const names = (model: tfl.LayersModel): string[] => weightsOfModel(model).map(({ name }) => name);

/** Keeps what it is given in a Map, where no walk finds it, and lists its weights. */
class Hidden extends tfl.layers.Layer {
  static className = 'ModelSpecHidden';
  readonly kept = new Map([1, 2].map((i) => [i, tfl.layers.dense({ units: 2, useBias: false })]));

  override build(shape: tfl.Shape): void {
    for (const layer of this.kept.values()) layer.build(shape);
    this.built = true;
  }
  override get trainableWeights(): tfl.LayerVariable[] {
    return [...(this.kept ?? []).values()].flatMap((layer) => layer.trainableWeights);
  }
  override get nonTrainableWeights(): tfl.LayerVariable[] {
    return [...(this.kept ?? []).values()].flatMap((layer) => layer.nonTrainableWeights);
  }
  override computeOutputShape(shape: tfl.Shape): tfl.Shape {
    return shape;
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    let x = Array.isArray(inputs) ? inputs[0]! : inputs;
    for (const layer of this.kept.values()) x = layer.apply(x) as tf.Tensor;
    return x;
  }
}
tf.serialization.registerClass(Hidden);

describe('the weights of a model', () => {
  it('are called by layer, in the order of the structure, whatever is frozen', () => {
    const inner = (): tfl.LayersModel =>
      tfl.sequential({ name: 'inner', layers: [dense(2, 'feat'), tfl.layers.batchNormalization({ name: 'norm' })] }); // prettier-ignore
    const lstm = tfl.layers.lstm({ units: 1, recurrentInitializer: 'zeros', name: 'lstm' });
    const repeat = tfl.layers.repeatVector({ n: 2 });
    const model = chain(inner(), dense(2, 'feat'), repeat, lstm);
    const expected = [
      'inner/feat/kernel',
      'inner/feat/bias',
      'inner/norm/gamma',
      'inner/norm/beta',
      'inner/norm/moving_mean',
      'inner/norm/moving_variance',
      'feat/kernel',
      'feat/bias',
      'lstm/cell/kernel',
      'lstm/cell/recurrent_kernel',
      'lstm/cell/bias',
    ];
    assert.deepEqual(names(model), expected);
    for (const layer of freezable(model)) {
      layer.trainable = false;
      assert.deepEqual(names(model), expected);
    }
    const buffers = weightsOfModel(model).filter(({ buffer }) => buffer);
    assert.deepEqual(
      buffers.map(({ name }) => name),
      ['inner/norm/moving_mean', 'inner/norm/moving_variance'],
    );
  });

  it('are all of model.weights, each once, in nets of every kind', () => {
    fc.assert(
      fc.property(nets, (parts) => {
        const model = netOf(parts);
        const found = weightsOfModel(model).map(({ variable }) => variable);
        assert.sameMembers(found, variablesOf(model));
        assert.lengthOf(new Set(names(model)), found.length);
        disposeOwned();
      }),
      { numRuns: shareOf(60) },
    );
  });

  it('are found where a layer keeps them in its own way, in the order of their making', () => {
    const hidden = new Hidden({ inputShape: [2], name: 'hidden' });
    const model = chain(hidden);
    const [first, second] = [...hidden.kept.values()].map((layer) => layer.weights[0]!.read());
    for (const layer of [null, ...hidden.kept.values()]) {
      if (layer) layer.trainable = false;
      const weights = weightsOfModel(model);
      assert.deepEqual(
        weights.map(({ name }) => name),
        ['hidden/kernel', 'hidden/kernel (2)'],
      );
      assert.deepEqual(
        weights.map(({ variable }) => variable),
        [first, second] as tf.Variable[],
      );
    }
  });

  it('of layers whose names have slashes have names of their own', () => {
    const inner = tfl.sequential({ name: 'a', layers: [dense(2, 'b')] });
    const model = chain(dense(2, 'a/b'), inner);
    assert.deepEqual(names(model), ['a/b/kernel', 'a/b/bias', 'a/b/kernel (2)', 'a/b/bias (2)']);
  });

  it('of a popped head are gone at once', () => {
    const model = chain(dense(2, 'body'), dense(3, 'head'));
    own(tf.tidy(() => model.predict(tf.ones([1, 2])) as tf.Tensor)); // builds the model inside
    model.pop();
    assert.deepEqual(names(model), ['body/kernel', 'body/bias']);
  });
});

describe('frozen layers', () => {
  const frozenOf = (model: tfl.LayersModel): string[] =>
    layersOf(model).flatMap(({ path, frozen }) => (frozen ? path : []));

  it('are those within a frozen model, wrapper or cell too', () => {
    const inner = tfl.sequential({ name: 'inner', layers: [dense(2, 'a')] });
    const time = tfl.layers.timeDistributed({
      layer: dense(2, 'b'),
      name: 'time',
      inputShape: [2, 2],
    });
    const model = chain(inner);
    const other = chain(time);
    assert.deepEqual([...frozenOf(model), ...frozenOf(other)], []);
    inner.trainable = false;
    time.trainable = false;
    assert.deepEqual(frozenOf(model), ['inner', 'inner/a']);
    assert.deepEqual(frozenOf(other), ['time', 'time/layer']);
  });

  it('are frozen wherever else they stand', () => {
    const input = tfl.input({ shape: [2] });
    const layer = dense(2, 'layer');
    const inner = tfl.model({ name: 'inner', inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor }); // prettier-ignore
    const outer = tfl.input({ shape: [2], name: 'outer' });
    const outputs = inner.apply(layer.apply(outer)) as tfl.SymbolicTensor;
    const model = ownModel(tfl.model({ inputs: outer, outputs }));
    inner.trainable = false;
    assert.includeMembers(frozenOf(model), ['layer', 'inner']);
  });
});

describe('matching two models', () => {
  it('puts every weight of a second build to its counterpart, whatever is frozen', async () => {
    await fc.assert(
      fc.asyncProperty(
        nets,
        fc.boolean(),
        fc.array(fc.nat(7), { maxLength: 4 }),
        async (parts, named, frozen) => {
          const [first, second] = [netOf(parts, { named }), netOf(parts, { named })];
          randomizeNet(first, 1);
          frozen.forEach((index, i) => {
            const layers = freezable(i % 2 ? first : second);
            layers[index % layers.length]!.trainable = false;
          });
          const { weights } = matchModels(second, first);
          assert.sameMembers([...weights.keys()], variablesOf(second));
          assert.sameMembers([...weights.values()], variablesOf(first));
          for (const [to, from] of weights) to.assign(from);
          // They are one function now, which no weight in a wrong place would leave them.
          const x = own(tf.tensor2d([[0.3, -0.8], [1.5, 0.1]])); // prettier-ignore
          const [a, b] = await valuesOf([first, second].map((m) => own(m.predict(x) as tf.Tensor)));
          assert.deepEqual(a, b);
          disposeOwned();
        },
      ),
      { numRuns: shareOf(60) },
    );
  });

  it('goes by name where names agree, in any order', () => {
    const build = (order: string[]): tfl.LayersModel => {
      const input = tfl.input({ shape: [2] });
      const outputs = order.map((name) => dense(2, name).apply(input) as tfl.SymbolicTensor);
      return ownModel(tfl.model({ inputs: input, outputs }));
    };
    const [first, second] = [build(['a', 'b']), build(['b', 'a'])];
    const { weights } = matchModels(second, first);
    const variable = (model: tfl.LayersModel, name: string) =>
      model.getLayer(name).weights[0]!.read() as tf.Variable;
    assert.strictEqual(weights.get(variable(second, 'a')), variable(first, 'a'));
    assert.strictEqual(weights.get(variable(second, 'b')), variable(first, 'b'));
  });

  it('does not ask for layers without weights', () => {
    const [first, second] = [chain(dense(2), dense(1)), chain(dense(2), tfl.layers.dropout({ rate: 0.5 }), dense(1))]; // prettier-ignore
    assert.equal(matchModels(first, second).weights.size, 4);
  });

  it('is refused with the layers named', async () => {
    const first = chain(dense(2, 'body'), dense(1, 'head'));
    const fails = (second: tfl.LayersModel, message: string) =>
      assertFails(() => matchModels(first, second), `The weights do not fit; ${message}`);
    await fails(
      chain(dense(2, 'body'), dense(2, 'more'), dense(1, 'head')),
      'unexpected: more/kernel, more/bias',
    );
    await fails(chain(dense(2, 'body')), 'missing: head/kernel, head/bias');
    await fails(
      chain(dense(2, 'body'), dense(3, 'other')),
      'of the wrong shape or value: head/kernel (float32 [2,3], not float32 [2,1]), ' +
        'head/bias (float32 [3], not float32 [1])',
    );
    await fails(
      chain(dense(2, 'body'), tfl.layers.batchNormalization({ name: 'head' })),
      'of the wrong shape or value: layer head (BatchNormalization, not Dense)',
    );
    await fails(
      chain(dense(2, 'body'), tfl.layers.dense({ units: 1, useBias: false, name: 'head' })),
      'missing: head/bias',
    );
  });

  it('gives both places of a copy what submodels share, and refuses the other way round', async () => {
    const shared = dense(2, 'shared');
    const tower = (name: string, layer: tfl.layers.Layer): tfl.LayersModel => {
      const input = tfl.input({ shape: [2] });
      return tfl.model({ name, inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor });
    };
    const both = (a: tfl.LayersModel, b: tfl.LayersModel): tfl.LayersModel => {
      const input = tfl.input({ shape: [2] });
      const outputs = b.apply(a.apply(input)) as tfl.SymbolicTensor;
      return ownModel(tfl.model({ inputs: input, outputs }));
    };
    const first = both(tower('a', shared), tower('b', shared));
    const second = both(tower('a', dense(2, 'shared')), tower('b', dense(2, 'shared')));
    const { weights } = matchModels(second, first);
    assert.equal(weights.size, 4);
    assert.deepEqual(new Set(weights.values()), new Set(shared.weights.map((w) => w.read() as tf.Variable))); // prettier-ignore
    await assertFails(
      () => matchModels(first, second),
      'The weights do not fit; of the wrong shape or value: ' +
        'b/shared/kernel (two weights, not one), b/shared/bias (two weights, not one)',
    );
  });
});
