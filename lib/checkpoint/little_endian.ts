/** The order of the bytes of a number in a checkpoint, whatever the machine's. */

/** Whether this machine keeps the low byte of a number first. */
export const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/**
 * Numbers in the machine's order to little-endian bytes, or back: both are the same exchange.
 *
 * @param bytes The bytes of numbers in a row; left as they are.
 * @param width Bytes of one number.
 * @param native Whether the machine is little-endian: then the bytes themselves are returned.
 * @returns The bytes, or a copy in the other order.
 */
export function littleEndian(
  bytes: Uint8Array<ArrayBuffer>,
  width: number,
  native = LITTLE_ENDIAN,
): Uint8Array<ArrayBuffer> {
  if (native || width === 1) return bytes;
  const swapped = new Uint8Array(bytes.length);
  for (let start = 0; start < bytes.length; start += width) {
    for (let i = 0; i < width; i++) swapped[start + i] = bytes[start + width - 1 - i]!;
  }
  return swapped;
}
