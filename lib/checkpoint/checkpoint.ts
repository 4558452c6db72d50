/**
 * State dicts through any `tf.io` handler, and back: what is saved, and what is trusted of it. It
 * knows nothing of optimizers, and of a tree of state only that it comes apart (state_tree.ts).
 * The format: spec/checkpoints/README.md.
 */
import * as tf from '@tensorflow/tfjs-core';
import { crc32 } from './crc32.js';
import { littleEndian } from './little_endian.js';
import { invalid, isCount } from '../check.js';
import type { SWAStateDict } from '../state/state_dict.js';
import { flatten, unflatten, type StateTree, type TensorSpec } from '../state/state_tree.js';
import type { TensorData } from '../state/tensor_data.js';

/** What a checkpoint says of itself. */
const FORMAT = 'tfjs-swa checkpoint';

/** The version of the format that is written, and the last that is read. */
const VERSION = 1;

/** Bytes of a value, and the array of values. */
const TYPES = {
  float32: { width: 4, array: Float32Array },
  int32: { width: 4, array: Int32Array },
  bool: { width: 1, array: Uint8Array },
};

/** The schemes of tfjs-core's own handlers, which take weight data as a list of buffers. */
const LIST_SCHEMES = /^(indexeddb|localstorage|downloads|https?):/;

/** The part of `ModelArtifacts` that carries a tree; the tensors are in its weights. */
interface Topology {
  format: string;
  version: number;
  /** The tree without the tensors' values. */
  state: string;
  /** CRC-32 of the bytes of `state` and of the weights, as 8 hexadecimal digits. */
  checksum: string;
}

/** A handler that may say what it can do. */
export interface CheckpointHandler extends tf.io.IOHandler {
  /**
   * Whether `save` takes weight data as a list of buffers, one a tensor: then nothing is joined, and
   * a checkpoint is held once in memory, not twice. Default false: one buffer, which all handlers
   * take.
   */
  readonly takesBufferList?: boolean;
}

/**
 * Saves a state, with all its tensors, where a `tf.io` handler puts it: `file://` (with tfjs-node),
 * `indexeddb://`, `localstorage://`, `downloads://`, `http(s)://`, any handler object, and
 * `fileSystem(path)` of `tfjs-swa/node`. The values are handed over as they are, in tf.io's own
 * weight data: none becomes text.
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
  target: string | CheckpointHandler,
  state: T & StateTree<T>,
): Promise<void> {
  const handler = handlerOf('save', target);
  const artifacts = toArtifacts(state);
  const takesList = typeof target === 'string' ? LIST_SCHEMES.test(target) : target.takesBufferList;
  // Not all take a list: of one, tfjs-node 4.22 writes a zero byte a buffer (file_system.ts, `save`).
  if (!takesList) artifacts.weightData = tf.io.CompositeArrayBuffer.join(artifacts.weightData);
  const { errors } = (await handler.save!(artifacts)) ?? {};
  if (errors?.length)
    throw new Error(`The handler could not save: ${errors.map(String).join('; ')}`);
}

/**
 * Loads what {@link saveStateDict} saved. Nothing of it is trusted: format, version, structure,
 * sizes and a checksum over everything are checked before it is returned, and sizes before memory
 * is taken.
 *
 * @param source A URL of a scheme that tfjs knows, or a handler.
 * @returns The state: plain data, of the type that the caller says it is. Values that fill a buffer
 *   of the handler's are that buffer, not a copy of it.
 * @throws Error that says what is wrong with a file that is foreign, edited, cut or of a later
 *   version, that says how to get a scheme that is not known, or what the handler throws.
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
  source: string | CheckpointHandler,
): Promise<T> {
  const artifacts = await handlerOf('load', source).load!();
  try {
    return fromArtifacts(artifacts) as T;
  } catch (error) {
    const what = typeof source === 'string' ? source : 'the checkpoint';
    throw new Error(`Cannot load ${what}: ${(error as Error).message}`, { cause: error });
  }
}

function handlerOf(action: 'save' | 'load', place: string | CheckpointHandler): tf.io.IOHandler {
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

/** The name of a tensor among the weights: its own may be there more than once. */
function weightName({ name }: TensorSpec, index: number): string {
  return `${index}/${name}`;
}

function toArtifacts(state: unknown): tf.io.ModelArtifacts {
  const { text, tensors } = flatten(state);
  // Without empty ones: CompositeArrayBuffer gives zeros if one comes first (tfjs-core 4.22).
  const weightData = tensors.map(toBuffer).filter(({ byteLength }) => byteLength > 0);
  const modelTopology: Topology = {
    format: FORMAT,
    version: VERSION,
    state: text,
    checksum: checksum(text, weightData),
  };
  return {
    modelTopology,
    weightSpecs: tensors.map((tensor, i) => {
      const { dtype, shape } = tensor;
      return { name: weightName(tensor, i), shape: [...shape], dtype };
    }),
    weightData,
    format: FORMAT,
    generatedBy: 'tfjs-swa',
    convertedBy: null,
  };
}

/** The values as a buffer of their own: theirs, unless they are a part of another. */
function toBuffer({ values, dtype }: TensorData): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = values;
  const own = isBuffer(buffer) && buffer.byteLength === byteLength;
  const bytes = own
    ? new Uint8Array(buffer)
    : new Uint8Array(new Uint8Array(buffer, byteOffset, byteLength));
  return littleEndian(bytes, TYPES[dtype].width).buffer;
}

/** By its tag, for it may come from another realm; a SharedArrayBuffer is none. */
function isBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]';
}

function checksum(text: string, weightData: readonly ArrayBuffer[]): string {
  const start = crc32(new TextEncoder().encode(text));
  const sum = weightData.reduce((before, buffer) => crc32(new Uint8Array(buffer), before), start);
  return sum.toString(16).padStart(8, '0');
}

function fromArtifacts(artifacts: tf.io.ModelArtifacts): unknown {
  const { modelTopology, weightSpecs = [], weightData = [] } = artifacts ?? {};
  const topology = checkTopology(modelTopology);
  const buffers = Array.isArray(weightData) ? weightData : [weightData];
  if (!buffers.every(isBuffer)) invalid('weightData', weightData, 'ArrayBuffers');

  const { state, tensors } = unflatten(topology.state);
  checkSpecs(tensors, weightSpecs);
  const sizes = tensors.map(
    ({ dtype, shape }) => TYPES[dtype].width * tf.util.sizeFromShape(shape),
  );
  const wanted = sizes.reduce((sum, size) => sum + size, 0);
  const given = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (given !== wanted) throw new Error(`it has ${given} bytes of weights, not ${wanted}`);
  const sum = checksum(topology.state, buffers);
  if (sum !== topology.checksum) {
    throw new Error(`it is damaged: its checksum is ${sum}, not ${topology.checksum}`);
  }

  const take = cutter(buffers);
  tensors.forEach((tensor, i) => {
    const { width, array } = TYPES[tensor.dtype];
    const { buffer } = littleEndian(new Uint8Array(take(sizes[i]!)), width);
    (tensor as TensorData).values = new array(buffer);
  });
  return state;
}

function checkTopology(topology: unknown): Topology {
  const { format, version, state, checksum } = (topology ?? {}) as Partial<Topology>;
  if (format !== FORMAT) throw new Error(`it is no ${FORMAT}`);
  if (!isCount(version) || version < 1) return invalid('version', version, 'an integer >= 1');
  if (version > VERSION) {
    throw new Error(
      `it has version ${version} of the format, and this tfjs-swa reads up to version ${VERSION}: ` +
        'a later tfjs-swa is needed',
    );
  }
  if (typeof state !== 'string') return invalid('state', state, 'a string');
  if (typeof checksum !== 'string') return invalid('checksum', checksum, '8 hexadecimal digits');
  return { format, version, state, checksum };
}

/** The weights' own descriptions have to say what the tree says. */
function checkSpecs(tensors: readonly TensorSpec[], specs: tf.io.WeightsManifestEntry[]): void {
  const count = Array.isArray(specs) ? specs.length : NaN;
  if (count !== tensors.length) throw new Error(`it has ${count} weights, not ${tensors.length}`);
  tensors.forEach((tensor, i) => {
    const { name, dtype, shape, ...others } = specs[i] ?? ({} as Partial<TensorSpec>);
    const text = JSON.stringify([name, dtype, shape, ...Object.keys(others)]);
    const expected = JSON.stringify([weightName(tensor, i), tensor.dtype, tensor.shape]);
    if (text !== expected) throw new Error(`its weight ${i} is ${text}, not ${expected}`);
  });
}

/**
 * Cuts the tensors' buffers out of the weight data, first to last. A buffer of just that size is
 * handed over. From a longer one a copy is made, for a view of it would not do: it may lie across
 * 4 bytes, it would keep all of the data alive, and cloning or posting it would clone all of it.
 */
function cutter(buffers: readonly ArrayBuffer[]): (size: number) => ArrayBuffer {
  let current = 0;
  let used = 0;
  return (size) => {
    if (used === 0 && size > 0 && buffers[current]!.byteLength === size) return buffers[current++]!;
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
    return taken.buffer;
  };
}
