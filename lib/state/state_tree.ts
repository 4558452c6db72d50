/**
 * A tree of plain data as text and the leaves in it, and back. It knows nothing of files, bytes or
 * optimizers, nor of what a leaf holds.
 *
 * The text is JSON. What JSON has no word for is a record with the one key `$`: a number
 * (`{"$":"NaN"}`, `Infinity`, `-Infinity`, `-0`), or a leaf, a tensor say, by its key among the
 * leaves and its own name (`{"$":{"tensor":"swa_state.0.swa_buffer","name":"swa_buffer"}}`). A key of
 * the tree's own that begins with `$` gets another in front.
 */
import { invalid, shown } from '../check.js';
import { visitKeys } from './json_text.js';
import type { TensorData } from './tensor_data.js';

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

/** The numbers that JSON does not have. */
const NUMBERS: Record<string, number> = { NaN, Infinity, '-Infinity': -Infinity, '-0': -0 };

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
    if (!Array.isArray(value) && isLeaf(value, label)) {
      const key = newKey(path, value.name);
      leaves.set(key, value);
      return { $: { tensor: key, name: value.name } };
    }
    const within = <T>(
      step: string | number,
      name: string,
      item: unknown,
      f: (v: unknown) => T,
    ): T => {
      path.push(step);
      const encoded = f(encode(name, item));
      path.pop();
      return encoded;
    };
    above.push(value);
    const encoded = Array.isArray(value)
      ? Array.from(value, (item, i) => within(i, `${label}[${i}]`, item, (v) => v))
      : Object.fromEntries(
          Object.entries(value).map(([key, item]) => {
            const name = child(label, key);
            const escaped = checkKey(name, key.startsWith('$') ? `$${key}` : key);
            return within(key, name, item, (v) => [escaped, v] as const);
          }),
        );
    above.pop();
    return encoded;
  };
  return { text: JSON.stringify(encode('state', state)), leaves };
}

/** Makes keys for leaves: no two alike, and good Unicode, which not all readers do without. */
function keys(): (path: readonly (string | number)[], name: string) => string {
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
function labelOf(path: readonly (string | number)[]): string {
  return path.reduce<string>((label, step) => {
    return typeof step === 'number' ? `${label}[${step}]` : child(label, step);
  }, 'state');
}

/** The path of a record's entry, as one would write it. */
export function child(label: string, key: string): string {
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
  const bad = (value: unknown, expected: string): never => invalid(labelOf(path), value, expected);
  const decode = (value: unknown): unknown => {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return bad(value, 'a number of float64');
    }
    if (typeof value !== 'object' || value === null) return value;
    if (!Array.isArray(value) && Object.hasOwn(value, '$')) {
      return special(labelOf(path), value as { $: unknown }, left);
    }
    if (path.length === MAX_DEPTH) return bad(value, `at most ${MAX_DEPTH} levels`);
    // In place, for it may be long.
    const record = value as Record<string | number, unknown>;
    const within = (key: string | number, step: string | number): void => {
      path.push(step);
      if (step !== key && !(step as string).startsWith('$')) {
        bad(key, 'a key that begins with $$');
      }
      if (step === '__proto__') bad(step, 'another name');
      record[key] = decode(record[key]);
      path.pop();
    };
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) within(i, i);
      return value;
    }
    const keys = Object.keys(record);
    for (const key of keys) within(key, key.startsWith('$') ? key.slice(1) : key);
    if (!keys.some((key) => key.startsWith('$'))) return record;
    return Object.fromEntries(keys.map((key) => [key.replace(/^\$/, ''), record[key]]));
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

/** What stands for a number that JSON does not have, or for a leaf, which is then no longer left. */
function special(
  label: string,
  record: { $: unknown },
  left: Map<string, object>,
): number | object {
  const { $: value, ...others } = record;
  if (Object.keys(others).length > 0) invalid(label, record, 'no other key beside $');
  if (typeof value === 'string' && Object.hasOwn(NUMBERS, value)) return NUMBERS[value]!;
  if (typeof value !== 'object' || value === null) {
    return invalid(label, value, `a tensor or one of ${Object.keys(NUMBERS).join(', ')}`);
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
