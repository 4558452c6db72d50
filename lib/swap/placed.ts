/**
 * Values in place of weights and statistics, and their exchange. It knows nothing of where the values
 * come from.
 */
import * as tf from '@tensorflow/tfjs-core';
import { exchange } from '../average/exchange.js';
import { isAlive } from '../state/tensor_data.js';

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

/** Gives variables values, whose data they share; those that are gone get none. */
export function assignValues(
  variables: readonly tf.Variable[],
  values: readonly tf.Tensor[],
): void {
  variables.forEach((variable, i) => {
    if (isAlive(variable) && variable.dataId !== values[i]!.dataId) variable.assign(values[i]!);
  });
}
