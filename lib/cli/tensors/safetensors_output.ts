/** A safetensors file that takes tensors, after its header. It knows nothing of what is in it. */
import path from 'node:path';
import { explained } from '../../checkpoint/file_errors.js';
import { PREFIX, toDigits } from '../../checkpoint/safetensors.js';
import { crc32 } from '../../checkpoint/safetensors_file.js';
import { FilesAside } from './aside.js';
import type { Output } from './source.js';

/** The beginning of a file: the prefix, and the header with spaces up to a multiple of 8 bytes. */
export function alignedHead(json: Uint8Array): Uint8Array {
  const head = new Uint8Array(PREFIX + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - PREFIX), true);
  head.set(json, PREFIX);
  return head;
}

/**
 * Begins a file.
 *
 * @param head Its beginning.
 * @param digitsAt Where the checksum of all belongs, if there is to be one: there are zeros in its place.
 * @throws Error that says why it cannot be written.
 */
export async function createSafetensors(
  file: string,
  head: Uint8Array,
  digitsAt?: number,
): Promise<Output> {
  return explained('save', file, begin(file, head, digitsAt));
}

async function begin(file: string, head: Uint8Array, digitsAt?: number): Promise<Output> {
  const files = new FilesAside(path.resolve(file));
  let sum = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (digitsAt !== undefined) sum = crc32(bytes, sum);
    files.main.write(bytes);
  };
  const commit = async (): Promise<void> => {
    if (digitsAt !== undefined) files.main.write(new TextEncoder().encode(toDigits(sum)), digitsAt);
    await files.commit();
  };
  try {
    await write(head);
  } catch (error) {
    files.discard();
    throw error;
  }
  return {
    file,
    write: (bytes) => explained('save', file, write(bytes)),
    commit: () => explained('save', file, commit()),
    discard: () => files.discard(),
  };
}
