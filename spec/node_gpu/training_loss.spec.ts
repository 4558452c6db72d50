import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { createNet, type Experiment } from '../../benchmarks/accuracy/experiments.js';
import { trainingLoss } from '../../benchmarks/accuracy/training_loss.js';
import { lossOf, trainableVariables } from '../../examples/demo/model.js';
import { assertClose, own, random } from '../support/support.js';

describe("accuracy benchmark: TensorFlow's own kernels in a training step", () => {
  for (const net of ['dense', 'conv'] as const) {
    it(`give the gradients of tfjs-layers, ${net}`, async () => {
      const images = { train: 0, validation: 0, test: 0 };
      const experiment: Experiment = { net, width: 4, noise: 0, epochs: 2, images };
      const model = createNet(experiment, 1);
      const next = random(1);
      const x = own(tf.tensor3d(Float32Array.from({ length: 7 * 196 }, next), [7, 14, 14]));
      const y = own(tf.oneHot([0, 3, 3, 9, 1, 5, 7], 10, 1, 0, 'float32') as tf.Tensor2D);
      const variables = trainableVariables(model);
      // Scales and shifts other than 1 and 0, so that each has its part in what comes before it.
      for (const variable of variables.filter(({ shape }) => shape.length === 1)) {
        tf.tidy(() => variable.assign(tf.tensor1d(Array.from({ length: variable.size }, next))));
      }
      const gradients = async (loss: typeof trainingLoss) => {
        const { value, grads } = tf.variableGrads(() => loss(model, x, y), variables);
        own(value);
        const values = variables.map(({ name }) => own(grads[name]!).data());
        return { loss: (await value.data())[0]!, values: await Promise.all(values) };
      };
      const [layers, kernels] = [await gradients(lossOf), await gradients(trainingLoss)];
      for (const [i, expected] of layers.values.entries()) {
        assert.isAbove(Math.max(...expected.map(Math.abs)), 1e-4, variables[i]!.name);
        assertClose(kernels.values[i]!, expected, 1e-5);
      }
      // The penalty is in the gradients alone.
      const penalty = tf.tidy(() => (tf.addN(model.calculateLosses()) as tf.Scalar).dataSync()[0]!);
      assert.isAbove(penalty, 1e-3);
      assertClose([kernels.loss], [layers.loss - penalty], 1e-5);
      model.dispose();
    });
  }
});
