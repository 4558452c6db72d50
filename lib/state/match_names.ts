/**
 * The rule by which saved things find those of now: by their names, where names say enough, else by
 * position. It knows nothing of what is named.
 */

/** Whether tfjs itself made up a variable's name, by counting: such names mean nothing. */
export function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}

/**
 * A name without the number that tfjs-layers puts after one that was taken (tfjs-layers 4.22,
 * common.ts, `getUniqueTensorName`): a model that is loaded beside the one that was saved has
 * `dense/kernel_1`.
 */
export function stem(name: string): string {
  return name.replace(/_\d+$/, '');
}

/** What of a name has to be equal: all of it, or else, where that is enough, its stem. */
export const NAME_KEYS: readonly ((name: string) => string)[] = [(name) => name, stem];

/**
 * Where each of `names` stands among the saved names, if all of both are the same, or their stems are,
 * and none is a number of tfjs's own; `null` where positions have to decide.
 */
export function matchNames(names: readonly string[], saved: readonly string[]): number[] | null {
  if (names.length !== saved.length || [...names, ...saved].some(isNumber)) return null;
  for (const keyOf of NAME_KEYS) {
    const keys = saved.map(keyOf);
    const places = names.map((name) => keys.indexOf(keyOf(name)));
    if (!places.includes(-1) && new Set(places).size === places.length) return places;
  }
  return null;
}
