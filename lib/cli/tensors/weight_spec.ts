/** What tf.io says of a weight, in the terms of tensors. It knows nothing of files. */
import { invalid, isCount } from '../../check.js';
import type { Tensor } from './source.js';

/** The dtypes that safetensors has too (tfjs-core 4.22, io/types.ts), and bytes of one value. */
const DTYPES: Readonly<Record<string, { dtype: string; width: number }>> = {
  float32: { dtype: 'F32', width: 4 },
  int32: { dtype: 'I32', width: 4 },
  bool: { dtype: 'BOOL', width: 1 },
};

/**
 * Reads a weight's spec; nothing of it is trusted.
 *
 * @param label What to call it in an error.
 * @returns Its size is NaN where only its bytes tell it.
 */
export function weightOf(spec: unknown, label: string): Omit<Tensor, 'begin'> {
  const { name, shape, dtype, quantization, group } = Object(spec) as Record<string, unknown>;
  if (typeof name !== 'string') return invalid(`${label}.name`, name, 'a string');
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return invalid(`${label}.shape`, shape, 'a list of integers >= 0');
  }
  if (typeof dtype !== 'string') return invalid(`${label}.dtype`, dtype, 'a string');
  const known = Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype]! : { dtype, width: NaN };
  const packed = (Object(quantization) as Record<string, unknown>)['dtype'];
  const refusal =
    quantization !== undefined
      ? `quantized to ${String(packed)}: convert the model without quantization`
      : `dtype ${dtype}`;
  const isRefused = quantization !== undefined || Number.isNaN(known.width);
  return {
    name,
    dtype: known.dtype,
    shape,
    size: isRefused ? NaN : shape.reduce((size, length) => size * length, known.width),
    ...(isRefused && { refusal }),
    ...(group === 'optimizer' && { ofOptimizer: true }),
  };
}
