/**
 * What is refused of who averages weights and swaps others in, and why: it is disposed, in the middle
 * of a long call or swapped, or its weights are gone or another's. It knows nothing of averages.
 */
import { checkNotHeld, setHolder } from '../average/exchange.js';
import type { TrainedWeights } from './trained_weights.js';

export class Guard {
  /** The call that others wait for: `choose()`. */
  running: string | null = null;
  disposed = false;

  /** @param isSwapped Whether others stand in place of the weights. */
  constructor(
    private readonly weights: TrainedWeights,
    private readonly isSwapped: () => boolean,
  ) {}

  /** Notes that the weights are in use, or with `false` that they are back. */
  hold(held: boolean): void {
    setHolder(this.weights.variables, held ? this : null);
  }

  /** @throws Error once disposed. */
  checkUsable(): void {
    if (this.disposed) throw new Error(`This ${this.weights.owner} has been disposed`);
  }

  /** @throws Error that says what to wait for. */
  checkIdle(action: string): void {
    this.checkUsable();
    if (this.running === null) return;
    throw new Error(`Cannot ${action} while ${this.running} runs: await it first`);
  }

  /** @throws Error unless the weights are those of training. */
  checkTraining(action: string): void {
    this.checkIdle(action);
    if (this.isSwapped()) throw new Error(`Cannot ${action} while swapped: call swap() first`);
  }

  /** @throws Error that names a weight that is gone or holds what another swapped in. */
  checkWeights(action: string): void {
    this.weights.checkAlive();
    checkNotHeld(this.weights.variables, action, this);
  }
}
