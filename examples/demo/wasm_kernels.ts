/**
 * Puts faster kernels in the place of three of the wasm backend's, each made of others that it has,
 * with the same results but for rounding. Most of a training step of the demo's net went into them.
 * It knows nothing of nets.
 */
import '@tensorflow/tfjs-backend-wasm'; // registers the kernels that are replaced
import * as tf from '@tensorflow/tfjs-core';

type Call = Parameters<tf.KernelFunc>[0];
/** Makes the result, or `null` where it is left to the kernel that was there before. */
type Faster = (call: Call) => tf.Tensor | null;

const FASTER: Record<string, Faster> = {
  // tfjs 4.22 hands only products without a transposed operand to XNNPACK, one at a time; the others
  // take a plain loop (tfjs-backend-wasm, src/cc/batch_mat_mul_impl.cc), and 4 times as long.
  BatchMatMul({ inputs, attrs }) {
    const { a, b } = inputs as Record<'a' | 'b', tf.Tensor>;
    const { transposeA, transposeB } = attrs as Record<string, unknown>;
    if (!(transposeA || transposeB) || !isMatrix(a) || !isMatrix(b)) return null;
    return tf.matMul(transposeA ? transposed(a) : a, transposeB ? transposed(b) : b);
  },

  // A loop over single values (src/cc/kernels/FusedBatchNorm.cc), twice as long as three passes of
  // XNNPACK.
  FusedBatchNorm({ inputs, attrs }) {
    const { x, mean, variance, offset, scale } = inputs as Record<string, tf.Tensor>;
    const { varianceEpsilon } = attrs as { varianceEpsilon: number };
    const inverse = tf.rsqrt(tf.add(variance!, varianceEpsilon));
    const factor = scale ? tf.mul(inverse, scale) : inverse;
    const scaled = tf.mul(tf.sub(x!, mean!), factor);
    return offset ? tf.add(scaled, offset) : scaled;
  },

  // A copy value by value (src/cc/kernels/Tile.cc), 7 times as long as a product with ones; the
  // gradient of batch normalization repeats along axes of length 1.
  Tile({ inputs, attrs }) {
    const x = inputs['x'] as tf.Tensor;
    const { reps } = attrs as { reps: number[] };
    if (x.dtype !== 'float32' || x.shape.some((size, i) => size !== 1 && reps[i] !== 1))
      return null;
    return tf.mul(tf.ones(x.shape.map((size, i) => size * reps[i]!)), x);
  },
};

/** Replaces the kernels, before or after the backend starts. Returns what puts the old ones back. */
export function useFasterKernels(): () => void {
  const backendName = 'wasm';
  const before = Object.entries(FASTER).map(([kernelName, faster]) => {
    const kernel = tf.getKernel(kernelName, backendName);
    const kernelFunc: tf.KernelFunc = (call) => {
      const made = tf.tidy(() => faster(call) as tf.Tensor) as tf.Tensor | null;
      return made ?? kernel.kernelFunc(call);
    };
    replace({ ...kernel, kernelFunc });
    return kernel;
  });
  return () => before.forEach(replace);
}

function replace(kernel: tf.KernelConfig): void {
  tf.unregisterKernel(kernel.kernelName, kernel.backendName);
  tf.registerKernel(kernel);
}

/** Whether it is one matrix, with or without batch dimensions of 1 before it. */
function isMatrix({ shape, size }: tf.Tensor): boolean {
  return size === shape.at(-1)! * shape.at(-2)!;
}

function transposed(matrix: tf.Tensor): tf.Tensor {
  const axes = [...matrix.shape.keys()];
  return tf.transpose(matrix, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}
