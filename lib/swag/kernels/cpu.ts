/** The fused second moment on the cpu backend: one loop over its typed arrays. */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods, type CountsReferences } from '../../average/kernels/contract.js';
import type { AddSquares } from './contract.js';

interface CpuBackend extends CountsReferences {
  /** Of each tensor its array (tfjs-backend-cpu 4.22, backend_cpu.ts, `write`). */
  data?: { get(dataId: object): { values?: unknown } | undefined };
}

export function cpuSquares(backend: CpuBackend, share: number): AddSquares | null {
  const { data } = backend;
  if (!hasMethods(backend, 'refCount') || !hasMethods(data, 'get')) return null;
  const rounded = Math.fround(share); // as the plain ops have it, in a tensor
  return (sum, mean, value) => {
    const [sums, means, values] = [sum, mean, value].map(({ dataId }) => data.get(dataId)?.values);
    if (!(sums instanceof Float32Array && means instanceof Float32Array)) return false;
    if (!(values instanceof Float32Array)) return false;
    const isAlone = backend.refCount(sum.dataId) === 1;
    const next = isAlone ? sums : sums.slice();
    addSquares(next, means, values, rounded);
    if (!isAlone) tf.tidy(() => sum.assign(tf.tensor(next, sum.shape)));
    return true;
  };
}

/** In double precision, rounded once, where it is stored. */
function addSquares(
  sums: Float32Array,
  means: Float32Array,
  values: Float32Array,
  share: number,
): void {
  for (let i = 0; i < sums.length; i++) {
    const deviation = values[i]! - means[i]!;
    sums[i]! += deviation * deviation * share;
  }
}
