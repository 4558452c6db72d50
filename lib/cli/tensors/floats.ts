/**
 * Sums of numbers of any float dtype, in float64, and their average, rounded once. It knows nothing
 * of files.
 */
import {
  BFLOAT16,
  FLOAT16,
  ofBfloat16,
  ofHalf,
  toBits,
  type Format,
} from '../../checkpoint/half.js';
import { littleEndian } from '../../checkpoint/little_endian.js';

/** Numbers as they are stored; the 16 bits of one as an integer. */
type Numbers = Float64Array | Float32Array | Uint16Array;

interface Dtype {
  /** Bytes of one. */
  readonly width: number;
  readonly Numbers: new (buffer: ArrayBuffer, start: number, length: number) => Numbers;
  /** The values of all 16 bits, and their format. */
  readonly half?: { readonly values: Float32Array; readonly format: Format };
}

/** The values of a half, made when they are needed first. */
function halfDtype(format: Format, valueOf: (bits: number) => number): Dtype {
  let values: Float32Array | undefined;
  return {
    width: 2,
    Numbers: Uint16Array,
    half: {
      format,
      get values() {
        return (values ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => valueOf(bits)));
      },
    },
  };
}

const DTYPES = new Map<string, Dtype>([
  ['F64', { width: 8, Numbers: Float64Array }],
  ['F32', { width: 4, Numbers: Float32Array }],
  ['F16', halfDtype(FLOAT16, ofHalf)],
  ['BF16', halfDtype(BFLOAT16, ofBfloat16)],
]);

/** Whether values of a dtype, as safetensors calls it, can be averaged. */
export function isFloat(dtype: string): boolean {
  return DTYPES.has(dtype);
}

/**
 * Adds numbers, times their weight, to the sums.
 *
 * @param first Whether they are the first: then the sums are what they were before no longer.
 * @param bytes Little-endian, at a multiple of 8 in their buffer; as many numbers as there are sums.
 */
export function addTo(
  sums: Float64Array,
  dtype: string,
  bytes: Uint8Array<ArrayBuffer>,
  weight: number,
  first: boolean,
): void {
  const { Numbers, width, half } = DTYPES.get(dtype)!;
  const { buffer, byteOffset } = littleEndian(bytes, width);
  const numbers = new Numbers(buffer, byteOffset, sums.length);
  if (first) sums.fill(-0); // to which -0 can be added
  if (half) addHalves(sums, numbers, half.values, weight);
  else addNumbers(sums, numbers, weight);
}

function addNumbers(sums: Float64Array, numbers: Numbers, weight: number): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += weight * numbers[i]!;
}

function addHalves(sums: Float64Array, bits: Numbers, values: Float32Array, weight: number): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += weight * values[bits[i]!]!;
}

/**
 * Rounds the sums, each divided by the total, to a dtype.
 *
 * @param buffer Receives them, from its beginning on.
 * @returns Their bytes there, little-endian, and how many of them are not finite.
 * @throws Error that names a finite average that is beyond the dtype.
 */
export function averageTo(
  buffer: Uint8Array<ArrayBuffer>,
  dtype: string,
  sums: Float64Array,
  total: number,
): { bytes: Uint8Array; odd: number } {
  const kind = DTYPES.get(dtype)!;
  const { half, width } = kind;
  const numbers = new kind.Numbers(buffer.buffer, buffer.byteOffset, sums.length);
  let odd = 0;
  for (let i = 0; i < sums.length; i++) {
    const average = sums[i]! / total;
    numbers[i] = half ? toBits(average, half.format) : average;
    const rounded = half ? half.values[numbers[i]!]! : numbers[i]!;
    if (Number.isFinite(rounded)) continue;
    if (Number.isFinite(average)) throw new Error(`${average} is beyond ${dtype}`);
    odd += 1;
  }
  return { bytes: littleEndian(buffer.subarray(0, sums.length * width), width), odd };
}
