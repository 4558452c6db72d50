/**
 * The shapes of the weights of ResNet-50 and MobileNetV2, from their construction (He et al. 2015,
 * table 1; Sandler et al. 2018, table 2). Knows no tfjs.
 */

/** Values in a tensor of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}

/**
 * The trainable tensors of ResNet-50: 53 convolutions without bias, each with the gamma and beta of
 * its batch normalization, and the dense kernel and bias; 161 tensors of 25,557,032 values.
 *
 * @param width Channels of the first convolution; 64 is ResNet-50, fewer make it smaller all over.
 * @param classes Outputs of the dense layer.
 */
export function resnet50Shapes(width = 64, classes = 1000): number[][] {
  const shapes: number[][] = [];
  const convolution = (size: number, inputs: number, outputs: number): number => {
    shapes.push([size, size, inputs, outputs], [outputs], [outputs]);
    return outputs;
  };
  let channels = convolution(7, 3, width);
  [3, 4, 6, 3].forEach((blocks, stage) => {
    const inner = width * 2 ** stage;
    for (let block = 0; block < blocks; block++) {
      const inputs = channels;
      channels = convolution(1, convolution(3, convolution(1, inputs, inner), inner), 4 * inner);
      if (block === 0) convolution(1, inputs, channels); // the shortcut changes its width here
    }
  });
  shapes.push([channels, classes], [classes]);
  return shapes;
}

/**
 * The trainable tensors of MobileNetV2: 52 convolutions without bias, each with the gamma and beta
 * of its batch normalization, and the dense kernel and bias; 158 tensors of 3,504,872 values.
 *
 * @param classes Outputs of the dense layer.
 */
export function mobileNetV2Shapes(classes = 1000): number[][] {
  const shapes: number[][] = [];
  const normalized = (kernel: number[], outputs: number): number => {
    shapes.push(kernel, [outputs], [outputs]);
    return outputs;
  };
  let channels = normalized([3, 3, 3, 32], 32);
  // Table 2: expansion, channels, repeats.
  for (const [expansion, outputs, repeats] of [
    [1, 16, 1],
    [6, 24, 2],
    [6, 32, 3],
    [6, 64, 4],
    [6, 96, 3],
    [6, 160, 3],
    [6, 320, 1],
  ] as const) {
    for (let i = 0; i < repeats; i++) {
      const inner = channels * expansion;
      if (expansion > 1) normalized([1, 1, channels, inner], inner);
      normalized([3, 3, inner, 1], inner);
      channels = normalized([1, 1, inner, outputs], outputs);
    }
  }
  channels = normalized([1, 1, channels, 1280], 1280);
  shapes.push([channels, classes], [classes]);
  return shapes;
}
