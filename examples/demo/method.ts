/** The ways to average that the demo knows, and their names. It knows nothing of how they are run. */

/** All that `--method` takes. */
export const METHODS = ['swa', 'ema', 'cyclic'] as const;

/**
 * `swa`: the constant rate and the equal average of every step, from a start that is chosen when
 * training is over; `ema`: the constant rate and the exponential moving average, at every step of
 * the second half; `cyclic`: the paper's cyclic rate and the equal average where a cycle ends.
 */
export type Method = (typeof METHODS)[number];

/**
 * The averages of a run: from the chosen start; over the second half, the method's and the other one
 * of SWA's and EMA's.
 */
export type AverageName = 'chosen' | 'overHalf' | 'other';

/** What people call a method and its parts; the table's column has room for 35 characters. */
export interface Names {
  /** The method's average, in a sentence. */
  average: string;
  /** The same in the table. */
  short: string;
  /** How the table names the statistics that the last iterate had. */
  oldStatistics: string;
  /** The average over the second half of the run, in the pictures. */
  overHalf: string;
  /** The other averages of the same run in the table: two of three. */
  others: Partial<Record<AverageName, string>>;
  /** The learning rate of the run that is averaged. */
  rate: 'constant' | 'cyclic';
  /** The labels of the table's difference, both after bnUpdate. */
  difference: string;
}

export const NAMES: Record<Method, Names> = {
  swa: {
    average: 'SWA',
    short: 'SWA',
    oldStatistics: "last iterate's BN statistics",
    overHalf: 'SWA, once an epoch',
    others: { overHalf: 'SWA, once an epoch, second half', other: 'EMA after bnUpdate' },
    rate: 'constant',
    difference: 'SWA after bnUpdate - SGD with decay',
  },
  ema: {
    average: 'EMA',
    short: 'EMA',
    oldStatistics: "last iterate's BN statistics",
    overHalf: 'EMA',
    others: {
      chosen: 'SWA, every step, start chosen',
      other: 'SWA, once an epoch, second half',
    },
    rate: 'constant',
    difference: 'EMA after bnUpdate - SGD with decay',
  },
  cyclic: {
    average: 'SWA at a cyclic rate',
    short: 'SWA at cyclic rate',
    oldStatistics: 'last BN stats',
    overHalf: 'SWA, where a cycle ends',
    others: {
      chosen: 'SWA, every step, start chosen',
      other: 'EMA at cyclic rate after bnUpdate',
    },
    rate: 'cyclic',
    difference: 'SWA at cyclic rate - SGD with decay',
  },
};
