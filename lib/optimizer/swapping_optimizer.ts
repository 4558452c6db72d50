/**
 * A wrapper that can put other values, its averages, into the variables and the weights back: by hand
 * or in a scope. It does not know what the values are, or how they come about.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkNotHeld } from '../average/exchange.js';
import { GroupedOptimizer } from './grouped_optimizer.js';
import { Scope } from './scope.js';

export abstract class SwappingOptimizer extends GroupedOptimizer {
  private readonly scope = new Scope({
    swapped: () => this.swapped,
    params: () => this.groups.params,
    swapIn: () => {
      const left = this.swapByHand();
      if (left.length > 0) this.warnOfLeft(left);
    },
    swapBack: () => {
      this.groups.dropDisposed();
      this.swapGroups(true);
    },
    end: () => {
      if (this.isDisposed) super.free();
    },
  });

  /**
   * Puts the averages of the groups in place, or with `back` the weights of those that are swapped,
   * which never fails.
   *
   * @returns The parameters that have no average.
   * @internal
   */
  protected abstract swapGroups(back: boolean): tf.Variable[];

  /** Tells the user which parameters a scope leaves as they are. @internal */
  protected warnOfLeft(_left: readonly tf.Variable[]): void {
    // Where weights without an average are their own, there is nothing to tell.
  }

  /**
   * Swaps by hand, and is its own inverse.
   *
   * @returns The parameters that have no average to swap in.
   * @throws Error if averages were loaded whose variables are not known yet, or if another wrapper
   *   has swapped its averages into one of the variables.
   * @internal
   */
  protected swapByHand(): tf.Variable[] {
    this.checkUsable();
    this.groups.checkFound();
    const { swapped } = this;
    if (!swapped) checkNotHeld(this.groups.params, 'swap', this.owner);
    return this.swapGroups(swapped);
  }

  /** Runs `f` on the averages, and swaps back whatever happens. @internal */
  protected runSwapped<T>(f: () => T | Promise<T>): Promise<T> {
    return this.scope.run(f);
  }

  protected override free(): void {
    // The weights come back first.
    if (!this.scope.active) super.free();
  }

  protected override checkUsableForLoad(): void {
    this.checkUsable();
    if (!this.scope.active) return;
    throw new Error(`Cannot load a state inside ${this.owner.keeps.scopeMethod}`);
  }
}
