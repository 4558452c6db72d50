/** The average that was chosen. It knows nothing of how it was chosen. */
import type { WindowScore } from '../state/weight_history_state.js';
import { Placed } from '../swap/placed.js';

/** The average that was chosen, in place of the weights or ready to be. */
export class Chosen extends Placed {
  constructor(
    readonly score: WindowScore,
    ...placed: ConstructorParameters<typeof Placed>
  ) {
    super(...placed);
  }
}
