/**
 * Checks of arguments, and the words for what is wrong with one. It knows nothing of optimizers or
 * tensors.
 */

/** Raises `Invalid swaFreq: 0 (expected an integer >= 1)` for the option called `name`. */
export function invalid(name: string, value: unknown, expected: string): never {
  throw new Error(`Invalid ${name}: ${shown(value)} (expected ${expected})`);
}

/** A value in an error message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (Object(value) !== value) return String(value);
  const name = (value as object).constructor?.name;
  return name === 'Object' ? 'an object' : `an instance of ${name}`;
}

/** Passes on a finite number that is at least `min`, and refuses anything else. */
export function checkNumber(
  name: string,
  value: unknown,
  min: number,
  expected = `a finite number >= ${min}`,
): number {
  // isFinite, as isInteger below, is false for all that is no number.
  const fits = Number.isFinite(value) && (value as number) >= min;
  return fits ? (value as number) : invalid(name, value, expected);
}

/** Passes on an integer that is at least `min`, and refuses anything else. */
export function checkInteger(name: string, value: unknown, min: number, why = ''): number {
  const fits = Number.isInteger(value) && (value as number) >= min;
  return fits ? (value as number) : invalid(name, value, `an integer >= ${min}${why}`);
}

/** Whether a value is an integer >= 0. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Refuses options that are no record, and one that is not among the known ones. */
export function checkKeys(
  options: unknown,
  known: readonly string[],
  what = 'option',
): asserts options is object {
  if (typeof options !== 'object' || options === null) invalid('options', options, 'an object');
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new Error(`Unknown ${what} ${key} (known ones: ${known.join(', ')})`);
  }
}
