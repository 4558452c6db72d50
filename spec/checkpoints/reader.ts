/** A second reader of checkpoint files, from README.md alone: it imports nothing of tfjs-swa. */
import assert from 'node:assert';

/** An entry of `weightSpecs`. */
interface Spec {
  name: string;
  dtype: string;
  shape: number[];
}

/** The state in a file. */
export function read(file: Uint8Array): unknown {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const magic = [0x89, 0x53, 0x57, 0x41, 0x0d, 0x0a, 0x1a, 0x0a];
  assert.deepEqual([...file.subarray(0, 8)], magic);
  assert.equal(view.getUint32(8, true), 1);
  const start = 16 + view.getUint32(12, true);
  const end = file.length - 4;
  assert.equal(view.getUint32(end, true), crc32(file.subarray(0, end)));
  const header: { artifacts: unknown; weightData: number | number[] } = JSON.parse(
    new TextDecoder().decode(file.subarray(16, start)),
  );
  const total = [header.weightData].flat().reduce((sum, length: number) => sum + length, 0);
  assert.equal(total, end - start);
  return readCheckpoint(header.artifacts, file.subarray(start, end));
}

/** The state in artifacts and the bytes of their weights. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON
export function readCheckpoint(artifacts: any, weights: Uint8Array): unknown {
  const { format, version, state, checksum } = artifacts.modelTopology;
  assert.deepEqual([format, version], ['tfjs-swa checkpoint', 1]);
  const bytes = Buffer.concat([Buffer.from(state), weights]);
  assert.equal(crc32(bytes).toString(16).padStart(8, '0'), checksum);

  const specs: Spec[] = artifacts.weightSpecs;
  const sizeOf = ({ dtype, shape }: Spec): number =>
    shape.reduce((size, length) => size * length, dtype === 'bool' ? 1 : 4);
  const offsets = specs.map((_, i) => specs.slice(0, i).reduce((sum, s) => sum + sizeOf(s), 0));
  return JSON.parse(state, (_, value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    if (!('$' in value)) {
      const named = Object.entries(value).map(([key, item]) => [key.replace(/^\$/, ''), item]);
      return Object.fromEntries(named);
    }
    if (typeof value.$ === 'string') return Number(value.$);
    const { index, name, dtype, shape } = value.$ as Spec & { index: number };
    assert.deepEqual(specs[index], { name: `${index}/${name}`, dtype, shape });
    const end = offsets[index]! + sizeOf(specs[index]!);
    const part = Uint8Array.from(weights.subarray(offsets[index], end)); // a copy, so aligned
    const array = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[dtype as 'bool'];
    return { name, dtype, shape, values: new array(part.buffer) };
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
