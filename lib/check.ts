/**
 * The door of `SWA`: checks `swaStart`, `swaFreq` and `swaLr` and decides between automatic and
 * manual mode. It knows nothing of optimizers or tensors.
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

/**
 * Checks the three options that say when to average, as torchcontrib does: a value that makes no
 * sense is an error, a half-given or superfluous one a warning.
 *
 * @param options `swaStart` (steps, >= 0), `swaFreq` (steps, >= 1), `swaLr` (>= 0); `null` counts
 *   as not given.
 * @param warn Receives each warning.
 * @returns The three, all of them `null` in manual mode; `swaLr` is so where it was not given.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 */
export function checkSchedule(
  options: {
    swaStart?: number | null | undefined;
    swaFreq?: number | null | undefined;
    swaLr?: number | null | undefined;
  },
  warn: (message: string) => void,
): [swaStart: number | null, swaFreq: number | null, swaLr: number | null] {
  const integer = (name: 'swaStart' | 'swaFreq', min: number): number | null => {
    const value = options[name];
    if (value == null) return null;
    const steps = checkNumber(name, value, min, `an integer >= ${min}`);
    if (!Number.isInteger(steps)) warn('Casting swaStart, swaFreq to integers');
    return Math.floor(steps);
  };
  const swaStart = integer('swaStart', 0);
  const swaFreq = integer('swaFreq', 1);
  const swaLr = options.swaLr == null ? null : checkNumber('swaLr', options.swaLr, 0);
  if (swaStart !== null && swaFreq !== null) return [swaStart, swaFreq, swaLr];

  const half = 'Some of swaStart, swaFreq is missing, ignoring';
  if (swaStart !== null || swaFreq !== null) warn(`${half} the other`);
  if (swaLr !== null) warn(`${half} swaLr`);
  return [null, null, null];
}
