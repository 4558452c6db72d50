/**
 * The rule by which lists of tensors are matched: by name, else by position. It knows nothing of
 * models or optimizers.
 */
import { checkFit } from './check_parts.js';
import { isNumber } from './match_names.js';
import { kindOf } from './tensor_data.js';

/** What tensors are matched by. */
export interface Described {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** What a match by name alone leaves over. */
export interface LoadReport {
  /** Wanted, and not there under a name that tells what it is. */
  missing: string[];
  /** There, and not wanted. */
  unexpected: string[];
  /** There, of another shape or dtype. */
  mismatched: string[];
}

/**
 * Finds for each wanted tensor its counterpart: by name where all names are found (the k-th of a
 * name for the k-th) and are more than tfjs's own numbers; else by position where the number, shapes
 * and dtypes agree.
 *
 * @throws Error that lists what is missing, unexpected and of the wrong shape.
 */
export function matchByRule<T extends Described>(
  wanted: readonly Described[],
  given: readonly T[],
): T[] {
  const [names, others] = [namesOf(wanted), namesOf(given)];
  const places = new Map(others.map((name, i) => [name, i]));
  const byName = names.every((name) => !isNumber(name) && places.has(name));
  const byPosition = !byName && wanted.length === given.length;
  const kinds = (keys: readonly string[], described: readonly Described[]) =>
    new Map(described.map((tensor, i) => [keys[i]!, kindOf(tensor)]));
  checkFit(
    'The weights do not fit',
    kinds(names, wanted),
    kinds(byPosition ? names : others, given),
  );
  return byPosition ? [...given] : names.map((name) => given[places.get(name)!]!);
}

/** Of a match that leaves nothing over. */
export const nothingLeft = (): LoadReport => ({ missing: [], unexpected: [], mismatched: [] });

/** The same by name alone: what fits, `undefined` where nothing does, and what is left over. */
export function matchByName<T extends Described>(
  wanted: readonly Described[],
  given: readonly T[],
): { matched: (T | undefined)[]; report: LoadReport } {
  const [names, others] = [namesOf(wanted), namesOf(given)];
  const places = new Map(others.flatMap((name, i) => (!isNumber(name) ? [[name, i]] : [])));
  const report = nothingLeft();
  const matched = wanted.map((tensor, i) => {
    const name = names[i]!;
    const place = places.get(name);
    if (place === undefined) report.missing.push(name);
    else if (kindOf(given[place]!) !== kindOf(tensor)) report.mismatched.push(name);
    else return given[place];
    return undefined;
  });
  report.unexpected = others.filter((name) => isNumber(name) || !names.includes(name));
  return { matched, report };
}

function namesOf(described: readonly Described[]): string[] {
  return uniqueNames(described.map(({ name }) => name));
}

/** The names, numbered where one is repeated: `kernel`, `kernel (2)`. */
export function uniqueNames(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}
