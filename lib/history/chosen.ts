/** The average that was chosen. It knows nothing of how it was chosen. */
import { Placed } from '../swap/placed.js';

/** A window and what it was worth. */
export interface WindowScore {
  /** How many segments, from the newest backwards. */
  window: number;
  /** How many updates are in them. */
  count: number;
  /** What `evaluate` gave; lower is better. */
  score: number;
}

/** The average that was chosen, in place of the weights or ready to be. */
export class Chosen extends Placed {
  constructor(
    readonly score: WindowScore,
    ...placed: ConstructorParameters<typeof Placed>
  ) {
    super(...placed);
  }
}
