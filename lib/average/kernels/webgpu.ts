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
function knownBy(backend: WebGpuBackend): ((tensor: tf.Tensor) => boolean) | null {
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
  return elementwise(backend, weight, {
    inputs: ['Average', 'Current'],
    result: 'Average[index] + (Current[index] - Average[index]) * uniforms.factor',
  });
}

/** What becomes of the first of some tensors of one shape, element by element. */
export interface Elementwise {
  /** What the tensors are called in the expression. */
  readonly inputs: readonly [string, ...string[]];
  /** An expression of WGSL of `NAME[index]` and `uniforms.factor`. */
  readonly result: string;
}

/** Runs it; false if it refuses, having changed nothing. `null` where the backend lacks what it needs. */
export function elementwise(
  backend: WebGpuBackend,
  factor: number,
  what: Elementwise,
): ((first: tf.Variable, ...others: tf.Tensor[]) => boolean) | null {
  const isKnown = knownBy(backend);
  if (!isKnown || !hasMethods(backend, 'runWebGPUProgram')) return null;
  const uniforms = [{ type: 'float32', data: [factor] }];
  return (first, ...others) => {
    const { size, shape } = first;
    if (size === 0) return true;
    const tensors = [first, ...others];
    if (!tensors.every(isKnown)) return false;
    // Flat, so that all tensors share two programs.
    const inputs = tensors.map(({ dataId, dtype }) => ({ dataId, dtype, shape: [size] }));
    const { dataId } = backend.runWebGPUProgram(program(what, size), inputs, 'float32', uniforms);
    const next = tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype: 'float32' });
    first.assign(next);
    next.dispose();
    return true;
  };
}

/** A program as the backend's `runWebGPUProgram` takes it; vectors of four where the size allows. */
function program({ inputs, result }: Elementwise, size: number): object {
  const outputComponent = size % 4 === 0 ? 4 : 1;
  return {
    variableNames: inputs,
    uniforms: 'factor : f32,',
    outputShape: [size],
    outputComponent,
    variableComponents: inputs.map(() => outputComponent),
    dispatchLayout: { x: [0] },
    // More than the device takes in one dimension is spread over two by the backend.
    dispatch: [Math.ceil(size / outputComponent / WORKGROUP), 1, 1],
    workgroupSize: [WORKGROUP, 1, 1],
    size: true,
    shaderKey: `tfjs-swa ${result} ${outputComponent}`,
    getUserCode: () => `
      fn main(index : i32) {
        if (index < uniforms.size) {
          result[index] = ${result};
        }
      }`,
  };
}
