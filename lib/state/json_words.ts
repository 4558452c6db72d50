/**
 * The one encoding of a state, in checkpoints and in what tfjs saves with a model: JSON, and words for
 * what that has none for. It knows nothing of tensors or of what a sound state is.
 *
 * Such a word is a record with the one key `$`: a number (`{"$":"NaN"}`, `Infinity`, `-Infinity`,
 * `-0`), or a leaf, a tensor say, by its key among the leaves and its own name
 * (`{"$":{"tensor":"swa_state.0.swa_buffer","name":"swa_buffer"}}`). A key of the state's own that
 * begins with `$` gets another in front.
 */

/** What stands for a leaf. */
export interface StandIn {
  /** Its key among the leaves. */
  readonly tensor: string;
  /** Its own name. */
  readonly name: string;
}

/** The numbers that JSON does not have, by what stands for them. */
export const NUMBERS = /* @__PURE__ */ new Map<unknown, number>(
  ['NaN', 'Infinity', '-Infinity', '-0'].map((name) => [name, Number(name)]),
);

/** What a value is written as; what is in it is not looked at, as in a replacer of `JSON.stringify`. */
export function toWord(value: unknown, leaf?: StandIn): unknown {
  if (leaf) return { $: leaf };
  if (typeof value !== 'number') return renamed(value, (key) => `$${key}`);
  const name = Object.is(value, -0) ? '-0' : String(value);
  return NUMBERS.has(name) ? { $: name } : value;
}

/**
 * The value that was written so; what is in it has been read, as in a reviver of `JSON.parse`.
 *
 * @param leafOf The leaf that something stands for, or an Error where that is nothing.
 */
export function fromWord(value: unknown, leafOf: (standIn: unknown) => unknown): unknown {
  const { $: word } = Object(value) as { $?: unknown };
  if (word !== undefined) return NUMBERS.get(word) ?? leafOf(word);
  return renamed(value, (key) => key.slice(1));
}

/** A record with other names for the keys that begin with `$`; all else as it is. */
function renamed(value: unknown, rename: (key: string) => string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  if (!keys.some((key) => key.startsWith('$'))) return value;
  const record = value as Record<string, unknown>;
  return Object.fromEntries(
    keys.map((key) => [key.startsWith('$') ? rename(key) : key, record[key]]),
  );
}
