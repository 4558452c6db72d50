/**
 * A safetensors file on the disk: its header, bytes of it, and their checksum. It knows nothing of
 * what is in it.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as zlib from 'node:zlib';
import { crc32 as ownCrc32 } from './crc32.js';
import { checkRegular } from './file_errors.js';
import { MAX_HEADER, PREFIX, readHeader, type Header, type WIDTHS } from './safetensors.js';

/** Node's own, where there is one (from 20.15 and 22.2 on): it is some twice as fast. */
const { crc32: fastCrc32 = ownCrc32 } = zlib as { crc32?: typeof ownCrc32 };

/** The checksum of bytes that follow others. */
export function crc32(bytes: Uint8Array, before = 0): number {
  // zlib begins anew at 0 where there are no bytes.
  return bytes.length === 0 ? before : fastCrc32(bytes, before);
}

/** Opens a file to read, and tells how many bytes it has; what is no regular file is refused. */
export async function openFile(file: string): Promise<{ handle: fs.FileHandle; size: number }> {
  // Without O_NONBLOCK, to open a pipe would wait for one who writes; Windows has no such flag.
  const handle = await fs.open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await handle.stat();
    checkRegular(stats);
    return { handle, size: stats.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Fills an array with the bytes at a position. */
export async function readAt(
  handle: fs.FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let filled = 0; filled < bytes.length;) {
    const count = Math.min(bytes.length - filled, 2 ** 30);
    const { bytesRead } = await handle.read(bytes, filled, count, position + filled);
    if (bytesRead === 0) throw new Error(`it ends after ${position + filled} bytes`);
    filled += bytesRead;
  }
}

/** The beginning of a file. */
export interface Head {
  readonly header: Header;
  /** The header's own bytes. */
  readonly json: Uint8Array<ArrayBuffer>;
  /** Where the bytes of the tensors begin. */
  readonly dataAt: number;
}

/**
 * Reads the header, against the length of the file before it takes memory.
 *
 * @param widths As of {@link readHeader}.
 * @throws Error that says what is wrong with the file.
 */
export async function readHead(
  handle: fs.FileHandle,
  size: number,
  widths?: typeof WIDTHS,
): Promise<Head> {
  if (size < PREFIX) throw new Error(`it has ${size} bytes: it is cut off, or no such file`);
  const prefix = new Uint8Array(PREFIX);
  await readAt(handle, prefix, 0);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > size - PREFIX) {
    throw new Error(
      `its header has ${length} bytes, and the file only ${size}: it is cut off, or no safetensors file`,
    );
  }
  if (length >= MAX_HEADER) {
    throw new Error(`its header has ${length} bytes, and safetensors' less than ${MAX_HEADER}`);
  }
  const json = new Uint8Array(Number(length));
  await readAt(handle, json, PREFIX);
  const dataAt = PREFIX + json.length;
  return { header: readHeader(json, size - dataAt, widths), json, dataAt };
}
