/**
 * The state of a WeightHistory: how it is read, fitted to weights and made anew. It changes nothing,
 * and knows nothing of when segments are made.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { startAverage } from '../average/average.js';
import { checkKeys, invalid } from '../check.js';
import type { NamedVariable } from '../model/model_or_list.js';
import { matchByName, matchByRule, type LoadReport } from '../state/match_tensors.js';
import { toVariable, type TensorData } from '../state/tensor_data.js';
import {
  checkHistoryState,
  type ChosenState,
  type SegmentState,
  type WeightHistoryState,
} from '../state/weight_history_state.js';
import { readPlaced, readValues } from '../swap/placed.js';
import type { TrainedWeights } from '../swap/trained_weights.js';
import { Chosen } from './chosen.js';
import type { Segment } from './segments.js';

/** How a state is loaded. */
export interface HistoryLoadOptions {
  /** false: take what fits by name alone, and report the rest; default true. */
  strict?: boolean;
}

/** A state that fits. */
export interface Plan {
  /** Whether the variables hold what was chosen. */
  swapped: boolean;
  report: LoadReport;
  /** Makes the segments of it and what was chosen. */
  make: () => { segments: Segment[]; open: boolean; chosen: Chosen | null };
}

/** What a state gives each weight; `undefined` where it has nothing for one. */
type Fitted = (TensorData | undefined)[];

/** The state at the moment of the call; copies. */
export async function readState(
  weights: TrainedWeights,
  segments: readonly Segment[],
  open: boolean,
  chosen: Chosen | null,
): Promise<WeightHistoryState> {
  const readSegment = async ({ count, averages, late }: Segment): Promise<SegmentState> => {
    const rest = late && { late: [...late] };
    return { count, weights: await readValues(weights.averaged, averages), ...rest };
  };
  const readChosen = async (placed: Chosen): Promise<ChosenState> => {
    return { ...placed.score, ...(await readPlaced(weights, placed)) };
  };
  const [parts, choice] = await Promise.all([
    Promise.all(segments.map(readSegment)),
    chosen && readChosen(chosen),
  ]);
  return { segments: parts, open, chosen: choice };
}

/**
 * Fits a state to weights.
 *
 * @throws Error that says what is wrong with the state or the options, or lists what does not fit.
 */
export function planLoad(
  weights: TrainedWeights,
  state: WeightHistoryState,
  options: HistoryLoadOptions,
): Plan {
  checkKeys(options, ['strict']);
  const { strict = true } = options;
  if (typeof strict !== 'boolean') invalid('strict', strict, 'a boolean');
  checkHistoryState(state);
  const { averaged, statistics } = weights;
  const reports: LoadReport[] = [];
  const fit = (wanted: readonly NamedVariable[], given: TensorData[]): Fitted => {
    if (strict) return matchByRule(wanted, given);
    const { matched, report } = matchByName(wanted, given);
    reports.push(report);
    return matched;
  };
  const segments = state.segments.map(({ count, late, weights: given }) => {
    const fitted = fit(averaged, given);
    const lateOf = (data: TensorData | undefined): number =>
      data ? (late?.[given.indexOf(data)] ?? 0) : count;
    const lates = fitted.map(lateOf);
    return { count, fitted, late: lates.some((n) => n > 0) ? lates : null };
  });
  const { open, chosen } = state;
  const values = chosen && [
    ...fit(averaged, chosen.weights),
    ...fit(statistics, chosen.statistics),
  ];
  const score = chosen && { window: chosen.window, count: chosen.count, score: chosen.score };
  const swapped = chosen?.swapped ?? false;
  return {
    swapped,
    report: {
      missing: union(reports.map(({ missing }) => missing)),
      unexpected: union(reports.map(({ unexpected }) => unexpected)),
      mismatched: union(reports.map(({ mismatched }) => mismatched)),
    },
    make: () => ({
      segments: segments.map(({ count, late, fitted }) => {
        return { count, late, averages: toVariables(fitted, weights.variables) };
      }),
      open,
      chosen: score && new Chosen(score, weights.all, toVariables(values!, weights.all), swapped),
    }),
  };
}

/** Variables of saved values; what has none shares the data of the weight itself. */
function toVariables(values: Fitted, weights: readonly tf.Variable[]): tf.Variable[] {
  return values.map((data, i) => (data ? toVariable(data) : startAverage(weights[i]!)));
}

function union(lists: string[][]): string[] {
  return [...new Set(lists.flat())];
}
