/**
 * The state of an AveragedModel as plain data: what it is, how it is checked, and how it fits a list
 * of weights. It knows nothing of models.
 */
import { checkKeys, invalid, isCount } from '../check.js';
import {
  matchByName,
  matchByRule,
  nothingLeft,
  type Described,
  type LoadReport,
} from '../state/match_tensors.js';
import { checkTensorList, type TensorData } from '../state/tensor_data.js';

/** The state of an {@link AveragedModel} as plain data. */
export interface AveragedModelStateDict {
  /** How many values the averages hold. */
  n_averaged: number;
  /** How they are averaged: `swa`, `ema(decay 0.99)`, `own` for a function of the caller's. */
  avg_fn: string;
  /** Every weight of the averaged model, by the path of its layer or the variable's name. */
  module: TensorData[];
  /**
   * Of each weight after how many updates its average begins, where not all began with the first:
   * those that a load with `strict: false` found no entry for.
   */
  starts?: number[];
}

/** How a state is loaded. */
export interface AveragedModelLoadOptions {
  /** 'keep': load the state of another averaging function, and go on with one's own. */
  avgFn?: 'keep';
  /** false: take what fits by name alone, and report the rest; default true. */
  strict?: boolean;
}

/** What a state gives a weight. */
export interface LoadedWeight {
  /** Its value; `undefined`: the one that it has. */
  data: TensorData | undefined;
  /** After how many updates its average begins. */
  start: number;
}

/**
 * Fits a state to weights, without changing anything.
 *
 * @param avgFn The kind of their averaging function.
 * @throws Error that says what is wrong with the state or the options, or lists what does not fit.
 */
export function fitState(
  weights: readonly Described[],
  avgFn: string,
  state: AveragedModelStateDict,
  options: AveragedModelLoadOptions,
): { loaded: LoadedWeight[]; report: LoadReport } {
  checkKeys(options, ['avgFn', 'strict']);
  const { strict = true, avgFn: keep } = options;
  if (typeof strict !== 'boolean') invalid('strict', strict, 'a boolean');
  if (keep !== undefined && keep !== 'keep') invalid('avgFn', keep, "'keep' or nothing");
  checkAveragedState(state);
  if (keep === undefined && state.avg_fn !== avgFn) {
    throw new Error(
      `The state was averaged with ${state.avg_fn}, this AveragedModel averages with ${avgFn}; ` +
        "to take it over all the same, load it with {avgFn: 'keep'}",
    );
  }
  const { matched, report } = strict
    ? {
        matched: matchByRule(weights, state.module),
        report: nothingLeft(),
      }
    : matchByName(weights, state.module);
  const starts = new Map(state.module.map((entry, i) => [entry, state.starts?.[i] ?? 0]));
  const loaded = matched.map((data) => ({
    data,
    start: data ? starts.get(data)! : state.n_averaged,
  }));
  return { loaded, report };
}

/**
 * Checks that a value is such a state in itself.
 *
 * @throws Error `Invalid state.PART: VALUE (expected ...)`.
 */
export function checkAveragedState(state: unknown): asserts state is AveragedModelStateDict {
  const { n_averaged, avg_fn, module, starts } = (state ?? {}) as Partial<AveragedModelStateDict>;
  if (!isCount(n_averaged)) return invalid('state.n_averaged', n_averaged, 'an integer >= 0');
  checkTensorList('state.module', module);
  if (typeof avg_fn !== 'string') invalid('state.avg_fn', avg_fn, 'a string');
  if (starts === undefined) return;
  const fits = (start: unknown) => isCount(start) && start <= n_averaged;
  if (!Array.isArray(starts) || starts.length !== module.length || !starts.every(fits)) {
    invalid('state.starts', starts, 'for each weight an integer from 0 to n_averaged');
  }
}
