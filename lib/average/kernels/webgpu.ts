/**
 * The fused update on the WebGPU backend: one program a tensor, which reads and writes the average
 * through one binding. It knows nothing of averages beyond the weight.
 */
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { CountsReferences, Update } from './contract.js';

/** A tensor's data on the WebGPU backend (tfjs-backend-webgpu 4.22, backend_webgpu.ts, `write`). */
interface Entry {
  dtype: string;
  /** The values where the device does not hold them, or a copy that `data()` keeps. */
  values: unknown;
  /** Whether the buffer on the device is a caller's own. */
  external?: boolean;
}

interface WebGpuBackend extends CountsReferences {
  tensorMap?: { get(dataId: object): Entry };
  uploadToGPU?(dataId: object): void;
  runWebGPUProgram?(
    program: object,
    inputs: TensorInfo[],
    dtype: string,
    uniforms: { type: string; data: number[] }[],
    output: TensorInfo,
  ): unknown;
}

const WORKGROUP = 64;

export function webgpuAverage(backend: WebGpuBackend, weight: number): Update | null {
  const { tensorMap } = backend;
  if (!tensorMap || !backend.runWebGPUProgram || !backend.uploadToGPU) return null;
  const uniforms = [{ type: 'float32', data: [weight] }];
  return (buffer, value) => {
    if (backend.refCount(buffer.dataId) !== 1) return false;
    const entry = tensorMap.get(buffer.dataId);
    if (entry.external || entry.dtype !== 'float32') return false;
    if (tensorMap.get(value.dataId).dtype !== 'float32') return false;
    const { size } = buffer;
    // Flat, so that all tensors share two programs.
    const flat = ({ dataId, dtype }: TensorInfo) => ({ dataId, dtype, shape: [size] });
    // The value is an input, the average the output alone: a tensor that is bound as both loses the
    // whole command buffer, of which WebGPU tells nobody who does not listen.
    if (size > 0) {
      backend.uploadToGPU!(buffer.dataId);
      backend.runWebGPUProgram!(program(size), [flat(value)], 'float32', uniforms, flat(buffer));
      forgetValues(entry);
    }
    return true;
  };
}

/** A program as the backend's `runWebGPUProgram` takes it; vectors of four where the size allows. */
function program(size: number): object {
  const outputComponent = size % 4 === 0 ? 4 : 1;
  return {
    variableNames: ['Current'],
    uniforms: 'weight : f32,',
    outputShape: [size],
    outputComponent,
    dispatchLayout: { x: [0] },
    // More than the device takes in one dimension is spread over two by the backend.
    dispatch: [Math.ceil(size / outputComponent / WORKGROUP), 1, 1],
    workgroupSize: [WORKGROUP, 1, 1],
    size: true,
    shaderKey: `tfjs-swa average ${outputComponent}`,
    getUserCode: () => `
      fn main(index : i32) {
        if (index < uniforms.size) {
          let average = result[index];
          result[index] = average + (Current[index] - average) * uniforms.weight;
        }
      }`,
  };
}

/**
 * Has the entry keep no copy of its values in JavaScript: the one it has is old now, and a `data()`
 * that began before this update would leave another.
 */
function forgetValues(entry: Entry): void {
  Object.defineProperty(entry, 'values', { get: () => null, set: () => {}, configurable: true });
}
