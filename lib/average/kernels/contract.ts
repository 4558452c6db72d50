/**
 * What average.ts and the fused kernels agree on, in the one place where both look. It knows no
 * backend.
 *
 * A fused kernel does `buffer += (value - buffer) * weight` in place, in one pass over the memory of
 * its backend (two in TensorFlow), where plain tfjs ops take three passes and two temporaries. It is
 * registered under {@link AVERAGE} with tfjs's own registry, so average.ts finds the kernel of the
 * current backend by asking tfjs, and `import 'tfjs-swa/kernels'` may come before or after the
 * backend's import.
 *
 * What a kernel promises:
 * - The result is that of the plain ops within one float32 rounding, in NaN and infinity too. (Two on
 *   tfjs-node, see node.ts; and cpu, which rounds once at the end, stays finite where `value - average`
 *   alone is beyond float32.)
 * - It never writes through an alias: a tensor that shares the buffer's data (a clone, a reshape, the
 *   variable that the average started from), and an array that the backend handed out or was handed,
 *   keep their values. In place therefore only where the data has one owner
 *   (`backend.refCount(dataId) === 1`).
 * - It refuses what it cannot do, before it changes anything: the caller takes the plain ops then.
 *   What it needs of a backend's inside is looked for, never inferred from a version.
 * - It leaves no tensor behind.
 */
import * as tf from '@tensorflow/tfjs-core';

/** The kernels' name in tfjs's registry. */
export const AVERAGE = 'tfjs-swa average';

/**
 * Takes `value` into `buffer`, both float32 and of one shape; false if it refuses, having changed
 * nothing.
 */
export type Update = (buffer: tf.Variable, value: tf.Tensor) => boolean;

/** The update of one group on a backend, or `null` where the backend lacks what it needs. */
export type AverageKernel<Backend> = (backend: Backend, weight: number) => Update | null;

/** What every tfjs backend says of its data. */
export interface CountsReferences {
  /** Tensors that share the data; 0 if the backend does not hold it. */
  refCount(dataId: object): number;
}

/** Registers a kernel for the backend of that name, which need not be there yet. */
export function register<Backend>(backendName: string, kernel: AverageKernel<Backend>): void {
  // The ESM and the CommonJS form of the entry can both be loaded; tfjs warns of a second one.
  if (tf.getKernel(AVERAGE, backendName)) return;
  const kernelFunc = ({ backend, attrs }: { backend: unknown; attrs?: unknown }) =>
    kernel(backend as Backend, attrs as number);
  tf.registerKernel({ kernelName: AVERAGE, backendName, kernelFunc: kernelFunc as never });
}
