/** The fused second moment on the WebGPU backend: one program a tensor, into a new buffer. */
import { elementwise, type WebGpuBackend } from '../../average/kernels/webgpu.js';
import type { AddSquares } from './contract.js';

export function webgpuSquares(backend: WebGpuBackend, share: number): AddSquares | null {
  const deviation = '(Value[index] - Mean[index])';
  return elementwise(backend, share, {
    inputs: ['Sum', 'Mean', 'Value'],
    result: `Sum[index] + ${deviation} * ${deviation} * uniforms.factor`,
  });
}
