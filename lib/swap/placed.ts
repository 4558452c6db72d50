/**
 * Values in place of weights and statistics, and their exchange. It knows nothing of where the values
 * come from.
 */
import * as tf from '@tensorflow/tfjs-core';
import { startAverage } from '../average/average.js';
import { exchange } from '../average/exchange.js';
import type { NamedVariable } from '../model/model_or_list.js';
import type { PlacedState } from '../state/placed_state.js';
import { hostData, isAlive, type TensorData } from '../state/tensor_data.js';
import type { TrainedWeights } from './trained_weights.js';

export class Placed {
  /**
   * @param variables The weights, then the statistics.
   * @param buffers Of each the value to swap in, or while `swapped` the value of its own; taken over.
   * @param swapped Whether the variables hold the values.
   */
  constructor(
    readonly variables: readonly tf.Variable[],
    readonly buffers: readonly tf.Variable[],
    public swapped: boolean,
  ) {}

  /** Exchanges the variables and the buffers; a variable that is gone keeps its place empty. */
  swap(): void {
    this.variables.forEach((variable, i) => {
      if (isAlive(variable)) exchange(variable, this.buffers[i]!);
    });
    this.swapped = !this.swapped;
  }

  dispose(): void {
    tf.dispose([...this.buffers]);
  }
}

/**
 * Puts values in place of the weights, and of what was put there before; the statistics are those of
 * training.
 *
 * @param before What was put in place before; used or disposed of.
 */
export function placeValues(
  { variables, all }: TrainedWeights,
  values: readonly tf.Tensor[],
  before: Placed | null,
): Placed {
  let placed = before;
  if (!placed?.swapped) {
    placed?.dispose();
    placed = new Placed(all, all.map(startAverage), true);
  }
  assignValues(all, [...values, ...placed.buffers.slice(variables.length)]);
  return placed;
}

/** Gives variables values, whose data they share; those that are gone get none. */
export function assignValues(
  variables: readonly tf.Variable[],
  values: readonly tf.Tensor[],
): void {
  variables.forEach((variable, i) => {
    if (isAlive(variable) && variable.dataId !== values[i]!.dataId) variable.assign(values[i]!);
  });
}

/** What was put in place as plain data; copies, of the moment of the call. */
export async function readPlaced(
  { averaged, statistics }: TrainedWeights,
  { swapped, buffers }: Placed,
): Promise<PlacedState> {
  const [weights, others] = await Promise.all([
    readValues(averaged, buffers.slice(0, averaged.length)),
    readValues(statistics, buffers.slice(averaged.length)),
  ]);
  return { swapped, weights, statistics: others };
}

/** Values by the names of what they are of; copies, of the moment of the call. */
export function readValues(
  named: readonly NamedVariable[],
  values: readonly tf.Tensor[],
): Promise<TensorData[]> {
  return Promise.all(values.map((value, i) => hostData(named[i]!.name, value)));
}
