/** Numbers of 16 bits: float16 (IEEE 754 binary16) and bfloat16. It knows nothing of tensors or files. */

/** What 16 bits are made of. */
export interface Format {
  /** Bits of the fraction. */
  readonly fraction: number;
  /** The least exponent of a normal number; the greatest is `1 - least`. */
  readonly least: number;
}

export const FLOAT16: Format = { fraction: 10, least: -14 };
export const BFLOAT16: Format = { fraction: 7, least: -126 };

/** The value of 16 bits of float16. */
export function ofHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  // Below the normal numbers the exponent is that of the smallest, without the leading 1.
  return sign * (fraction + (exponent && 1024)) * 2 ** (Math.max(exponent, 1) - 25);
}

/** The value of 16 bits of bfloat16, which are the upper ones of a float32. */
export function ofBfloat16(bits: number): number {
  scratch.setUint32(0, bits * 2 ** 16);
  return scratch.getFloat32(0);
}

/** The bits of the nearest number of a format, the even one of two; infinity beyond the greatest. */
export function toBits(value: number, { fraction, least }: Format): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const infinity = (3 - 2 * least) << fraction;
  if (Number.isNaN(value)) return infinity + (1 << (fraction - 1));
  const size = Math.abs(value);
  scratch.setFloat64(0, size);
  const exponent = Math.max(least, (scratch.getUint16(0) >> 4) - 1023);
  if (exponent > 1 - least) return sign + infinity;
  // 2^52 has no fraction, so that the sum is rounded to an integer. One that needs another bit makes
  // the exponent one more.
  const rounded = size * 2 ** (fraction - exponent) + 2 ** 52 - 2 ** 52;
  return sign + ((exponent - least) << fraction) + rounded;
}

const scratch = new DataView(new ArrayBuffer(8));
