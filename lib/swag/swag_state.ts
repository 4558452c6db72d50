/**
 * The state of a SWAG as plain data: how it is read, checked, fitted to weights and made anew. It
 * changes nothing.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, invalid, isCount } from '../check.js';
import { matchByRule } from '../state/match_tensors.js';
import { checkPlacedState, type PlacedState } from '../state/placed_state.js';
import { checkTensorList, toTensor, toVariable, type TensorData } from '../state/tensor_data.js';
import { Placed, readPlaced, readValues } from '../swap/placed.js';
import type { TrainedWeights } from '../swap/trained_weights.js';
import type { Gaussian } from './gaussian.js';
import { Moments } from './moments.js';

/** The state of a {@link SWAG} as plain data; weights by the path of their layer, or their name. */
export interface SWAGStateDict {
  /** How many updates it holds. */
  count: number;
  /** How many deviations are kept at most. */
  max_rank: number;
  /** The mean of each weight; none before the first update. */
  mean: TensorData[];
  /** Of each weight the sum of the squared deviations from the mean; the variance is `m2 / count`. */
  m2: TensorData[];
  /** The columns of D, oldest first: of each weight its value less the mean after the update. */
  deviations: TensorData[][];
  /** What mean() or sample() has put in place, until the next update; else `null`. */
  placed: PlacedState | null;
}

/** A state that fits. */
export interface SWAGPlan {
  /** Whether the model holds what was put in place. */
  swapped: boolean;
  /** Makes the parts of it. */
  make: () => { moments: Moments | null; deviations: tf.Tensor[][]; placed: Placed | null };
}

/** The state at the moment of the call; copies. */
export async function readState(
  weights: TrainedWeights,
  { count, maxRank, moments, deviations }: Gaussian,
  placed: Placed | null,
): Promise<SWAGStateDict> {
  const read = (values: readonly tf.Tensor[] = []) => readValues(weights.averaged, values);
  const [mean, m2, columns, held] = await Promise.all([
    read(moments?.means),
    read(moments?.m2),
    Promise.all(deviations.map((column) => read(column))),
    placed && readPlaced(weights, placed),
  ]);
  return { count, max_rank: maxRank, mean, m2, deviations: columns, placed: held };
}

/**
 * Fits a state to weights.
 *
 * @throws Error that says what is wrong with the state, or lists what does not fit.
 */
export function planLoad(weights: TrainedWeights, state: SWAGStateDict): SWAGPlan {
  checkState(state);
  const { averaged, statistics, all } = weights;
  const { count, placed } = state;
  const fit = (given: TensorData[]): TensorData[] => matchByRule(averaged, given);
  const [means, m2] = count > 0 ? [fit(state.mean), fit(state.m2)] : [[], []];
  const deviations = state.deviations.map(fit);
  const held = placed && [...fit(placed.weights), ...matchByRule(statistics, placed.statistics)];
  const swapped = placed?.swapped ?? false;
  return {
    swapped,
    make: () => ({
      moments: count > 0 ? new Moments(count, means.map(toVariable), m2.map(toVariable)) : null,
      deviations: deviations.map((column) => column.map((data) => tf.keep(toTensor(data)))),
      placed: held && new Placed(all, held.map(toVariable), swapped),
    }),
  };
}

/** @throws Error that says what is wrong with a value that should be a state. */
export function checkState(state: unknown, label = 'state'): asserts state is SWAGStateDict {
  const { count, max_rank, mean, m2, deviations, placed } = Object(state) as Partial<SWAGStateDict>;
  if (!isCount(count)) return invalid(`${label}.count`, count, 'an integer >= 0');
  checkInteger(`${label}.max_rank`, max_rank, 0);
  for (const [key, list] of Object.entries({ mean, m2 })) {
    checkTensorList(`${label}.${key}`, list);
    if (count === 0 && list.length > 0) invalid(`${label}.${key}`, list, 'an empty list');
  }
  const most = Math.min(count, max_rank!);
  if (!Array.isArray(deviations) || deviations.length > most) {
    return invalid(`${label}.deviations`, deviations, `a list of at most ${most}`);
  }
  deviations.forEach((column, k) => checkTensorList(`${label}.deviations[${k}]`, column));
  if (placed === null) return;
  checkPlacedState(`${label}.placed`, placed);
}
