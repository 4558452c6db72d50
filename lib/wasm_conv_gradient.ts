/**
 * The gradient of `tf.conv2d` with respect to its filter on the wasm backend, which tfjs 4.22 lacks
 * there, so that convolutional nets train on it: `import 'tfjs-swa/wasm-conv-gradient'`. Of dilated
 * convolutions tfjs has no gradient on any backend (tfjs-core 4.22, Conv2D_grad.ts). It knows nothing
 * of optimizers or averages.
 * @module
 */
import * as tf from '@tensorflow/tfjs-core';

const kernelName = 'Conv2DBackpropFilter';
const backendName = 'wasm';

/**
 * `dw[i, j, c, k] = sum over n, y, x of input[n, s y + i - top, s x + j - left, c] dy[n, y, x, k]`,
 * which is itself a convolution: of the padded input, its channels taken for the batch and its batch
 * for the channels, with `dy` for the filter, dilated by the stride s.
 */
function gradientOfFilter(
  input: tf.Tensor4D,
  dy: tf.Tensor4D,
  filterShape: [number, number, number, number],
  strides: number | [number, number],
  pad: Parameters<typeof tf.conv2d>[3],
  dimRoundingMode?: 'floor' | 'round' | 'ceil',
): tf.Tensor4D {
  const { padInfo, strideHeight, strideWidth } = tf.backend_util.computeConv2DInfo(
    input.shape,
    filterShape,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  const { top, left } = padInfo;
  const [batch, inHeight, inWidth, channels] = input.shape;
  // Just as much of the input as the filter passes over: the strides may not reach its end.
  const height = (dy.shape[1] - 1) * strideHeight + filterShape[0];
  const width = (dy.shape[2] - 1) * strideWidth + filterShape[1];
  const padded = tf.pad4d(input, [
    [0, 0],
    [top, Math.max(0, height - inHeight - top)],
    [left, Math.max(0, width - inWidth - left)],
    [0, 0],
  ]);
  const used = tf.slice(padded, [0, 0, 0, 0], [batch, height, width, channels]);
  const gradient = tf.conv2d<tf.Tensor4D>(
    tf.transpose(used, [3, 1, 2, 0]),
    tf.transpose(dy, [1, 2, 0, 3]),
    1,
    'valid',
    'NHWC',
    [strideHeight, strideWidth],
  );
  return tf.transpose(gradient, [1, 2, 0, 3]);
}

// Another may have brought it: a later tfjs, say, whose own is faster.
if (tf.getKernel(kernelName, backendName) === undefined) {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      const { x, dy } = inputs as { x: tf.Tensor4D; dy: tf.Tensor4D };
      const { strides, pad, dataFormat, dimRoundingMode, filterShape } = attrs as never as {
        strides: number | [number, number];
        pad: Parameters<typeof tf.conv2d>[3];
        dataFormat: string;
        dimRoundingMode?: 'floor' | 'round' | 'ceil';
        filterShape: [number, number, number, number];
      };
      if (dataFormat !== 'NHWC')
        throw new Error(`${kernelName} on wasm: ${dataFormat} is not NHWC`);
      return tf.tidy(() => gradientOfFilter(x, dy, filterShape, strides, pad, dimRoundingMode));
    },
  });
}
