/**
 * A `tf.io` handler for Node that keeps what it is handed in one file, whole at any moment. It knows
 * nothing of checkpoints: a tfjs-layers model saves through it as well. The only file of lib, beside
 * node.ts, that knows Node.
 *
 * The file (spec/checkpoints/README.md): 8 bytes of magic; the version and the length of the header
 * (uint32 each, little-endian); the header, JSON in UTF-8; the weights; CRC-32 of all before
 * (uint32).
 */
import type * as tf from '@tensorflow/tfjs-core';
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';
import * as zlib from 'node:zlib';
import type { CheckpointHandler } from './checkpoint.js';
import { crc32 as ownCrc32 } from './crc32.js';
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
 * or the new one, whole. A save that fails leaves the old file and no other. What a killed one left
 * is cleared by the next save to the path: `.NAME.HOST.PID.THREAD.ID.tmp` of a process that is gone,
 * or that nobody wrote for a day. Saves to one path in one thread are done in the order of the
 * calls.
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
      await inOrder(target, () => explained('save', target, save(target, parts, createFolder)));
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

// --- Saving --------------------------------------------------------------------------------------

/** The last save to each path, which the next one waits for. */
const saves = new Map<string, Promise<void>>();

/** Has saves to one path done one after another, so that the last one called is the one that stays. */
async function inOrder(target: string, save: () => Promise<void>): Promise<void> {
  const before = saves.get(target) ?? Promise.resolve();
  const done = before.then(save, save);
  saves.set(target, done);
  try {
    await done;
  } finally {
    if (saves.get(target) === done) saves.delete(target);
  }
}

/** This machine, in the name of a temporary file, whose parts are set off by dots. */
const HOST = os.hostname().replaceAll('.', '_');

/** The temporary files that this thread writes at the moment. */
const writing = new Set<string>();

async function save(given: string, parts: Uint8Array[], createFolder: boolean): Promise<void> {
  if (createFolder) await fs.mkdir(path.dirname(given), { recursive: true });
  const { target, mode } = await resolve(given);
  const folder = path.dirname(target);
  await clear(folder, path.basename(target));

  const owner = [HOST, process.pid, threadId, randomUUID()].join('.');
  const temporary = path.join(folder, `.${path.basename(target)}.${owner}.tmp`);
  writing.add(temporary);
  try {
    const handle = await fs.open(temporary, 'wx');
    try {
      if (mode !== undefined) await handle.chmod(mode);
      // The disk writes while the checksum is formed.
      const writes = writeAll(handle, parts);
      const sum = parts.reduce((before, part) => crc32(part, before), 0);
      await writes;
      await writeAll(handle, [uint32(sum)]);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, target);
  } catch (error) {
    await fs.rm(temporary, { force: true }).catch(() => {});
    throw error;
  } finally {
    writing.delete(temporary);
  }
  await syncFolder(folder);
}

/** The file itself, behind links, and its mode, which the new one gets. */
async function resolve(given: string): Promise<{ target: string; mode?: number }> {
  let target: string;
  try {
    target = await fs.realpath(given);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return { target: path.join(await fs.realpath(path.dirname(given)), path.basename(given)) };
  }
  const stats = await fs.stat(target);
  if (stats.isDirectory()) throw problem('EISDIR');
  if (!stats.isFile()) throw problem('ENOTFILE');
  await fs.access(target, fs.constants.W_OK); // a rename would not ask
  return { target, mode: stats.mode & 0o777 };
}

/** Removes the temporary files of saves to this path that ended before they were done. */
async function clear(folder: string, name: string): Promise<void> {
  const day = 24 * 60 * 60 * 1000;
  for (const entry of await fs.readdir(folder)) {
    if (!entry.startsWith(`.${name}.`) || !entry.endsWith('.tmp')) continue;
    const file = path.join(folder, entry);
    const [, host, pid, thread] =
      /^([^.]*)\.(\d+)\.(\d+)\.[-0-9a-f]{36}$/.exec(entry.slice(name.length + 2, -4)) ?? [];
    if (host === undefined || writing.has(file)) continue;
    const here = host === HOST;
    const mine = here && Number(pid) === process.pid;
    const gone = here && (mine ? Number(thread) === threadId : !isAlive(Number(pid)));
    // It may be gone by now, cleared by another.
    const { mtimeMs } = await fs.stat(file).catch(() => ({ mtimeMs: NaN }));
    if (gone || Date.now() - mtimeMs > day) await fs.rm(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH'; // EPERM: another user's
  }
}

async function writeAll(handle: fs.FileHandle, parts: Uint8Array[]): Promise<void> {
  let rest = parts.filter(({ length }) => length > 0);
  while (rest.length > 0) {
    let { bytesWritten } = await handle.writev(rest);
    if (bytesWritten === 0) throw problem('ENOSPC');
    while (rest.length > 0 && bytesWritten >= rest[0]!.length) {
      bytesWritten -= rest[0]!.length;
      rest = rest.slice(1);
    }
    if (bytesWritten > 0) rest = [rest[0]!.subarray(bytesWritten), ...rest.slice(1)];
  }
}

/** Makes a rename last through a power cut, where the system knows how to. */
async function syncFolder(folder: string): Promise<void> {
  const cannot = ['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'ENOSYS']; // Windows, some networks
  try {
    const handle = await fs.open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    if (!cannot.includes(codeOf(error) ?? '')) throw error;
  }
}

// --- Loading -------------------------------------------------------------------------------------

async function load(file: string): Promise<tf.io.ModelArtifacts> {
  const handle = await fs.open(file, 'r');
  try {
    const stats = await handle.stat();
    if (stats.isDirectory()) throw problem('EISDIR');
    if (!stats.isFile()) throw problem('ENOTFILE');
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

// --- Errors --------------------------------------------------------------------------------------

/** What the system's codes mean to one who saves or loads a file. */
const CAUSES: Record<string, string> = {
  EISDIR: 'it is a folder',
  ENOTFILE: 'it is no file',
  ENOTDIR: 'a part of the path is no folder',
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
};

/** An error of a code that the system would have thrown. */
function problem(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Passes on what a save or a load gives; an error names the path and the cause. */
async function explained<T>(action: string, target: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    const { message } = error as Error;
    const missing =
      action === 'save' ? `there is no folder ${path.dirname(target)}` : 'there is no such file';
    const cause = codeOf(error) === 'ENOENT' ? missing : CAUSES[codeOf(error) ?? ''];
    throw new Error(`Cannot ${action} ${target}: ${cause ?? message}`, { cause: error });
  }
}
