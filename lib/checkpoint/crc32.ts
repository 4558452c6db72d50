/**
 * CRC-32 as zlib, gzip and PNG have it (ISO 3309, reflected polynomial 0xedb88320). It knows nothing
 * of what the bytes mean.
 */
import { LITTLE_ENDIAN } from './little_endian.js';

/** What a byte that stands 0 to 15 bytes before the end of a block of 16 does to the remainder. */
const TABLES = new Int32Array(16 * 256);
for (let i = 0; i < 256; i++) {
  let remainder = i;
  for (let bit = 0; bit < 8; bit++) {
    remainder = (remainder >>> 1) ^ (remainder & 1 && 0xedb88320);
  }
  TABLES[i] = remainder;
}
for (let i = 256; i < TABLES.length; i++) {
  const before = TABLES[i - 256]!;
  TABLES[i] = (before >>> 8) ^ TABLES[before & 255]!;
}

/**
 * The checksum of bytes that follow others: `crc32(b, crc32(a))` is that of a and b in a row. Blocks
 * of 16 are taken in four words, which is 2.5 times as fast as byte by byte and some 1 GB/s.
 *
 * @param bytes The bytes.
 * @param before The checksum of those before, an integer in [0, 2^32); default 0, of none.
 * @param words Whether to read words, which takes a little-endian machine; both give the same.
 */
export function crc32(bytes: Uint8Array, before = 0, words = LITTLE_ENDIAN): number {
  const t = TABLES;
  let remainder = ~before;
  let i = 0;
  const byteByByte = (end: number): void => {
    for (; i < end; i++) remainder = t[(remainder ^ bytes[i]!) & 255]! ^ (remainder >>> 8);
  };
  if (words && bytes.length >= 16 + 3) {
    byteByByte(-bytes.byteOffset & 3); // words are aligned
    const blocks = new Int32Array(
      bytes.buffer,
      bytes.byteOffset + i,
      ((bytes.length - i) >> 4) << 2,
    );
    for (let k = 0; k < blocks.length; k += 4) {
      const a = remainder ^ blocks[k]!;
      const b = blocks[k + 1]!;
      const c = blocks[k + 2]!;
      const d = blocks[k + 3]!;
      remainder =
        t[3840 + (a & 255)]! ^
        t[3584 + ((a >>> 8) & 255)]! ^
        t[3328 + ((a >>> 16) & 255)]! ^
        t[3072 + (a >>> 24)]! ^
        t[2816 + (b & 255)]! ^
        t[2560 + ((b >>> 8) & 255)]! ^
        t[2304 + ((b >>> 16) & 255)]! ^
        t[2048 + (b >>> 24)]! ^
        t[1792 + (c & 255)]! ^
        t[1536 + ((c >>> 8) & 255)]! ^
        t[1280 + ((c >>> 16) & 255)]! ^
        t[1024 + (c >>> 24)]! ^
        t[768 + (d & 255)]! ^
        t[512 + ((d >>> 8) & 255)]! ^
        t[256 + ((d >>> 16) & 255)]! ^
        t[d >>> 24]!;
    }
    i += blocks.byteLength;
  }
  byteByByte(bytes.length);
  return ~remainder >>> 0;
}
