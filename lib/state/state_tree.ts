/**
 * A tree of plain data as text and a list of tensors, and back. It knows nothing of files, bytes or
 * optimizers.
 *
 * The text is JSON. What JSON has no word for is a record with the one key `$`: a number
 * (`{"$":"NaN"}`, `Infinity`, `-Infinity`, `-0`), or a tensor without its values
 * (`{"$":{"index":0,"name":"swa_buffer","dtype":"float32","shape":[2,3]}}`). A key of the tree's own
 * that begins with `$` gets another in front.
 */
import * as tf from '@tensorflow/tfjs-core';
import { invalid, isCount, shown } from '../check.js';
import { checkTensorData, type TensorData } from './tensor_data.js';

/**
 * A type that a checkpoint can hold: records, lists, strings, numbers, booleans, null and
 * {@link TensorData}, however deep. What else is in `T` (functions, tensors, `undefined`, bare typed
 * arrays, class instances with methods) becomes `never`, and is refused by the compiler where it is
 * known and by {@link saveStateDict} in any case.
 */
export type StateTree<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | TensorData
    ? T
    : T extends ((...args: never[]) => unknown) | symbol | bigint | undefined
      ? never
      : { [K in keyof T]: StateTree<T[K]> };

/** Levels of records and lists in one another; a state dict has six. */
const MAX_DEPTH = 64;

/** A tensor's description in the text. */
export type TensorSpec = Omit<TensorData, 'values'>;

/** The same with its place among the tensors. */
interface IndexedSpec extends TensorSpec {
  index: number;
}

/** The numbers that JSON does not have. */
const NUMBERS: Record<string, number> = { NaN, Infinity, '-Infinity': -Infinity, '-0': -0 };

/**
 * Takes a tree apart.
 *
 * @returns The text and the tensors, in the order of their indices.
 * @throws Error `Invalid state.a[3]: VALUE (expected ...)` for anything that is not plain data.
 */
export function flatten(state: unknown): { text: string; tensors: TensorData[] } {
  const tensors: TensorData[] = [];
  const above: object[] = [];
  const encode = (label: string, value: unknown): unknown => {
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
    if (typeof value === 'number') {
      const name = Object.is(value, -0) ? '-0' : String(value);
      return Object.hasOwn(NUMBERS, name) ? { $: name } : value;
    }
    if (typeof value !== 'object' || !(Array.isArray(value) || isRecord(value))) {
      return invalid(label, value, 'plain data: records, lists, strings, numbers, booleans, null');
    }
    if (above.includes(value)) invalid(label, value, 'no cycle');
    if (above.length === MAX_DEPTH) invalid(label, value, `at most ${MAX_DEPTH} levels`);
    above.push(value);
    let encoded: unknown;
    if (Array.isArray(value)) {
      encoded = Array.from(value, (item, i) => encode(`${label}[${i}]`, item));
    } else if (ArrayBuffer.isView(value['values'])) {
      encoded = { $: describe(label, value, tensors.length) };
      tensors.push(value as unknown as TensorData);
    } else {
      encoded = Object.fromEntries(
        Object.entries(value).map(([key, item]) => {
          const name = child(label, key);
          return [checkKey(name, key.startsWith('$') ? `$${key}` : key), encode(name, item)];
        }),
      );
    }
    above.pop();
    return encoded;
  };
  return { text: JSON.stringify(encode('state', state)), tensors };
}

/** The path of a record's entry, as one would write it. */
function child(label: string, key: string): string {
  return /^[A-Za-z_]\w*$/.test(key) ? `${label}.${key}` : `${label}[${JSON.stringify(key)}]`;
}

/** Refuses the one name that an assignment would take for a prototype. */
function checkKey(label: string, key: string): string {
  return key === '__proto__' ? invalid(label, key, 'another name') : key;
}

/** A plain object, of this realm or another. */
function isRecord(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function describe(label: string, value: unknown, index: number): IndexedSpec {
  checkTensorData(label, value);
  const { name, dtype, shape, values: _, ...others } = value;
  const stray = Object.keys(others)[0];
  if (stray !== undefined) {
    throw new Error(`Unknown ${child(label, stray)} (tensor data has name, dtype, shape, values)`);
  }
  return { index, name, dtype, shape };
}

/**
 * Puts a tree together, but for the tensors' values.
 *
 * @returns The tree, and in the order of their indices the tensors in it, whose `values` are to be
 *   set.
 * @throws Error that says what is wrong with the text.
 */
export function unflatten(text: string): { state: unknown; tensors: TensorSpec[] } {
  const tensors = new Map<number, TensorSpec>();
  const decode = (label: string, value: unknown, depth: number): unknown => {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return invalid(label, value, 'a number of float64');
    }
    if (typeof value !== 'object' || value === null) return value;
    if (depth === MAX_DEPTH) return invalid(label, value, `at most ${MAX_DEPTH} levels`);
    if (Array.isArray(value)) {
      return value.map((item, i) => decode(`${label}[${i}]`, item, depth + 1));
    }
    if (Object.hasOwn(value, '$')) {
      const found = special(label, value as { $: unknown });
      if (typeof found === 'number') return found;
      const { index, ...tensor } = found;
      if (tensors.has(index)) invalid(`${label}.index`, index, 'each index once');
      tensors.set(index, tensor);
      return tensor;
    }
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        const own = key.startsWith('$') ? key.slice(1) : key;
        const name = child(label, own);
        if (own !== key && !own.startsWith('$')) invalid(name, key, 'a key that begins with $$');
        return [checkKey(name, own), decode(name, item, depth + 1)];
      }),
    );
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Error('its state is no JSON', { cause: error });
  }
  const state = decode('state', parsed, 0);
  const inOrder = Array.from(
    { length: tensors.size },
    (_, i) => tensors.get(i) ?? invalid('state', state, `a tensor ${i} of ${tensors.size}`),
  );
  return { state, tensors: inOrder };
}

/** What stands for a number that JSON does not have, or for a tensor. */
function special(label: string, record: { $: unknown }): number | IndexedSpec {
  const { $: value, ...others } = record;
  if (Object.keys(others).length > 0) invalid(label, record, 'no other key beside $');
  if (typeof value === 'string' && Object.hasOwn(NUMBERS, value)) return NUMBERS[value]!;
  if (typeof value !== 'object' || value === null) {
    return invalid(label, value, `a tensor or one of ${Object.keys(NUMBERS).join(', ')}`);
  }
  const { index, name, dtype, shape, ...rest } = value as Partial<IndexedSpec>;
  if (!isCount(index)) return invalid(`${label}.index`, index, 'an integer >= 0');
  if (typeof name !== 'string') return invalid(`${label}.name`, name, 'a string');
  if (dtype !== 'float32' && dtype !== 'int32' && dtype !== 'bool') {
    return invalid(`${label}.dtype`, dtype, 'float32, int32 or bool');
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return invalid(`${label}.shape`, shape, 'a list of integers >= 0');
  }
  if (!Number.isSafeInteger(4 * tf.util.sizeFromShape(shape))) {
    invalid(`${label}.shape`, shape, 'fewer values');
  }
  const stray = Object.keys(rest)[0];
  if (stray !== undefined) throw new Error(`Unknown ${label}.${stray}: ${shown(rest)}`);
  return { index, name, dtype, shape };
}
