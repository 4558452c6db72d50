/**
 * The options of SWA: checks when to average, and decides between automatic and manual mode. It knows
 * nothing of steps or averages.
 */
import type { AvgFn } from '../average/avg_fn.js';
import { checkNumber } from '../check.js';
import type { ParamGroupOptions } from './groups/param_groups.js';

/** What the constructor of {@link SWA} takes beside the optimizer. */
export interface SWAOptions {
  /** Steps before averaging starts, an integer >= 0. With `swaFreq`: automatic mode. */
  swaStart?: number | null;
  /** Steps between two updates of the average, an integer >= 1. */
  swaFreq?: number | null;
  /** Learning rate of every group from step `swaStart` on, >= 0; automatic mode only. */
  swaLr?: number | null;
  /** The groups; default: the variables of the first step form one. */
  paramGroups?: ParamGroupOptions[];
  /** How to average; default `swaAvgFn()`, the equal average. Its kind is part of the state. */
  avgFn?: AvgFn;
}

/** `swaStart`, `swaFreq` and `swaLr`. */
type SwaSchedule = [swaStart: number | null, swaFreq: number | null, swaLr: number | null];

/**
 * Checks the three options that say when to average, as torchcontrib does: a value that makes no
 * sense is an error, a half-given or superfluous one a warning.
 *
 * @param options `swaStart` (steps, >= 0), `swaFreq` (steps, >= 1), `swaLr` (>= 0); `null` counts
 *   as not given.
 * @returns The three, all of them `null` in manual mode; `swaLr` is so where it was not given.
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 */
export function checkSchedule(options: Pick<SWAOptions, 'swaStart' | 'swaFreq' | 'swaLr'>): {
  schedule: SwaSchedule;
  warnings: string[];
} {
  const warnings: string[] = [];
  const integer = (name: 'swaStart' | 'swaFreq', min: number): number | null => {
    const value = options[name];
    if (value == null) return null;
    const steps = checkNumber(name, value, min, `an integer >= ${min}`);
    if (!Number.isInteger(steps)) warnings.push('Casting swaStart, swaFreq to integers');
    return Math.floor(steps);
  };
  const swaStart = integer('swaStart', 0);
  const swaFreq = integer('swaFreq', 1);
  const swaLr = options.swaLr == null ? null : checkNumber('swaLr', options.swaLr, 0);
  if (swaStart !== null && swaFreq !== null) {
    return { schedule: [swaStart, swaFreq, swaLr], warnings };
  }
  const half = 'Some of swaStart, swaFreq is missing, ignoring';
  if (swaStart !== null || swaFreq !== null) warnings.push(`${half} the other`);
  if (swaLr !== null) warnings.push(`${half} swaLr`);
  return { schedule: [null, null, null], warnings };
}
