/**
 * Scopes in which variables hold other values for a while, and come back whatever happens. It knows
 * nothing of what the values are.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { recordStatistics } from '../batchnorm/statistics.js';

/** How a wrapper swaps. */
export interface Swaps {
  /** Whether the other values are in place. */
  swapped: () => boolean;
  /** The variables. */
  params: () => readonly tf.Variable[];
  /** Puts the other values in place, if there are any. */
  swapIn: () => void;
  /** Puts the weights back; never fails. */
  swapBack: () => void;
  /** Called when the last scope has ended. */
  end: () => void;
}

export class Scope {
  /** How many run on the values that the first of them swapped in. */
  private running = 0;
  private restoreStatistics: () => void = () => {};

  constructor(private readonly swaps: Swaps) {}

  /** Whether one runs. */
  get active(): boolean {
    return this.running > 0;
  }

  /**
   * Runs `f` on the other values, and swaps back at the end of the last of several that overlap:
   * variables, and the statistics of batch normalization that were re-estimated meanwhile. After a
   * swap by hand it leaves all as it is.
   */
  async run<T>(f: () => T | Promise<T>): Promise<T> {
    const { swaps } = this;
    if (!this.active && swaps.swapped()) return f();
    if (!swaps.swapped()) swaps.swapIn();
    if (!this.active) {
      const params = swaps.params();
      this.restoreStatistics = recordStatistics((variables) =>
        params.some((param) => variables.has(param)),
      );
    }
    this.running += 1;
    try {
      return await f();
    } finally {
      this.running -= 1;
      if (!this.active) this.end();
    }
  }

  private end(): void {
    if (this.swaps.swapped()) this.swaps.swapBack();
    this.restoreStatistics();
    this.swaps.end();
  }
}
