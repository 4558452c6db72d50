/**
 * What second_moment.ts and its fused kernels agree on. It knows no backend.
 *
 * What a kernel promises is what contract.ts of average/kernels says. In place a sum is written where
 * its data has one owner; nobody else has seen its array, for it began as zeros or as a copy, and is
 * read by copies alone, and no product has taken it, of whose operands wasm keeps copies.
 */
import type * as tf from '@tensorflow/tfjs-core';

/**
 * Does `sum += (value - mean)^2 * share`, all float32 and of one shape; false if it refuses, having
 * changed nothing.
 */
export type AddSquares = (sum: tf.Variable, mean: tf.Tensor, value: tf.Tensor) => boolean;

/** The kernel of a backend for a share, or `null` where the backend lacks what it needs. */
export type SquaresKernel<Backend> = (backend: Backend, share: number) => AddSquares | null;
