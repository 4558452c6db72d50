/**
 * A wrapper that can put other values, its averages, into the variables and the weights back: by hand
 * or in a scope. It does not know what the values are, or how they come about.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkNotHeld } from '../average/exchange.js';
import { recordStatistics } from '../batchnorm/statistics.js';
import { GroupedOptimizer } from './grouped_optimizer.js';

export abstract class SwappingOptimizer extends GroupedOptimizer {
  /** How many scopes run on the averages that the first of them swapped in. */
  private scopes = 0;
  private restoreStatistics: () => void = () => {};

  /**
   * Puts the averages of the groups in place, or with `back` the weights of those that are swapped,
   * which never fails.
   *
   * @returns The parameters that have no average.
   */
  protected abstract swapGroups(back: boolean): tf.Variable[];

  /** Tells the user which parameters a scope leaves as they are. */
  protected warnOfLeft(_left: readonly tf.Variable[]): void {
    // Where weights without an average are their own, there is nothing to tell.
  }

  /**
   * Swaps by hand, and is its own inverse.
   *
   * @returns The parameters that have no average to swap in.
   * @throws Error if averages were loaded whose variables are not known yet, or if another wrapper
   *   has swapped its averages into one of the variables.
   */
  protected swapByHand(): tf.Variable[] {
    this.checkUsable();
    this.groups.checkFound();
    const { swapped } = this;
    if (!swapped) checkNotHeld(this.groups.params, 'swap', this.owner);
    return this.swapGroups(swapped);
  }

  /**
   * Runs `f` on the averages, and swaps back at the end of the last of several that overlap:
   * variables, and the statistics of batch normalization that were re-estimated meanwhile. After a
   * swap by hand it leaves all as it is.
   */
  protected async runSwapped<T>(f: () => T | Promise<T>): Promise<T> {
    if (this.scopes === 0 && this.swapped) return f();
    if (!this.swapped) {
      const left = this.swapByHand();
      if (left.length > 0) this.warnOfLeft(left);
    }
    if (this.scopes === 0) {
      const { params } = this.groups;
      this.restoreStatistics = recordStatistics((variables) =>
        params.some((param) => variables.has(param)),
      );
    }
    this.scopes += 1;
    try {
      return await f();
    } finally {
      this.scopes -= 1;
      if (this.scopes === 0) this.endScopes();
    }
  }

  private endScopes(): void {
    if (this.swapped) {
      this.groups.dropDisposed();
      this.swapGroups(true);
    }
    this.restoreStatistics();
    if (this.isDisposed) this.free();
  }

  protected override free(): void {
    // The weights come back first.
    if (this.scopes === 0) super.free();
  }

  protected override checkUsableForLoad(): void {
    this.checkUsable();
    if (this.scopes === 0) return;
    throw new Error(`Cannot load a state inside ${this.owner.keeps.scopeMethod}`);
  }
}
