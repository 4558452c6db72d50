/**
 * What is refused of who averages weights and swaps others in, and why: it is disposed, in the middle
 * of a long call or swapped, or its weights are gone or another's. It knows nothing of averages.
 */
import { checkNotHeld, setHolder } from '../average/exchange.js';
import type { TrainedWeights } from './trained_weights.js';

export class Guard {
  /** The call that others wait for: `choose()`. */
  private running: string | null = null;
  private disposed = false;

  /**
   * @param isSwapped Whether others stand in place of the weights.
   * @param free Frees all that is kept; called once.
   */
  constructor(
    private readonly weights: TrainedWeights,
    private readonly isSwapped: () => boolean,
    private readonly free: () => void,
  ) {}

  /** Has others wait for a call, for which the weights are in use. */
  async run<T>(call: string, f: () => Promise<T>): Promise<T> {
    this.running = call;
    this.hold(true);
    try {
      return await f();
    } finally {
      this.running = null;
      this.hold(this.isSwapped());
      if (this.disposed) this.free();
    }
  }

  /** Frees all, at the end of the call that runs if there is one. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    if (this.running === null) this.free();
  }

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
