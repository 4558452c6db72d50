/**
 * A `tf.io` handler for Node that keeps a state, or a tfjs model, in one safetensors file, whole at
 * any moment. It knows nothing of what is in it.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { replaceFile, writeAll } from './atomic_write.js';
import type { FileHandler } from './checkpoint.js';
import { explained } from './file_errors.js';
import { modelArtifacts, modelLayout } from './model_file.js';
import { checkSum, toDigits, type Layout, type SafetensorsFile } from './safetensors.js';
import { crc32, openFile, readAt, readHead } from './safetensors_file.js';
import { checkKeys, invalid } from '../check.js';

/** Options of {@link fileSystem}. */
export interface FileSystemOptions {
  /** Make the folder, and those above it, if it is not there when saving; default false. */
  createFolder?: boolean;
}

/** Bytes that are summed and written at a time: what the processor's cache holds. */
const CHUNK = 2 ** 20;

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
 * The file is safetensors, which other languages read: the names of the tensors say what they are
 * (`swa.swa_state.0.swa_buffer`). A load checks the header against the file's length before it takes
 * memory, and of our own files a CRC-32 over all bytes; it reads other safetensors files too
 * (`loadStateDict`).
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
 * const file = path.join(mkdtempSync(path.join(tmpdir(), 'swa-')), 'last.safetensors');
 * const swa = new SWA(tf.train.sgd(0.1));
 * await saveStateDict(fileSystem(file), await swa.stateDict());
 * await swa.loadStateDict(await loadStateDict(fileSystem(file)));
 */
export function fileSystem(file: string | URL, options: FileSystemOptions = {}): tf.io.IOHandler {
  checkKeys(options, ['createFolder']);
  const { createFolder = false } = options;
  if (typeof createFolder !== 'boolean') invalid('createFolder', createFolder, 'a boolean');
  if (typeof file === 'string' ? file === '' : !(file instanceof URL)) {
    invalid('file', file, 'a path or a file URL');
  }
  const target = path.resolve(typeof file === 'string' ? file : fileURLToPath(file));
  const handler: FileHandler = {
    saveFile: (layout) =>
      explained(
        'save',
        target,
        replaceFile(target, (fd) => write(fd, layout), createFolder),
      ),
    loadFile: () => explained('load', target, read(target)),
    save: async (artifacts) => {
      const layout = modelLayout(artifacts);
      await handler.saveFile(layout);
      return { modelArtifactsInfo: infoOf(artifacts, layout) };
    },
    load: async () => {
      const loaded = await handler.loadFile();
      return explained('load', target, Promise.resolve(loaded).then(modelArtifacts));
    },
  };
  return handler;
}

/** What a handler tells of what it saved. */
function infoOf(
  { modelTopology, weightSpecs }: tf.io.ModelArtifacts,
  { tensors }: Layout,
): tf.io.ModelArtifactsInfo {
  const size = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');
  return {
    dateSaved: new Date(),
    modelTopologyType: 'JSON',
    modelTopologyBytes: size(modelTopology),
    weightSpecsBytes: size(weightSpecs),
    weightDataBytes: tensors.reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
}

/** Writes a file; the checksum is formed on the way, so its digits come last. */
function write(fd: number, { head, digitsAt, tensors }: Layout): void {
  writeAll(fd, head);
  let sum = crc32(head);
  for (const { bytes } of tensors) {
    for (let start = 0; start < bytes.length; start += CHUNK) {
      const chunk = bytes.subarray(start, start + CHUNK);
      sum = crc32(chunk, sum);
      writeAll(fd, chunk);
    }
  }
  writeAll(fd, new TextEncoder().encode(toDigits(sum)), digitsAt);
}

async function read(file: string): Promise<SafetensorsFile> {
  const { handle, size } = await openFile(file);
  try {
    return await decode(handle, size);
  } finally {
    await handle.close();
  }
}

/** @throws Error that says what is wrong with the file. */
async function decode(handle: FileHandle, size: number): Promise<SafetensorsFile> {
  const { header, dataAt } = await readHead(handle, size);
  let position = dataAt;
  const take = async (length: number): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = new Uint8Array(length);
    position += length;
    await readAt(handle, bytes, position - length);
    return bytes;
  };

  const { entries, ours } = header;
  let sum = ours ? crc32(ours.head) : 0;
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>();
  // The disk reads the next tensor while the checksum of this one is formed.
  let next = take(entries[0]?.size ?? 0);
  for (const [i, { name }] of entries.entries()) {
    const read = await next;
    next = take(entries[i + 1]?.size ?? 0);
    if (ours) sum = crc32(read, sum);
    bytes.set(name, read);
  }
  await next;
  checkSum(header, sum);
  return { header, bytes };
}
