/** Tensors as plain host data, there and back. It knows nothing of optimizers. */
import * as tf from '@tensorflow/tfjs-core';

/** A tensor as plain data: it can be structured-cloned, posted and stored; nothing to dispose. */
export interface TensorData {
  name: string;
  dtype: 'float32' | 'int32' | 'bool';
  shape: number[];
  /** The values in row-major order: Uint8Array for bool. */
  values: Float32Array | Int32Array | Uint8Array;
}

/** A tensor and its name, as tfjs's optimizers hand them about (tfjs-core does not export it). */
export interface NamedTensor {
  name: string;
  tensor: tf.Tensor;
}

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/** `instanceof` of tfjs, which asks for methods, with the type that follows from it. */
export function isVariable(value: unknown): value is tf.Variable {
  return value instanceof tf.Variable;
}

/** The same for tensors, variables among them. */
export function isTensor(value: unknown): value is tf.Tensor {
  return value instanceof tf.Tensor;
}

/** Copies a tensor to the host; the values are those at the moment of the call. */
export async function hostData(name: string, tensor: tf.Tensor): Promise<TensorData> {
  const dtype = tensor.dtype as TensorData['dtype'];
  const { shape } = tensor;
  // A copy, because the cpu backend can return its live array (tfjs-backend-cpu 4.22, `readSync`).
  const values = (await tensor.data()).slice() as TensorData['values'];
  return { name, dtype, shape: [...shape], values };
}

/** A new tensor of the data; a copy, because `tf.tensor` keeps the array that it is handed. */
export function toTensor({ values, shape, dtype }: TensorData): tf.Tensor {
  return tf.tensor(values.slice(), shape, dtype);
}

/** `[2,3]`, for messages. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(',')}]`;
}

/** What is wrong with a value that should be {@link TensorData}, or `null`. */
export function tensorDataFault(value: unknown): string | null {
  if (value === null || typeof value !== 'object') return `${String(value)} is no tensor data`;
  const { name, dtype, shape, values } = value as Partial<TensorData>;
  if (typeof name !== 'string') return `name is ${String(name)}, not a string`;
  if (dtype === undefined || !Object.hasOwn(ARRAYS, dtype)) {
    return `dtype is ${String(dtype)}, not float32, int32 or bool`;
  }
  const isShape =
    Array.isArray(shape) && shape.every((side) => Number.isSafeInteger(side) && side >= 0);
  if (!isShape) return `shape is ${String(shape)}, not a list of integers >= 0`;
  if (Object.prototype.toString.call(values) !== `[object ${ARRAYS[dtype].name}]`) {
    return `values are not a ${ARRAYS[dtype].name}`;
  }
  const size = shape.reduce((product, side) => product * side, 1);
  if (values!.length !== size) {
    return `${values!.length} values for the shape ${shapeText(shape)}`;
  }
  return null;
}
