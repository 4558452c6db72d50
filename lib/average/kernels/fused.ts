/**
 * Which backend has which fused kernel, by the name of the backend. A table and not tfjs's registry of
 * kernels, so that importing it has no effect and a bundler may leave it out.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { AverageKernel, Update } from './contract.js';
import { cpuAverage } from './cpu.js';
import { nodeAverage } from './node.js';
import { wasmAverage } from './wasm.js';
import { webglAverage } from './webgl.js';
import { webgpuAverage } from './webgpu.js';

const KERNELS: Readonly<Record<string, AverageKernel<object> | null>> = {
  cpu: cpuAverage,
  wasm: wasmAverage,
  webgl: webglAverage,
  webgpu: webgpuAverage,
  tensorflow: nodeAverage,
};

/** The update of one group on the backend in use; `null` where it has none, or lacks what it needs. */
export function fusedUpdate(weight: number): Update | null {
  return KERNELS[tf.getBackend()]?.(tf.backend(), weight) ?? null;
}
