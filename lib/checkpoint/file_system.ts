/**
 * A `tf.io` handler for Node that keeps what it is handed in one file, whole at any moment. It knows
 * nothing of checkpoints: a tfjs-layers model saves through it as well.
 *
 * The file (spec/checkpoints/README.md): 8 bytes of magic; the version and the length of the header
 * (uint32 each, little-endian); the header, JSON in UTF-8; the weights; CRC-32 of all before
 * (uint32).
 */
import type * as tf from '@tensorflow/tfjs-core';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';
import { replaceFile, writeAll } from './atomic_write.js';
import type { CheckpointHandler } from './checkpoint.js';
import { crc32 as ownCrc32 } from './crc32.js';
import { checkRegular, explained } from './file_errors.js';
import { checkKeys, invalid, isCount } from '../check.js';

/** Options of {@link fileSystem}. */
export interface FileSystemOptions {
  /** Make the folder, and those above it, if it is not there when saving; default false. */
  createFolder?: boolean;
}

/** Not text (the first byte), and a newline and an end-of-file that a transfer as text would spoil. */
const MAGIC = Uint8Array.of(0x89, 0x53, 0x57, 0x41, 0x0d, 0x0a, 0x1a, 0x0a); // "\x89SWA\r\n\x1a\n"
const VERSION = 1;
const PREAMBLE = MAGIC.length + 4 + 4;
const TRAILER = 4;

/** Node's own, where there is one (from 20.15 and 22.2 on): it is some twice as fast. */
const { crc32: fastCrc32 = ownCrc32 } = zlib as { crc32?: typeof ownCrc32 };

function crc32(bytes: Uint8Array, before = 0): number {
  // zlib begins anew at 0 where there are no bytes.
  return bytes.length === 0 ? before : fastCrc32(bytes, before);
}

/** The header: all of the artifacts but the weights, and the length of each buffer of these. */
interface Header {
  artifacts: Omit<tf.io.ModelArtifacts, 'weightData'>;
  /** One buffer's length, or a list of lengths; missing where there are no weights. */
  weightData?: number | number[];
}

/**
 * A handler that saves to and loads from one file, without tfjs-node.
 *
 * A save writes a file beside the old one, syncs it to the disk, renames it over the old one and
 * syncs the folder: whatever happens in between, a kill or a power cut, the path holds the old state
 * or the new one, whole. A save that fails leaves the old file and no other. The state is written
 * aside before `save` returns its promise, so what becomes of its arrays later does not matter; only
 * the disk is waited for. Of the saves to one path that wait, only the last takes place, and all of
 * them are answered with its outcome.
 *
 * What a killed save left, `.tfjs-swa.TARGET.OWNER.ID.tmp`, is cleared by the next one to the path:
 * at once where the process was one of this machine and container that is gone (on Linux), after a
 * day elsewhere; never while the process lives.
 *
 * A load checks the lengths against the file's before it takes memory, and a CRC-32 over all bytes.
 *
 * @param file The path, or a file URL; a symbolic link is followed.
 * @param options Whether to make the folder.
 * @returns A handler for `saveStateDict`, `loadStateDict`, `model.save` and
 *   `tf.loadLayersModel`. Its errors name the path and the cause.
 * @throws Error if the path is no path, or an option is not known.
 *
 * @example
 * import { mkdtempSync } from 'node:fs';
 * import { tmpdir } from 'node:os';
 * import path from 'node:path';
 * import { fileSystem } from 'tfjs-swa/node';
 *
 * const file = path.join(mkdtempSync(path.join(tmpdir(), 'swa-')), 'last.swa');
 * const swa = new SWA(tf.train.sgd(0.1));
 * await saveStateDict(fileSystem(file), await swa.stateDict());
 * await swa.loadStateDict(await loadStateDict(fileSystem(file)));
 */
export function fileSystem(file: string | URL, options: FileSystemOptions = {}): CheckpointHandler {
  checkKeys(options, ['createFolder']);
  const { createFolder = false } = options;
  if (typeof createFolder !== 'boolean') invalid('createFolder', createFolder, 'a boolean');
  if (typeof file === 'string' ? file === '' : !(file instanceof URL)) {
    invalid('file', file, 'a path or a file URL');
  }
  const target = path.resolve(typeof file === 'string' ? file : fileURLToPath(file));
  return {
    takesBufferList: true,
    save: async (artifacts) => {
      const parts = encode(artifacts);
      const write = (fd: number): void => {
        let sum = 0;
        for (const part of parts) {
          writeAll(fd, part);
          sum = crc32(part, sum);
        }
        writeAll(fd, uint32(sum));
      };
      await explained('save', target, replaceFile(target, write, createFolder));
      return { modelArtifactsInfo: infoOf(artifacts, parts) };
    },
    load: async () => explained('load', target, load(target)),
  };
}

// --- The bytes -----------------------------------------------------------------------------------

/** The file's bytes but for the last four, in parts: the weights are the artifacts' own. */
function encode(artifacts: tf.io.ModelArtifacts): Uint8Array[] {
  const { weightData, ...others } = artifacts;
  if (others.modelTopology instanceof ArrayBuffer) {
    invalid('modelTopology', others.modelTopology, 'JSON, not a binary graph');
  }
  const buffers = weightData === undefined ? [] : [weightData].flat();
  const lengths = buffers.map(({ byteLength }) => byteLength);
  const header: Header = { artifacts: others };
  if (weightData !== undefined) {
    header.weightData = Array.isArray(weightData) ? lengths : lengths[0]!;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const preamble = new Uint8Array(PREAMBLE);
  preamble.set(MAGIC);
  const view = new DataView(preamble.buffer, MAGIC.length);
  view.setUint32(0, VERSION, true);
  view.setUint32(4, json.length, true);
  return [preamble, json, ...buffers.map((buffer) => new Uint8Array(buffer))];
}

/** What a handler tells of what it saved. */
function infoOf(artifacts: tf.io.ModelArtifacts, parts: Uint8Array[]): tf.io.ModelArtifactsInfo {
  const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');
  return {
    dateSaved: new Date(),
    modelTopologyType: 'JSON',
    modelTopologyBytes: bytes(artifacts.modelTopology),
    weightSpecsBytes: bytes(artifacts.weightSpecs),
    weightDataBytes: sizeOf(parts.slice(2)),
  };
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

// --- Loading -------------------------------------------------------------------------------------

async function load(file: string): Promise<tf.io.ModelArtifacts> {
  // Without O_NONBLOCK, to open a pipe would wait for one who writes; Windows has no such flag.
  const handle = await fs.open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await handle.stat();
    checkRegular(stats);
    return await decode(handle, stats.size);
  } finally {
    await handle.close();
  }
}

/** @throws Error that says what is wrong with the file. */
async function decode(handle: fs.FileHandle, size: number): Promise<tf.io.ModelArtifacts> {
  let position = 0;
  const read = async (length: number): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await handle.read(
        bytes,
        filled,
        Math.min(length - filled, 2 ** 30),
        position,
      );
      if (bytesRead === 0) throw new Error(`it ends after ${position} bytes`);
      filled += bytesRead;
      position += bytesRead;
    }
    return bytes;
  };

  if (size < PREAMBLE + TRAILER)
    throw new Error(`it has ${size} bytes: it is cut off, or no such file`);
  const preamble = await read(PREAMBLE);
  if (MAGIC.some((byte, i) => preamble[i] !== byte)) {
    throw new Error('it does not begin as a file of tfjs-swa does');
  }
  const view = new DataView(preamble.buffer, MAGIC.length);
  const [version, length] = [view.getUint32(0, true), view.getUint32(4, true)];
  if (version !== VERSION) {
    throw new Error(
      `it has version ${version} of the file, and this tfjs-swa reads version ${VERSION}`,
    );
  }
  const rest = size - PREAMBLE - TRAILER - length;
  if (rest < 0)
    throw new Error(`its header has ${length} bytes, and the file only ${size}: it is cut off`);
  const json = await read(length);
  const { artifacts, weightData } = parseHeader(json);
  const lengths = weightData === undefined ? [] : [weightData].flat();
  const wanted = lengths.reduce((sum, bytes) => sum + bytes, 0);
  if (wanted !== rest) throw new Error(`it has ${rest} bytes of weights, not ${wanted}`);

  let sum = crc32(json, crc32(preamble));
  const buffers: ArrayBuffer[] = [];
  // The disk reads the next buffer while the checksum of this one is formed.
  let next = read(lengths[0] ?? 0);
  for (let i = 0; i < lengths.length; i++) {
    const bytes = await next;
    next = read(lengths[i + 1] ?? 0);
    sum = crc32(bytes, sum);
    buffers.push(bytes.buffer);
  }
  await next;
  const trailer = await read(TRAILER);
  const expected = new DataView(trailer.buffer).getUint32(0, true);
  if (sum !== expected) throw new Error(`it is damaged: its checksum is ${sum}, not ${expected}`);

  if (weightData === undefined) return artifacts;
  return { ...artifacts, weightData: Array.isArray(weightData) ? buffers : buffers[0]! };
}

function parseHeader(json: Uint8Array): Header {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (error) {
    throw new Error('it is damaged: its header is no JSON', { cause: error });
  }
  const { artifacts, weightData } = (header ?? {}) as Partial<Header>;
  if (typeof artifacts !== 'object' || artifacts === null) {
    return invalid('artifacts', artifacts, 'an object');
  }
  const lengths: unknown = weightData === undefined ? [] : [weightData].flat();
  if (!(lengths as unknown[]).every(isCount)) invalid('weightData', weightData, 'lengths in bytes');
  return weightData === undefined ? { artifacts } : { artifacts, weightData };
}
