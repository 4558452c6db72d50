/**
 * A tree of anybody's data as text (json_words.ts) and the leaves in it, and back: nothing but plain
 * data goes in, and nothing of the text is trusted. It knows nothing of files, bytes or optimizers, nor
 * of what a leaf holds.
 */
import { invalid, shown } from '../check.js';
import { visitKeys } from './json_text.js';
import { fromWord, NUMBERS, toWord } from './json_words.js';
import type { TensorData } from './tensor_data.js';

/** Where in a tree something is: the keys of records and the places in lists that lead there. */
type Path = readonly (string | number)[];

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

/** What a leaf of a tree has at least. */
export interface Leaf {
  readonly name: string;
}

/** A tree taken apart: the text, and by the key that stands for it in there each leaf. */
export interface FlatState<L extends Leaf> {
  text: string;
  leaves: Map<string, L>;
}

/** Whether a record is a leaf; an Error that begins with the label if it is one with a mistake. */
export type LeafTest<L extends Leaf> = (
  value: Record<string, unknown>,
  label: string,
) => value is Record<string, unknown> & L;

/**
 * Takes a tree apart.
 *
 * @param isLeaf What is no plain data but a leaf.
 * @returns The text and the leaves in their order. The key of a leaf is its path
 *   (`swa.swa_state.0.swa_buffer`), with its own name for its place in a list
 *   (`swa.opt_state.0.accBeta1`); where that is taken, `#2` follows.
 * @throws Error `Invalid state.a[3]: VALUE (expected ...)` for anything that is not plain data.
 */
export function flatten<L extends Leaf>(state: unknown, isLeaf: LeafTest<L>): FlatState<L> {
  const leaves = new Map<string, L>();
  const newKey = keys();
  const above: object[] = [];
  const path: (string | number)[] = [];
  const part = (step: string | number, value: unknown): unknown => {
    path.push(step);
    const encoded = encode(value);
    path.pop();
    return encoded;
  };
  const encode = (value: unknown): unknown => {
    const refuse = (expected: string) => invalid(labelOf(path), value, expected);
    checkStep(path);
    if (value === null || ['string', 'boolean', 'number'].includes(typeof value)) {
      return toWord(value);
    }
    const list = Array.isArray(value);
    if (!list && !isRecord(value)) {
      return refuse('plain data: records, lists, strings, numbers, booleans, null');
    }
    if (above.includes(value)) refuse('no cycle');
    if (above.length === MAX_DEPTH) refuse(`at most ${MAX_DEPTH} levels`);
    if (!list && isLeaf(value, labelOf(path))) {
      const tensor = newKey(path, value.name);
      leaves.set(tensor, value);
      return toWord(value, { tensor, name: value.name });
    }
    above.push(value);
    const encoded = list
      ? Array.from(value, (item, i) => part(i, item))
      : Object.fromEntries(Object.entries(value).map(([key, item]) => [key, part(key, item)]));
    above.pop();
    return toWord(encoded);
  };
  return { text: JSON.stringify(encode(state)), leaves };
}

/** Makes keys for leaves: no two alike, and good Unicode, which not all readers do without. */
function keys(): (path: Path, name: string) => string {
  const taken = new Set(['__metadata__']); // a word of safetensors
  const counts = new Map<string, number>();
  return (path, name) => {
    const inList = typeof path.at(-1) === 'number' && name !== '';
    const steps = inList ? [...path.slice(0, -1), name] : path;
    const wanted = (steps.join('.') || name || 'tensor').replace(/\p{Surrogate}/gu, '\ufffd');
    let key = wanted;
    while (taken.has(key)) {
      const count = (counts.get(wanted) ?? 1) + 1;
      counts.set(wanted, count);
      key = `${wanted}#${count}`;
    }
    taken.add(key);
    return key;
  };
}

/** A path, as one would write it. */
function labelOf(path: Path): string {
  return path.reduce<string>((label, step) => {
    return typeof step === 'number' ? `${label}[${step}]` : child(label, step);
  }, 'state');
}

/** The path of a record's entry, as one would write it. */
export function child(label: string, key: string): string {
  return /^[A-Za-z_]\w*$/.test(key) ? `${label}.${key}` : `${label}[${JSON.stringify(key)}]`;
}

/** Refuses the one name that an assignment would take for a prototype. */
function checkStep(path: Path): void {
  const step = path.at(-1);
  if (step === '__proto__') invalid(labelOf(path), step, 'another name');
}

/** A plain object, of this realm or another. */
function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Puts a tree together.
 *
 * @param leaves By key, each of which the tree has to name once.
 * @returns The tree; a leaf in it is a copy of the record, under the name that the tree gives it.
 * @throws Error that says what is wrong with the text.
 */
export function unflatten(text: string, leaves: ReadonlyMap<string, object>): unknown {
  const left = new Map(leaves);
  const path: (string | number)[] = [];
  const part = (step: string | number, value: unknown): unknown => {
    path.push(step);
    const decoded = decode(value);
    path.pop();
    return decoded;
  };
  const decode = (value: unknown): unknown => {
    check(value, path);
    if (typeof value !== 'object' || value === null) return value;
    // In place, for it may be long.
    if (Array.isArray(value)) for (let i = 0; i < value.length; i++) value[i] = part(i, value[i]);
    else if (!Object.hasOwn(value, '$')) {
      const record = value as Record<string, unknown>;
      for (const key of Object.keys(record))
        record[key] = part(key.replace(/^\$/, ''), record[key]);
    }
    return fromWord(value, (standIn) => takeLeaf(standIn, labelOf(path), left));
  };
  visitKeys(text, MAX_DEPTH + 2); // a leaf is a record in a record
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Error('its state is no JSON', { cause: error });
  }
  const state = decode(parsed);
  const [stray] = left.keys();
  if (stray !== undefined) throw new Error(`its state does not name the tensor ${shown(stray)}`);
  return state;
}

/** Refuses what {@link flatten} does not write. */
function check(value: unknown, path: Path): void {
  const refuse = (expected: string) => invalid(labelOf(path), value, expected);
  checkStep(path);
  if (typeof value === 'number' && !Number.isFinite(value)) refuse('a number of float64');
  if (typeof value !== 'object' || value === null) return;
  const word = !Array.isArray(value) && Object.hasOwn(value, '$');
  if (path.length === MAX_DEPTH && !word) refuse(`at most ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return;
  const keys = Object.keys(value);
  if (word && keys.length > 1) refuse('no other key beside $');
  const bad = !word && keys.find((key) => /^\$(?!\$)/.test(key));
  if (bad) invalid(child(labelOf(path), bad.slice(1)), bad, 'a key that begins with $$');
}

/** The leaf that something stands for, which is then no longer left. */
function takeLeaf(value: unknown, label: string, left: Map<string, object>): object {
  if (typeof value !== 'object' || value === null) {
    return invalid(label, value, `a tensor or one of ${[...NUMBERS.keys()].join(', ')}`);
  }
  const { tensor, name, ...rest } = value as { tensor?: unknown; name?: unknown };
  if (typeof name !== 'string') return invalid(`${label}.name`, name, 'a string');
  const leaf = left.get(tensor as string);
  if (!leaf) return invalid(`${label}.tensor`, tensor, 'a tensor that is there, each once');
  const stray = Object.keys(rest)[0];
  if (stray !== undefined) throw new Error(`Unknown ${child(label, stray)}`);
  left.delete(tensor as string);
  return { ...leaf, name };
}
