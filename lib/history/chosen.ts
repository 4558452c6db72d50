/**
 * The average that was chosen, and its exchange with the weights. It knows nothing of how it was
 * chosen.
 */
import * as tf from '@tensorflow/tfjs-core';
import { exchange } from '../average/exchange.js';
import { isAlive } from '../state/tensor_data.js';
import type { WindowScore } from '../state/weight_history_state.js';

export class Chosen {
  /**
   * @param score What was chosen.
   * @param variables The weights, then the statistics.
   * @param buffers Of each the chosen value, or while `swapped` the value of its own; taken over.
   * @param swapped Whether the variables hold what was chosen.
   */
  constructor(
    readonly score: WindowScore,
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
