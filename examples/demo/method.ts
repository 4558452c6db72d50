/** The ways to average that the demo knows, and their names. It knows nothing of how they are run. */

/** All that `--method` takes. */
export const METHODS = ['swa', 'ema', 'cyclic'] as const;

/**
 * `swa`: the constant rate and the equal average, once an epoch; `ema`: the constant rate and the
 * exponential moving average, at every step; `cyclic`: the paper's cyclic rate and the equal
 * average where a cycle ends.
 */
export type Method = (typeof METHODS)[number];

/** What people call a method and its parts; the table's column has room for 35 characters. */
export interface Names {
  /** The method's average, in a sentence. */
  average: string;
  /** The same in the table. */
  short: string;
  /** How the table names the statistics that the last iterate had. */
  oldStatistics: string;
  /** The other average of the same run, in the table. */
  other: string;
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
    other: 'EMA',
    rate: 'constant',
    difference: 'SWA after bnUpdate - SGD with decay',
  },
  ema: {
    average: 'EMA',
    short: 'EMA',
    oldStatistics: "last iterate's BN statistics",
    other: 'SWA',
    rate: 'constant',
    difference: 'EMA after bnUpdate - SGD with decay',
  },
  cyclic: {
    average: 'SWA at a cyclic rate',
    short: 'SWA at cyclic rate',
    oldStatistics: 'last BN stats',
    other: 'EMA at cyclic rate',
    rate: 'cyclic',
    difference: 'SWA at cyclic rate - SGD with decay',
  },
};
