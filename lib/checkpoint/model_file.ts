/**
 * A tfjs model's artifacts as a tree of state and its tensors, and back, for files that hold either.
 * It knows nothing of where they are kept.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { invalid, isCount } from '../check.js';
import { flatten, unflatten } from '../state/state_tree.js';
import { layOut, type Layout, type SafetensorsFile, type Stored } from './safetensors.js';

/** A weight as a leaf of the tree. */
interface Weight extends Stored {
  readonly name: string;
}

/** The artifacts in a file's tree: `weights` in place of `weightData`. */
interface ModelTree extends Omit<tf.io.ModelArtifacts, 'weightData'> {
  weights?: Weight[];
}

/** Bytes of a value as tf.io writes it (tfjs-core 4.22, io/types.ts); strings differ in length. */
const WIDTHS: Record<string, number> = {
  float32: 4,
  int32: 4,
  bool: 1,
  complex64: 8,
  uint8: 1,
  uint16: 2,
  float16: 2,
};

/** The dtypes that safetensors has too; others are kept as bytes. */
const DTYPES: Record<string, string> = { float32: 'F32', int32: 'I32', bool: 'BOOL' };

/**
 * Lays out the file of a model: each weight is a tensor in it, of the same values, but for strings,
 * complex and quantized ones, which are kept as bytes.
 *
 * @throws Error if the topology is no JSON, or the weights are not what their specs say.
 */
export function modelLayout(artifacts: tf.io.ModelArtifacts): Layout {
  const { weightData, weightSpecs, ...others } = artifacts;
  const { modelTopology } = others;
  if (typeof modelTopology !== 'object' || isBuffer(modelTopology)) {
    invalid('modelTopology', modelTopology, 'JSON, not a binary graph');
  }
  const tree: ModelTree = { ...others };
  if (weightSpecs) tree.weightSpecs = weightSpecs;
  // What JSON leaves out, handlers leave out.
  const plain = JSON.parse(JSON.stringify(tree)) as ModelTree;
  if (weightData !== undefined) {
    plain.weights = cut(plain.weightSpecs, join([weightData].flat().map((b) => new Uint8Array(b))));
  }
  const isWeight = (value: object): value is Record<string, unknown> & Weight =>
    (value as Partial<Weight>).bytes instanceof Uint8Array;
  const { text, leaves } = flatten(plain, isWeight);
  return layOut(text, leaves);
}

/**
 * The artifacts in a file. Their weights are one buffer, which every tfjs takes.
 *
 * @throws Error if it holds something else.
 */
export function modelArtifacts({ header, bytes }: SafetensorsFile): tf.io.ModelArtifacts {
  if (!header.ours) throw new Error('it holds no model: loadStateDict reads its tensors');
  const leaves = new Map(
    header.entries.map((entry) => [entry.name, { bytes: bytes.get(entry.name)! }] as const),
  );
  const tree = unflatten(header.ours.tree, leaves) as ModelTree | null;
  if (typeof tree?.modelTopology !== 'object') {
    throw new Error('it holds no model: loadStateDict reads its state');
  }
  const { weights, ...artifacts } = tree;
  if (weights === undefined) return artifacts;
  const parts = Array.isArray(weights) ? weights.map((weight) => weight?.bytes) : [];
  const data = join(parts.map((part) => (part instanceof Uint8Array ? part : new Uint8Array())));
  cut(artifacts.weightSpecs, data); // refuses what does not fit
  return { ...artifacts, weightData: data.buffer };
}

/** Whether a value is an ArrayBuffer, maybe of another realm. */
function isBuffer(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]';
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    joined.set(part, end);
    end += part.length;
  }
  return joined;
}

/** Cuts the weights out of their data, first to last. */
function cut(specs: unknown, data: Uint8Array): Weight[] {
  if (!Array.isArray(specs)) return invalid('weightSpecs', specs, 'a list, as there are weights');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let end = 0;
  const weights = (specs as tf.io.WeightsManifestEntry[]).map((spec, i): Weight => {
    const { name, shape, dtype, quantization } = spec ?? {};
    if (typeof name !== 'string' || !Array.isArray(shape) || !shape.every(isCount)) {
      return invalid(`weightSpecs[${i}]`, spec, 'a name, a shape and a dtype');
    }
    const size = shape.reduce((product, length) => product * length, 1);
    const begin = end;
    if (dtype === 'string') {
      // Each string: its length (uint32) and its bytes; they end where the data do, or it is refused.
      for (let k = 0; k < size && end + 4 <= data.length; k++) end += 4 + view.getUint32(end, true);
      if (size > data.length) end = Infinity;
    } else {
      const width = WIDTHS[quantization?.dtype ?? dtype];
      end += size * (width ?? invalid(`weightSpecs[${i}].dtype`, dtype, "one of tf.io's"));
    }
    const bytes = data.subarray(begin, end);
    const plain = quantization ? undefined : DTYPES[dtype];
    return plain
      ? { name, dtype: plain, shape, bytes }
      : { name, dtype: 'U8', shape: [bytes.length], bytes };
  });
  if (end !== data.length) {
    invalid('weightData', `${data.length} bytes`, `${end}, which weightSpecs say`);
  }
  return weights;
}
