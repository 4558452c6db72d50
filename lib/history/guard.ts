/**
 * What a WeightHistory refuses, and why: it is disposed, in the middle of a choice or swapped, or its
 * weights are gone or another's. It knows nothing of segments.
 */
import { checkNotHeld, setHolder } from '../average/exchange.js';
import type { HistoryWeights } from './weights.js';

export class Guard {
  /** In the middle of a choice. */
  choosing = false;
  disposed = false;

  /** @param isSwapped Whether the weights are those of a choice. */
  constructor(
    private readonly weights: HistoryWeights,
    private readonly isSwapped: () => boolean,
  ) {}

  /** Notes that the weights are in use, or with `false` that they are back. */
  hold(held: boolean): void {
    setHolder(this.weights.variables, held ? this : null);
  }

  /** @throws Error once disposed. */
  checkUsable(): void {
    if (this.disposed) throw new Error('This WeightHistory has been disposed');
  }

  /** @throws Error that says what to wait for. */
  checkNotChoosing(action: string): void {
    this.checkUsable();
    if (this.choosing) throw new Error(`Cannot ${action} while choose() runs: await it first`);
  }

  /** @throws Error unless the weights are those of training. */
  checkTraining(action: string): void {
    this.checkNotChoosing(action);
    if (this.isSwapped()) throw new Error(`Cannot ${action} while swapped: call swap() first`);
  }

  /** @throws Error that names a weight that is gone or holds what another swapped in. */
  checkWeights(action: string): void {
    this.weights.checkAlive();
    checkNotHeld(this.weights.variables, action, this);
  }
}
