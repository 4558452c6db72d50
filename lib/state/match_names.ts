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

/** Which parameter is which, and what `checkFit` is to compare. */
export interface GroupMatch {
  /** For each group where its parameters stand in the saved one; `null` where that has not as many. */
  readonly orders: (number[] | null)[];
  readonly wanted: Map<string, string>;
  readonly found: Map<string, string>;
}

/**
 * Matches group by group: by name where all names of a group match and are more than tfjs's own
 * numbers, else by position where there are as many.
 *
 * @param ours The names of the parameters of each group.
 * @param saved The same of the state.
 */
export function matchGroups(
  ours: readonly (readonly string[])[],
  saved: readonly (readonly string[])[],
): GroupMatch {
  const wanted = new Map<string, string>();
  const found = new Map<string, string>();
  const list = (names: readonly string[] = [], parts: Map<string, string>): void => {
    for (const name of names) parts.set(name, '');
  };
  // Positions would mix up what the names tell apart, if they stood in other groups.
  const [own, other] = [groupsOf(ours), groupsOf(saved)];
  const names = [...own.keys()];
  if (own.size === other.size && names.every((name) => other.has(name) && !isNumber(name))) {
    for (const name of names) {
      wanted.set(`group of ${name}`, String(own.get(name)));
      found.set(`group of ${name}`, String(other.get(name)));
    }
  }
  const orders = ours.map((group, g) => {
    const others = saved[g];
    if (others?.length === group.length) return matchNames(group, others) ?? [...others.keys()];
    list(group, wanted);
    list(others, found);
    return null;
  });
  for (const group of saved.slice(ours.length)) list(group, found);
  const differ = [...wanted, ...found].some(([name]) => wanted.get(name) !== found.get(name));
  if (!differ) {
    // The names are the same, for they say nothing: tfjs's own numbers.
    orders.forEach((order, g) => {
      if (order) return;
      wanted.set(`number of parameters of group ${g}`, String(ours[g]!.length));
      found.set(`number of parameters of group ${g}`, String(saved[g]?.length ?? 0));
    });
  }
  return { orders, wanted, found };
}

/** The group of each name. */
function groupsOf(groups: readonly (readonly string[])[]): Map<string, number> {
  return new Map(groups.flatMap((names, g) => names.map((name) => [name, g] as const)));
}
