/**
 * Which backend has which fused kernel of the second moment, by the name of the backend. It knows
 * nothing of means or samples. TensorFlow has none: its plain ops take three passes.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { AddSquares, SquaresKernel } from './contract.js';
import { cpuSquares } from './cpu.js';
import { wasmSquares } from './wasm.js';
import { webglSquares } from './webgl.js';
import { webgpuSquares } from './webgpu.js';

const KERNELS: Readonly<Record<string, SquaresKernel<object>>> = {
  cpu: cpuSquares,
  wasm: wasmSquares,
  webgl: webglSquares,
  webgpu: webgpuSquares,
};

/** The kernel of the backend in use; `null` where it has none, or lacks what it needs. */
export function fusedSquares(share: number): AddSquares | null {
  return KERNELS[tf.getBackend()]?.(tf.backend(), share) ?? null;
}
