/**
 * The loss of a training step of the benchmark's nets. On TensorFlow a step takes less than half the time
 * so: a kernel of its own for each layer, where tfjs makes batch normalization and ReLU of some thirty.
 * On other backends it is what the layers give. It knows nothing of optimizers.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { lossOf } from '../../examples/demo/model.js';
import { L2 } from './experiments.js';

/** What of tfjs-node's backend runs a kernel of TensorFlow (nodejs_kernel_backend.ts, 4.22). */
interface TensorFlow {
  binding: Record<'TF_ATTR_TYPE' | 'TF_ATTR_FLOAT' | 'TF_ATTR_BOOL' | 'TF_FLOAT', number>;
  executeMultipleOutputs(
    name: string,
    attributes: { name: string; type: number; value: unknown }[],
    inputs: tf.Tensor[],
    outputs: number,
  ): tf.Tensor[];
}

/** What of a layer is read here. */
type Layer = tfl.layers.Layer & {
  kernel: { read(): tf.Variable };
  bias: { read(): tf.Variable } | null;
  strides: [number, number];
  epsilon: number;
};

/**
 * Cross-entropy in training mode, whose gradients have the l2 penalty's in them. On TensorFlow its value
 * is without the penalty, and the moving statistics stay as they are.
 *
 * @param images Of shape `[batch, 14, 14]`.
 * @param labels One-hot, of shape `[batch, 10]`.
 */
export function trainingLoss(
  model: tfl.LayersModel,
  images: tf.Tensor3D,
  labels: tf.Tensor2D,
): tf.Scalar {
  if (tf.getBackend() !== 'tensorflow') return lossOf(model, images, labels);
  let x: tf.Tensor = images;
  for (const [i, layer] of (model.layers as Layer[]).entries()) {
    const kind = layer.getClassName();
    // Of the images tfjs would form a gradient as well, which nobody asks for.
    if (kind === 'Conv2D') x = (i === 1 ? firstConvolution : convolution)(x as tf.Tensor4D, layer);
    else if (kind === 'Dense') x = dense(x as tf.Tensor2D, layer);
    else if (kind === 'BatchNormalization') x = normalizedRelu(x, layer);
    // ReLU is a part of what stands before it.
    else if (kind !== 'ReLU') x = layer.apply(x) as tf.Tensor;
  }
  return crossEntropy(labels, x as tf.Tensor2D);
}

function convolution(x: tf.Tensor4D, { kernel, strides }: Layer): tf.Tensor {
  return tf.conv2d(x, penalized(kernel.read() as tf.Variable<tf.Rank.R4>), strides, 'same');
}

function firstConvolution(x: tf.Tensor4D, { kernel, strides }: Layer): tf.Tensor {
  const filter = kernel.read() as tf.Variable<tf.Rank.R4>;
  const ofFilter = tf.customGrad((weights, save) => {
    (save as tf.GradSaveFunc)([x]);
    return {
      value: tf.conv2d(x, weights as tf.Tensor4D, strides, 'same'),
      gradFunc: (dy, [saved]) =>
        tf
          .engine()
          .runKernel<tf.Tensor>(
            tf.Conv2DBackpropFilter,
            { x: saved!, dy },
            { strides, pad: 'same', dataFormat: 'NHWC', filterShape: filter.shape },
          ),
    };
  });
  return ofFilter(penalized(filter));
}

function dense(x: tf.Tensor2D, { kernel, bias }: Layer): tf.Tensor {
  const product = tf.matMul(x, penalized(kernel.read() as tf.Variable<tf.Rank.R2>));
  return bias ? tf.add(product, bias.read()) : product;
}

/** The weights, to whose gradient `l2 sum(w^2)` adds its own, `2 l2 w`. */
function penalized<T extends tf.Tensor>(weights: T): T {
  return tf.customGrad((of, save) => {
    (save as tf.GradSaveFunc)([of as T]);
    return {
      value: tf.clone(of as T),
      gradFunc: (dy, [saved]) => tf.add(dy, tf.mul(saved!, 2 * L2)),
    };
  })(weights) as T;
}

/** Batch normalization with the batch's statistics, then ReLU. */
function normalizedRelu(x: tf.Tensor, layer: Layer): tf.Tensor {
  const { binding } = tensorFlow();
  const attributes = [
    { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'U', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'epsilon', type: binding.TF_ATTR_FLOAT, value: layer.epsilon },
    { name: 'is_training', type: binding.TF_ATTR_BOOL, value: true },
  ];
  const [gamma, beta] = layer.trainableWeights.map((weight) => weight.read());
  const depth = x.shape.at(-1)!;
  const shape4d: [number, number, number, number] = [x.size / depth, 1, 1, depth];
  const places = x.rank === 4 ? x.shape : shape4d;
  return tf.customGrad((input, scale, offset, save) => {
    const x4d = tf.reshape(input as tf.Tensor, places);
    const none = tf.tensor1d([]);
    const inputs = [x4d, scale as tf.Tensor, offset as tf.Tensor, none, none];
    const [normalized, , , ...statistics] = run('FusedBatchNormV3', attributes, inputs, 6);
    const y = tf.relu(normalized!);
    (save as tf.GradSaveFunc)([x4d, scale as tf.Tensor, y, ...statistics]);
    return {
      value: tf.reshape(y, x.shape),
      gradFunc: (dy, saved) => {
        const [from, factor, positive, ...reserved] = saved;
        const relu = [tf.reshape(dy, places), positive!];
        const [dNormalized] = run('ReluGrad', attributes.slice(0, 1), relu, 1);
        const needed = [dNormalized!, from!, factor!, ...reserved];
        const [dx, dGamma, dBeta] = run('FusedBatchNormGradV3', attributes, needed, 5);
        return [tf.reshape(dx!, x.shape), dGamma!, dBeta!];
      },
    };
  })(x, gamma!, beta!);
}

/** The mean over the batch. */
function crossEntropy(labels: tf.Tensor2D, logits: tf.Tensor2D): tf.Scalar {
  const { binding } = tensorFlow();
  const type = [{ name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT }];
  const of = tf.customGrad((x, save) => {
    const inputs = [x as tf.Tensor, labels];
    const [losses, gradient] = run('SoftmaxCrossEntropyWithLogits', type, inputs, 2);
    (save as tf.GradSaveFunc)([gradient!]);
    return {
      value: tf.mean(losses!),
      gradFunc: (dy, [saved]) => tf.mul(saved!, tf.div(dy, labels.shape[0])),
    };
  });
  return of(logits) as tf.Scalar;
}

function tensorFlow(): TensorFlow {
  return tf.backend() as unknown as TensorFlow;
}

function run(...kernel: Parameters<TensorFlow['executeMultipleOutputs']>): tf.Tensor[] {
  return tensorFlow().executeMultipleOutputs(...kernel);
}
