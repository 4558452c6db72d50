/**
 * The fused update on the WebGPU backend: one program a tensor, into a new buffer, which the backend
 * takes from its pool. It knows nothing of averages beyond the weight.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods, type Update } from './contract.js';

/** What of the WebGPU backend is used (tfjs-backend-webgpu 4.22, backend_webgpu.ts). */
export interface WebGpuBackend {
  tensorMap?: { get(dataId: object): { dtype?: string; resource?: unknown } | undefined };
  uploadToGPU?(dataId: object): void;
  runWebGPUProgram?(
    program: object,
    inputs: tf.TensorInfo[],
    dtype: string,
    uniforms: { type: string; data: number[] }[],
  ): tf.TensorInfo;
}

const WORKGROUP = 64;

/**
 * Tells of a tensor whether it is float32 with a record of 4.6 or later, the time whose programs are as
 * below; `null` where the backend cannot say.
 */
export function knownBy(backend: WebGpuBackend): ((tensor: tf.Tensor) => boolean) | null {
  const { tensorMap } = backend;
  if (!hasMethods(backend, 'uploadToGPU') || !hasMethods(tensorMap, 'get')) return null;
  return ({ dataId }) => {
    const { dtype } = tensorMap.get(dataId) ?? {};
    if (dtype !== 'float32') return false;
    backend.uploadToGPU(dataId);
    return tensorMap.get(dataId)?.resource instanceof Object;
  };
}

export function webgpuAverage(backend: WebGpuBackend, weight: number): Update | null {
  const isKnown = knownBy(backend);
  if (!isKnown || !hasMethods(backend, 'runWebGPUProgram')) return null;
  const uniforms = [{ type: 'float32', data: [weight] }];
  return (average, value) => {
    const { size, shape } = average;
    if (size === 0) return true;
    if (!isKnown(average) || !isKnown(value)) return false;
    // Flat, so that all tensors share two programs.
    const inputs = [average, value].map(({ dataId, dtype }) => ({ dataId, dtype, shape: [size] }));
    const { dataId } = backend.runWebGPUProgram(program(size), inputs, 'float32', uniforms);
    const info = { dataId, shape, dtype: 'float32' } as const;
    const next = tf.engine().makeTensorFromTensorInfo(info);
    average.assign(next);
    next.dispose();
    return true;
  };
}

/** A program as the backend's `runWebGPUProgram` takes it; vectors of four where the size allows. */
function program(size: number): object {
  const outputComponent = size % 4 === 0 ? 4 : 1;
  const type = outputComponent === 4 ? 'vec4<f32>' : 'f32';
  return {
    variableNames: ['Average', 'Current'],
    uniforms: 'weight : f32,',
    outputShape: [size],
    outputComponent,
    variableComponents: [outputComponent, outputComponent],
    dispatchLayout: { x: [0] },
    // More than the device takes in one dimension is spread over two by the backend.
    dispatch: [Math.ceil(size / outputComponent / WORKGROUP), 1, 1],
    workgroupSize: [WORKGROUP, 1, 1],
    size: true,
    shaderKey: `tfjs-swa average ${outputComponent}`,
    getUserCode: () => `
      fn main(index : i32) {
        if (index < uniforms.size) {
          let average : ${type} = Average[index];
          result[index] = average + (Current[index] - average) * uniforms.weight;
        }
      }`,
  };
}
