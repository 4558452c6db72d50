/** Tensors as plain host data, there and back. It knows nothing of optimizers. */
import * as tf from '@tensorflow/tfjs-core';
import { invalid, isCount } from '../check.js';

/** A tensor as plain data: it can be structured-cloned, posted and stored; nothing to dispose. */
export interface TensorData {
  /** What it is, or the name of the variable. */
  name: string;
  /** As in tfjs. */
  dtype: 'float32' | 'int32' | 'bool';
  /** The length of each axis. */
  shape: number[];
  /** The values in row-major order: Uint8Array for bool. */
  values: Float32Array | Int32Array | Uint8Array;
}

/** A tensor and its name, as tfjs's optimizers hand them about (tfjs-core does not export it). */
export interface NamedTensor {
  /** The name of the variable, or of the weight. */
  name: string;
  /** Its value or gradient. */
  tensor: tf.Tensor;
}

type ArrayClass = new (values: ArrayLike<number>) => TensorData['values'];

const ARRAYS = new Map<unknown, ArrayClass>([
  ['float32', Float32Array],
  ['int32', Int32Array],
  ['bool', Uint8Array],
]);

/** `instanceof` of tfjs, which asks for methods, with the type that follows from it. */
export function isVariable(value: unknown): value is tf.Variable {
  return value instanceof tf.Variable;
}

/** The same for tensors, variables among them. */
export function isTensor(value: unknown): value is tf.Tensor {
  return value instanceof tf.Tensor;
}

/**
 * Whether a variable was not disposed. `tf.disposeVariables()` frees its data and forgets it, and
 * leaves `isDisposed` false (tfjs-core 4.22, engine.ts, `disposeVariables`).
 */
export function isAlive(variable: tf.Variable): boolean {
  const { name, isDisposed } = variable;
  return !isDisposed && tf.engine().registeredVariables[name] === variable;
}

/** @throws Error that names the variable if it is disposed. */
export function checkAlive(variable: tf.Variable): void {
  if (!isAlive(variable)) throw new Error(`Variable ${variable.name} is disposed`);
}

/**
 * A tensor of the same data, kept until it is disposed of. Not by `tf.clone`, which copies on wasm
 * (tfjs-backend-wasm 4.22, kernels/Identity.ts).
 */
export function alias(tensor: tf.Tensor): tf.Tensor {
  return tf.keep(tf.reshape(tensor, tensor.shape));
}

/** Copies a tensor to the host; the values are those at the moment of the call. */
export async function hostData(name: string, tensor: tf.Tensor): Promise<TensorData> {
  const dtype = tensor.dtype as TensorData['dtype'];
  const { shape } = tensor;
  const copied = copiesAtReading(tensor);
  // Held, so that meanwhile nobody writes into it in place, and no disposal ends the reading.
  const held = alias(tensor);
  try {
    const data = await tensor.data();
    return { name, dtype, shape: [...shape], values: copied ? data : data.slice() };
  } finally {
    held.dispose();
  }
}

/** What is looked at of tfjs's engine and of a backend (tfjs-core 4.22, engine.ts, `read`). */
interface Holder {
  wasm?: unknown;
  binding?: unknown;
  tensorMap?: Map<object, { values: unknown }>;
}

/**
 * Whether the backend that holds a tensor, which need not be the current one, makes an array anew for
 * who reads it: wasm does, and tfjs-node of what is in TensorFlow's memory. Others can hand out their
 * live array (4.22, `readSync` of each), as must be assumed of one that is not known.
 */
function copiesAtReading({ dataId }: tf.Tensor): boolean {
  const { state } = tf.engine() as {
    state?: { tensorInfo?: { get(dataId: object): { backend?: Holder } | undefined } };
  };
  const holder = state?.tensorInfo?.get(dataId)?.backend;
  if (holder?.wasm) return true;
  return holder?.binding !== undefined && holder.tensorMap?.get(dataId)?.values === null;
}

/** A copy of the data. Not by `slice`, which shares the memory of a Buffer of Node's. */
export function copyData({ name, dtype, shape, values }: TensorData): TensorData {
  return { name, dtype, shape: [...shape], values: new (ARRAYS.get(dtype)!)(values) };
}

/** A new tensor of the data; a copy, because `tf.tensor` keeps the array that it is handed. */
export function toTensor(data: TensorData): tf.Tensor {
  const { values, shape, dtype } = copyData(data);
  return tf.tensor(values, shape, dtype);
}

/** A new variable of the data, which no optimizer trains. */
export function toVariable(data: TensorData): tf.Variable {
  return tf.tidy(() => tf.variable(toTensor(data), false));
}

/** `[2,3]`, for messages. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(',')}]`;
}

/** `float32 [2,3]`, for messages and to compare by. */
export function kindOf({
  dtype = 'float32',
  shape,
}: {
  dtype?: string;
  shape: readonly number[];
}): string {
  return `${dtype} ${shapeText(shape)}`;
}

/** @throws Error that says what is wrong with a value that should be {@link TensorData}. */
export function checkTensorData(label: string, value: unknown): asserts value is TensorData {
  const { name, dtype, shape, values } = (value ?? {}) as Partial<TensorData>;
  if (typeof name !== 'string') invalid(`${label}.name`, name, 'a string');
  const array = ARRAYS.get(dtype) ?? invalid(`${label}.dtype`, dtype, 'float32, int32 or bool');
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return invalid(`${label}.shape`, shape, 'a list of integers >= 0');
  }
  const size = tf.util.sizeFromShape(shape);
  // By its tag, for the array may come from another realm, a worker's say.
  const tag = Object.prototype.toString.call(values);
  if (tag !== `[object ${array.name}]` || values?.length !== size) {
    invalid(`${label}.values`, values, `a ${array.name} of ${size}`);
  }
}

/** The same of a list of such, by their places. */
export function checkTensorList(label: string, list: unknown): asserts list is TensorData[] {
  if (!Array.isArray(list)) return invalid(label, list, 'a list of tensor data');
  list.forEach((entry, i) => checkTensorData(`${label}[${i}]`, entry));
}
