/** The backends that the specs of behaviour run on, and what is asked of each. It starts none. */
import * as tf from '@tensorflow/tfjs-core';

interface Backend {
  /** By how much a tolerance grows: 1 for arithmetic in float32, one rounding after another. */
  readonly tolerance: number;
  /** The share of what a spec tries many of (random programs, steps) that is tried. */
  readonly share: number;
}

/**
 * Tolerances as found by running all specs; 1 is what they say, which holds for cpu's loops, for
 * wasm's (XNNPACK) and for WebGL in float32 textures and WebGPU, both on SwiftShader. What has to
 * be equal bit for bit is so within each backend. Shares: a kernel takes some 0.02 ms on cpu and
 * wasm, 0.05 in TensorFlow, and 1 where a processor stands in for a GPU.
 */
const BACKENDS: Record<string, Backend> = {
  cpu: { tolerance: 1, share: 1 },
  wasm: { tolerance: 1, share: 1 },
  webgl: { tolerance: 1, share: 0.1 },
  webgpu: { tolerance: 1, share: 0.1 },
  // Eigen sums a matrix product in blocks that depend on where in memory it lies: the same net on
  // the same input is off by 2 units in the last place.
  tensorflow: { tolerance: 4, share: 0.5 },
};

const current = (): Backend => BACKENDS[tf.getBackend()] ?? { tolerance: 1, share: 1 };

/** Whether the backend is tfjs-node's, whose kernels and tensors are TensorFlow's. */
export const onTfjsNode = (): boolean => tf.getBackend() === 'tensorflow';

/** The tolerance of a spec, as the current backend needs it. */
export const tolerated = (tolerance: number): number => tolerance * current().tolerance;

/** How many of `count` to try on the current backend. */
export const shareOf = (count: number): number => Math.ceil(count * current().share);

/** Before specs of the fused kernels: with a GPU, tfjs-node takes the plain ops (lib/average/kernels/node.ts). */
export function skipOnNodeGpu(this: Mocha.Context): void {
  const { isUsingGpuDevice } = tf.backend() as { isUsingGpuDevice?: boolean };
  if (isUsingGpuDevice) this.skip();
}
