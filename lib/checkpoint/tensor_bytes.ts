/**
 * Tensor data as leaves of a tree of state, as the bytes of safetensors, and back from all of its dtypes that fit. It knows
 * nothing of headers or files.
 */
import { child } from '../state/state_tree.js';
import { checkTensorData, type TensorData } from '../state/tensor_data.js';
import { ofHalf } from './half.js';
import { littleEndian } from './little_endian.js';
import type { Stored } from './safetensors.js';

/** How dtypes are written; how others are read: {@link toTensorData}. */
const DTYPES = { float32: 'F32', int32: 'I32', bool: 'BOOL' } as const;

const KEYS = ['name', 'dtype', 'shape', 'values'];

/** By its typed array: a record that merely has a key `values` is none. */
export function isTensorData(
  value: Record<string, unknown>,
  label: string,
): value is Record<string, unknown> & TensorData {
  if (!ArrayBuffer.isView(value['values'])) return false;
  checkTensorData(label, value);
  const stray = Object.keys(value).find((key) => !KEYS.includes(key));
  if (stray === undefined) return true;
  throw new Error(`Unknown ${child(label, stray)} (tensor data has ${KEYS.join(', ')})`);
}

/** The tensor's own bytes, not a copy of them, where the machine is little-endian. */
export function toStored({ dtype, shape, values }: TensorData): Stored {
  const { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT: width } = values;
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  return { dtype: DTYPES[dtype], shape, bytes: littleEndian(bytes, width) };
}

/** How the bytes of a dtype become values; the buffer is one of its own. */
const READERS: Record<string, (bytes: Uint8Array<ArrayBuffer>) => TensorData['values']> = {
  F32: (bytes) => new Float32Array(littleEndian(bytes, 4).buffer),
  I32: (bytes) => new Int32Array(littleEndian(bytes, 4).buffer),
  BOOL: (bytes) => bytes,
  U8: (bytes) => Int32Array.from(bytes),
  F16: (bytes) => Float32Array.from(new Uint16Array(littleEndian(bytes, 2).buffer), ofHalf),
  BF16: (bytes) => {
    const upper = new Uint16Array(littleEndian(bytes, 2).buffer);
    return new Float32Array(Uint32Array.from(upper, (half) => half * 2 ** 16).buffer);
  },
  F64: (bytes) => {
    const doubles = new Float64Array(littleEndian(bytes, 8).buffer);
    const values = Float32Array.from(doubles);
    const lost = values.findIndex((v, i) => Math.abs(v) === Infinity && isFinite(doubles[i]!));
    if (lost >= 0) throw new Error(`${doubles[lost]} is beyond float32`);
    return values;
  },
  I64: (bytes) => {
    const longs = new BigInt64Array(littleEndian(bytes, 8).buffer);
    const lost = longs.findIndex((long) => BigInt.asIntN(32, long) !== long);
    if (lost >= 0) throw new Error(`${longs[lost]} is beyond int32`);
    return Int32Array.from(longs, Number);
  },
};

/**
 * A stored tensor as tensor data: F32, I32 and BOOL as they are, F64, F16 and BF16 as float32, U8
 * and I64 as int32.
 *
 * @param bytes In a buffer of their own, which becomes that of the values where they fit.
 * @throws Error that names the tensor if a value does not fit.
 */
export function toTensorData(
  name: string,
  { dtype, shape }: { dtype: string; shape: readonly number[] },
  bytes: Uint8Array<ArrayBuffer>,
): TensorData {
  try {
    const values = READERS[dtype]!(bytes);
    const kind =
      values instanceof Float32Array ? 'float32' : values instanceof Int32Array ? 'int32' : 'bool';
    return { name, dtype: kind, shape: [...shape], values };
  } catch (error) {
    throw new Error(
      `its tensor ${JSON.stringify(name)} cannot be read: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}
