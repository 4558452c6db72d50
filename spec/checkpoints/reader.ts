/** A second reader of checkpoint files, from README.md alone: it imports nothing of tfjs-swa. */
import assert from 'node:assert';

/** A tensor in the header. */
interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** The state in a file. */
export function read(file: Uint8Array): unknown {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__, ...entries } = JSON.parse(
    new TextDecoder().decode(file.subarray(8, start)),
  ) as Record<string, Entry> & { __metadata__: Record<string, string> };
  const { tree = '', tfjs_swa, crc32: digits = '' } = __metadata__ as Record<string, string>;
  assert.equal(tfjs_swa, '1');
  const at = Buffer.from(file).indexOf(`"crc32":"${digits}"`) + '"crc32":"'.length;
  const zeroed = Uint8Array.from(file).fill(0x30, at, at + 8);
  assert.equal(crc32(zeroed).toString(16).padStart(8, '0'), digits);

  return JSON.parse(tree, (_, value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    if (!('$' in value)) {
      const named = Object.entries(value).map(([key, item]) => [key.replace(/^\$/, ''), item]);
      return Object.fromEntries(named);
    }
    if (typeof value.$ === 'string') return Number(value.$);
    const { tensor, name } = value.$ as { tensor: string; name: string };
    const { dtype, shape, data_offsets } = entries[tensor]!;
    const [from, to] = data_offsets.map((offset) => start + offset);
    const part = Uint8Array.from(file.subarray(from, to)); // a copy, so aligned
    const [kind, array] = {
      F32: ['float32', Float32Array] as const,
      I32: ['int32', Int32Array] as const,
      BOOL: ['bool', Uint8Array] as const,
    }[dtype as 'F32'];
    return { name, dtype: kind, shape, values: new array(part.buffer) };
  });
}

function crc32(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) {
    remainder ^= byte;
    for (let i = 0; i < 8; i++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  }
  return ~remainder >>> 0;
}
