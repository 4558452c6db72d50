/** What a SWAG and its samples are asked for with, and what is refused. It knows nothing of weights. */
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import type { Draw } from './gaussian.js';
import { freshSeed } from './random.js';

/** Options of {@link SWAG}. */
export interface SWAGOptions {
  /**
   * How many deviations are kept at most, an integer >= 0, each as large as the weights; default 20.
   * With fewer than 2 all samples are those of SWAG-Diagonal.
   */
  maxRank?: number;
}

/** Options of {@link SWAG.sample}. */
export interface SWAGSampleOptions {
  /**
   * By how much the covariance of the run is multiplied, a number >= 0; default 0.5, as in the paper
   * (1 with `diagonal`). The higher, the wider apart are the samples.
   */
  scale?: number;
  /**
   * An integer >= 0: the same one draws the same random numbers on every backend; default: a new one
   * each time.
   */
  seed?: number;
  /** Leave out the low-rank part of the covariance: SWAG-Diagonal; default false. */
  diagonal?: boolean;
}

/** Refuses options that make no sense. */
export function checkOptions(options: SWAGOptions): Required<SWAGOptions> {
  checkKeys(options, ['maxRank']);
  const { maxRank = 20 } = options;
  return { maxRank: checkInteger('maxRank', maxRank, 0) };
}

/** Refuses options that make no sense, and completes them. */
export function checkSample(options: SWAGSampleOptions): Draw {
  checkKeys(options, ['scale', 'seed', 'diagonal']);
  const { scale = 0.5, seed = freshSeed(), diagonal = false } = options;
  checkNumber('scale', scale, 0);
  checkSeed(seed);
  if (typeof diagonal !== 'boolean') invalid('diagonal', diagonal, 'a boolean');
  return { scale, seed, diagonal };
}

/** Refuses what is no seed. */
export function checkSeed(seed: unknown): void {
  if (checkInteger('seed', seed, 0) > Number.MAX_SAFE_INTEGER) {
    invalid('seed', seed, 'an integer from 0 to 2^53 - 1');
  }
}
