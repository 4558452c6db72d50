/**
 * What average.ts and the fused kernels agree on. It knows no backend.
 *
 * A fused kernel does `average += (value - average) * weight` in one pass over the memory of its
 * backend (two in TensorFlow), where plain tfjs ops take three passes and two temporaries.
 *
 * What a kernel promises:
 * - The result is that of the plain ops within one float32 rounding, in NaN and infinity too. (Two on
 *   tfjs-node, see node.ts; and cpu, which rounds once at the end, stays finite where `value - average`
 *   alone is beyond float32.) It depends on values and weight alone: where a kernel refuses because
 *   of who holds the data, its results are those of the plain ops bit for bit.
 * - Nobody sees an old value or a new one too early. It never writes through an alias: a tensor that
 *   shares the average's data (a clone, a reshape, the variable that the average started from), and an
 *   array that the backend handed out or was handed, keep their values; in place therefore only where
 *   the data has one owner (`backend.refCount(dataId) === 1`). And where tfjs holds a second copy of
 *   the data, it is dropped.
 * - It refuses what it cannot do, before it changes anything: the caller takes the plain ops then.
 *   What it needs of a backend's inside is looked for, never inferred from a version.
 * - It leaves no tensor behind.
 */
import type * as tf from '@tensorflow/tfjs-core';

/**
 * Takes `value` into `average`, both float32 and of one shape; false if it refuses, having changed
 * nothing.
 */
export type Update = (average: tf.Variable, value: tf.Tensor) => boolean;

/** The update of one group on a backend, or `null` where the backend lacks what it needs. */
export type AverageKernel<Backend> = (backend: Backend, weight: number) => Update | null;

/** What every tfjs backend says of its data. */
export interface CountsReferences {
  /** Tensors that share the data; 0 if the backend does not hold it. */
  refCount?(dataId: object): number;
}

/** Whether an object is there with these methods: what a kernel is to call has to be. */
export function hasMethods<T extends object, K extends keyof T>(
  object: T | null | undefined,
  ...names: K[]
): object is T & { [P in K]-?: NonNullable<T[P]> } {
  return names.every((name) => typeof object?.[name] === 'function');
}
