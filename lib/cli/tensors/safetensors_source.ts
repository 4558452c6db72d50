/** A safetensors file as a source of tensors. It knows nothing of averages. */
import path from 'node:path';
import { explained } from '../../checkpoint/file_errors.js';
import { checkSum, WIDTHS, type Entry } from '../../checkpoint/safetensors.js';
import { crc32, openFile, readAt, readHead } from '../../checkpoint/safetensors_file.js';
import { unflatten } from '../../state/state_tree.js';
import { alignedHead, createSafetensors } from './safetensors_output.js';
import { Segments } from './segments.js';
import type { Source, Tensor } from './source.js';
import { weightOf } from './weight_spec.js';

/** Bytes of one value, by dtype: what can be averaged or copied, and what can only be told about. */
const READ = { ...WIDTHS, I8: 1, I16: 2, U16: 2, U32: 4, U64: 8 };
const OTHERS = {
  C64: 8,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  F6_E2M3: 0.75,
  F6_E3M2: 0.75,
  F4: 0.5,
};

/** Bytes that are summed up at a time. */
const CHUNK = 2 ** 20;

/**
 * Opens a file. Nothing of it is trusted; a checksum, which files of ours have, is seen to.
 *
 * @param file As the user calls it.
 * @throws Error that says what is wrong with it.
 */
export function openSafetensors(file: string): Promise<Source> {
  return explained('load', file, open(path.resolve(file), file));
}

async function open(file: string, called: string): Promise<Source> {
  const { handle, size } = await openFile(file);
  try {
    const { header, json, dataAt } = await readHead(handle, size, { ...READ, ...OTHERS });
    const { ours } = header;
    if (ours) {
      const chunk = new Uint8Array(CHUNK);
      let sum = crc32(ours.head);
      for (let at = dataAt; at < size; at += CHUNK) {
        const part = chunk.subarray(0, size - at);
        await readAt(handle, part, at);
        sum = crc32(part, sum);
      }
      checkSum(header, sum);
    }
    const segments = new Segments([{ file, start: dataAt, size: size - dataAt }], { file, handle });
    return {
      path: called,
      ...(ours ? ofOurs(header.entries, ours.tree) : ofOthers(header.entries, json)),
      read: (bytes, from) => segments.read(bytes, from),
      close: () => segments.close(),
      create: (out) => createSafetensors(out, ours?.head ?? alignedHead(json), ours?.digitsAt),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

type Content = Pick<Source, 'kind' | 'notes' | 'tensors' | 'isState'>;

function ofOthers(entries: readonly Entry[], json: Uint8Array): Content {
  const text = new TextDecoder().decode(json);
  const { __metadata__: metadata = {} } = JSON.parse(text) as {
    __metadata__?: Record<string, string>;
  };
  const notes = Object.entries(metadata).map(([key, value]) => `${key}: ${value}`);
  return { kind: 'safetensors', notes, tensors: tensorsOf(entries) };
}

/** The place of a tensor in a tree; a symbol is no key that a file can have. */
const ENTRY = Symbol('entry');
interface Leaf {
  readonly name: string;
  readonly [ENTRY]: string;
}

function ofOurs(entries: readonly Entry[], text: string): Content {
  const leaves = new Map(entries.map(({ name }) => [name, { [ENTRY]: name }] as const));
  const tree = unflatten(text, leaves);
  const { modelTopology, weights, weightSpecs } = Object(tree) as Record<string, unknown>;
  if (typeof modelTopology === 'object' && Array.isArray(weights) && weights.every(isLeaf)) {
    const specs = Array.isArray(weightSpecs) ? (weightSpecs as unknown[]) : [];
    const places = new Map(weights.map((leaf, i) => [leaf[ENTRY], { name: leaf.name, i }]));
    const tensors = tensorsOf(entries).map((tensor): Tensor => {
      const { name, i } = places.get(tensor.name)!;
      const { refusal, ofOptimizer } = weightOf(specs[i], `weightSpecs[${i}]`);
      return { ...tensor, name, ...(refusal && { refusal }), ...(ofOptimizer && { ofOptimizer }) };
    });
    return { kind: 'a tfjs model, saved by tfjs-swa', notes: [], tensors };
  }
  const isState = !holdsOnlyTensors(tree);
  const kind = isState ? 'a checkpoint of tfjs-swa' : 'tensors, saved by tfjs-swa';
  return { kind, notes: [], tensors: tensorsOf(entries), isState };
}

function isLeaf(value: unknown): value is Leaf {
  return typeof value === 'object' && value !== null && ENTRY in value;
}

function holdsOnlyTensors(value: unknown): boolean {
  if (isLeaf(value)) return true;
  return Object(value) === value && Object.values(value as object).every(holdsOnlyTensors);
}

function tensorsOf(entries: readonly Entry[]): Tensor[] {
  let end = 0;
  return entries.map(({ name, dtype, shape, size }) => {
    end += size;
    const tensor = { name, dtype, shape, size, begin: end - size };
    return Object.hasOwn(OTHERS, dtype) ? { ...tensor, refusal: `dtype ${dtype}` } : tensor;
  });
}
