/** The fused second moment on the WebGPU backend: one program a tensor, into a new buffer. */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods } from '../../average/kernels/contract.js';
import { knownBy, type WebGpuBackend } from '../../average/kernels/webgpu.js';
import type { AddSquares } from './contract.js';

const WORKGROUP = 64;

export function webgpuSquares(backend: WebGpuBackend, share: number): AddSquares | null {
  const isKnown = knownBy(backend);
  if (!isKnown || !hasMethods(backend, 'runWebGPUProgram')) return null;
  const uniforms = [{ type: 'float32', data: [share] }];
  return (sum, mean, value) => {
    const { size, shape } = sum;
    if (size === 0) return true;
    const tensors = [sum, mean, value];
    if (!tensors.every(isKnown)) return false;
    // Flat, so that all tensors share two programs.
    const inputs = tensors.map(({ dataId, dtype }) => ({ dataId, dtype, shape: [size] }));
    const { dataId } = backend.runWebGPUProgram(program(size), inputs, 'float32', uniforms);
    const next = tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype: 'float32' });
    sum.assign(next);
    next.dispose();
    return true;
  };
}

/** A program as the backend's `runWebGPUProgram` takes it; vectors of four where the size allows. */
function program(size: number): object {
  const outputComponent = size % 4 === 0 ? 4 : 1;
  const type = outputComponent === 4 ? 'vec4<f32>' : 'f32';
  return {
    variableNames: ['Sum', 'Mean', 'Value'],
    uniforms: 'share : f32,',
    outputShape: [size],
    outputComponent,
    variableComponents: [outputComponent, outputComponent, outputComponent],
    dispatchLayout: { x: [0] },
    // More than the device takes in one dimension is spread over two by the backend.
    dispatch: [Math.ceil(size / outputComponent / WORKGROUP), 1, 1],
    workgroupSize: [WORKGROUP, 1, 1],
    size: true,
    shaderKey: `tfjs-swa second moment ${outputComponent}`,
    getUserCode: () => `
      fn main(index : i32) {
        if (index < uniforms.size) {
          let deviation : ${type} = Value[index] - Mean[index];
          result[index] = Sum[index] + deviation * deviation * uniforms.share;
        }
      }`,
  };
}
