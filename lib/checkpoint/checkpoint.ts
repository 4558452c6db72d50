/**
 * State dicts through any `tf.io` handler, and back: what is saved, and what is trusted of it. It
 * knows nothing of optimizers, of a tree of state only that it comes apart (state_tree.ts), and of
 * bytes only that they are a safetensors file (safetensors.ts).
 */
import * as tf from '@tensorflow/tfjs-core';
import { crc32 } from './crc32.js';
import {
  checkSum,
  layOut,
  PREFIX,
  readHeader,
  toDigits,
  type Header,
  type Layout,
  type SafetensorsFile,
} from './safetensors.js';
import { isTensorData, toStored, toTensorData } from './tensor_bytes.js';
import { invalid } from '../check.js';
import type { SWAStateDict } from '../state/state_dict.js';
import { flatten, unflatten, type StateTree } from '../state/state_tree.js';

/** What a checkpoint says of itself. */
const FORMAT = 'tfjs-swa checkpoint';

/** The part of `ModelArtifacts` that carries a tree; the tensors are in its weights. */
interface Topology {
  format: string;
  /** The header of the safetensors file whose tensors the weights are. */
  header: string;
}

/** A handler that keeps safetensors files, and sums their bytes. */
export interface FileHandler extends tf.io.IOHandler {
  /** Saves a file with the tensors of the moment of the call. */
  saveFile(layout: Layout): Promise<void>;
  /** The file, its checksum seen to. */
  loadFile(): Promise<SafetensorsFile>;
}

/**
 * Saves a state, with all its tensors, where a `tf.io` handler puts it: `file://` (with tfjs-node),
 * `indexeddb://`, `localstorage://`, `downloads://`, `http(s)://`, any handler object, and
 * `fileSystem(path)` of `tfjs-swa/node`, which writes a safetensors file. The values are those of the
 * moment of the call. Other handlers are handed the same file in two pieces: its header in the
 * topology, and its tensors as tf.io's own weight data, under names that say what they are.
 *
 * @param target A URL of a scheme that tfjs knows, or a handler.
 * @param state What `stateDict()` gave, or any tree of records, lists, strings, numbers (NaN and the
 *   infinities too), booleans, null and {@link TensorData}:
 *   `{ swa, scheduler, epoch, model: [...] }`.
 * @throws Error that names the path of what is not plain data (`state.swa.x[3]`), that says how to
 *   get a scheme that is not known, or what the handler throws.
 *
 * @example
 * const x = tf.variable(tf.tensor1d([1, 2]));
 * const swa = new SWA(tf.train.adam(0.1), { swaStart: 0, swaFreq: 1 });
 * swa.minimize(() => tf.sum(tf.square(x)), false, [x]);
 *
 * let memory: tf.io.ModelArtifacts;
 * const handler: tf.io.IOHandler = {
 *   save: async (artifacts) => {
 *     memory = artifacts;
 *     return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
 *   },
 *   load: async () => memory,
 * };
 * await saveStateDict(handler, { swa: await swa.stateDict(), epoch: 3 });
 *
 * const { swa: state, epoch } = await loadStateDict<{ swa: SWAStateDict; epoch: number }>(handler);
 * await swa.loadStateDict(state);
 */
export async function saveStateDict<T>(
  target: string | tf.io.IOHandler,
  state: T & StateTree<T>,
): Promise<void> {
  const handler = handlerOf('save', target);
  const { text, leaves } = flatten(state, isTensorData);
  const layout = layOut(text, new Map([...leaves].map(([key, data]) => [key, toStored(data)])));
  if (keepsFiles(handler)) return handler.saveFile(layout);
  const { errors } = (await handler.save!(toArtifacts(layout))) ?? {};
  if (errors?.length)
    throw new Error(`The handler could not save: ${errors.map(String).join('; ')}`);
}

/**
 * Loads what {@link saveStateDict} saved. Nothing of it is trusted: version, structure, sizes and a
 * checksum over everything are checked before it is returned, and sizes before memory is taken.
 *
 * `fileSystem(path)` reads any other safetensors file too, as a record of its tensors by name:
 * F32, I32 and BOOL as float32, int32 and bool; F64, F16 and BF16 as float32; U8 and I64 as int32.
 *
 * @param source A URL of a scheme that tfjs knows, or a handler.
 * @returns The state: plain data, of the type that the caller says it is.
 * @throws Error that says what is wrong with a file that is foreign, edited, cut or of a later
 *   version, that names a tensor of a dtype or a value that does not fit, that says how to get a
 *   scheme that is not known, or what the handler throws.
 *
 * @example
 * let saved!: tf.io.ModelArtifacts;
 * const keep = tf.io.withSaveHandler(async (artifacts) => {
 *   saved = artifacts;
 *   return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
 * });
 * await saveStateDict(keep, { epoch: 3 });
 * const { epoch } = await loadStateDict<{ epoch: number }>(tf.io.fromMemory(saved)); // 3
 */
export async function loadStateDict<T = SWAStateDict>(
  source: string | tf.io.IOHandler,
): Promise<T> {
  const handler = handlerOf('load', source);
  const given = keepsFiles(handler) ? await handler.loadFile() : await handler.load!();
  try {
    const { header, bytes } = keepsFiles(handler)
      ? (given as SafetensorsFile)
      : fromArtifacts(given as tf.io.ModelArtifacts);
    const tensors = header.entries.map((entry) => {
      const { name } = entry;
      return [name, toTensorData(name, entry, bytes.get(name)!)] as const;
    });
    if (!header.ours) return Object.fromEntries(tensors) as T;
    return unflatten(header.ours.tree, new Map(tensors)) as T;
  } catch (error) {
    const what = typeof source === 'string' ? source : 'the checkpoint';
    throw new Error(`Cannot load ${what}: ${(error as Error).message}`, { cause: error });
  }
}

function keepsFiles(handler: tf.io.IOHandler): handler is FileHandler {
  return 'saveFile' in handler && 'loadFile' in handler;
}

function handlerOf(action: 'save' | 'load', place: string | tf.io.IOHandler): tf.io.IOHandler {
  const what = action === 'save' ? 'target' : 'source';
  if (typeof place !== 'string') {
    if (typeof place?.[action] === 'function') return place;
    return invalid(what, place, `a URL or a tf.io handler with ${action}()`);
  }
  const handlers = action === 'save' ? tf.io.getSaveHandlers(place) : tf.io.getLoadHandlers(place);
  const [handler] = handlers;
  if (handlers.length > 1) throw new Error(`${handlers.length} handlers know the URL ${place}`);
  if (typeof handler?.[action] === 'function') return handler;
  throw new Error(
    `No handler is registered to ${action} ${JSON.stringify(place)}. ` +
      "A path on disk: fileSystem(path) from 'tfjs-swa/node', or file:// after importing tfjs-node. " +
      'indexeddb:// and localstorage://: in a browser. http:// and https://: where there is fetch. ' +
      'downloads://: in a browser, to save; load it with tf.io.browserFiles([json, weights]).',
  );
}

/** By its tag, for it may come from another realm; a SharedArrayBuffer is none. */
function isBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]';
}

/** The file in two pieces. The weights are one buffer, which all handlers of all tfjs take. */
function toArtifacts({ head, digitsAt, tensors }: Layout): tf.io.ModelArtifacts {
  const weightData = new Uint8Array(tensors.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let end = 0;
  for (const { bytes } of tensors) {
    weightData.set(bytes, end);
    end += bytes.length;
  }
  head.set(new TextEncoder().encode(toDigits(crc32(weightData, crc32(head)))), digitsAt);
  const header = new TextDecoder().decode(head.subarray(PREFIX));
  return {
    modelTopology: { format: FORMAT, header } satisfies Topology,
    weightSpecs: specsOf(tensors),
    weightData: weightData.buffer,
    format: FORMAT,
    generatedBy: 'tfjs-swa',
    convertedBy: null,
  };
}

/** The tensors as tf.io describes weights. */
function specsOf(
  tensors: readonly { name: string; dtype: string; shape: readonly number[] }[],
): tf.io.WeightsManifestEntry[] {
  const dtypes: Record<string, 'float32' | 'int32' | 'bool'> = {
    F32: 'float32',
    I32: 'int32',
    BOOL: 'bool',
  };
  return tensors.map(({ name, dtype, shape }) => {
    return { name, shape: [...shape], dtype: dtypes[dtype]! };
  });
}

function fromArtifacts(artifacts: tf.io.ModelArtifacts): SafetensorsFile {
  const { modelTopology, weightSpecs = [], weightData = [] } = artifacts ?? {};
  const { format, header: text } = (modelTopology ?? {}) as Partial<Topology>;
  if (format !== FORMAT) throw new Error(`it is no ${FORMAT}`);
  if (typeof text !== 'string') return invalid('header', text, 'a string');
  const buffers = Array.isArray(weightData) ? weightData : [weightData];
  if (!buffers.every(isBuffer)) invalid('weightData', weightData, 'ArrayBuffers');

  const size = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const header = readHeader(new TextEncoder().encode(text), size);
  if (!header.ours) throw new Error(`it is no ${FORMAT}`);
  checkSpecs(header.entries, weightSpecs);
  const before = crc32(header.ours.head);
  const sum = buffers.reduce((sum, buffer) => crc32(new Uint8Array(buffer), sum), before);
  checkSum(header, sum);
  const take = cutter(buffers);
  return {
    header,
    bytes: new Map(header.entries.map(({ name, size }) => [name, take(size)] as const)),
  };
}

/** The weights' own descriptions have to say what the header says. */
function checkSpecs(entries: Header['entries'], specs: unknown): void {
  const count = Array.isArray(specs) ? specs.length : NaN;
  if (count !== entries.length) throw new Error(`it has ${count} weights, not ${entries.length}`);
  // By name: tensors of no bytes begin where another does, and keys that are integers come first.
  const list = specs as (Partial<tf.io.WeightsManifestEntry> | null)[];
  const byName = new Map(list.map((spec) => [spec?.name, spec]));
  specsOf(entries).forEach((wanted, i) => {
    const { name, dtype, shape, ...others } = byName.get(wanted.name) ?? list[i] ?? {};
    const text = JSON.stringify([name, dtype, shape, ...Object.keys(others)]);
    const expected = JSON.stringify([wanted.name, wanted.dtype, wanted.shape]);
    if (text !== expected) throw new Error(`its weight ${i} is ${text}, not ${expected}`);
  });
}

/**
 * Copies the tensors' bytes out of the weight data, first to last, whatever it was cut into. A view
 * would not do: it may lie across 4 bytes, it would keep all of the data alive, and cloning or
 * posting it would clone all of it.
 */
function cutter(buffers: readonly ArrayBuffer[]): (size: number) => Uint8Array<ArrayBuffer> {
  let current = 0;
  let used = 0;
  return (size) => {
    const taken = new Uint8Array(size);
    for (let filled = 0; filled < size;) {
      const buffer = buffers[current]!;
      const length = Math.min(size - filled, buffer.byteLength - used);
      taken.set(new Uint8Array(buffer, used, length), filled);
      filled += length;
      used += length;
      if (used === buffer.byteLength) {
        current += 1;
        used = 0;
      }
    }
    return taken;
  };
}
