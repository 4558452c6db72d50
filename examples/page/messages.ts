/** What the page and its worker tell each other. It knows nothing of either. */
import type { Images } from '../demo/data.js';
import type { ErrorPlane } from './error_plane.js';
import type { Checkpoint } from './run.js';
import type { BackendName, Settings } from './settings.js';
import type { Uncertainty } from './uncertainty.js';
import type { Windows } from './windows.js';

/** From the page to the worker. */
export type Order =
  /** Asks for a `found`. */
  | { type: 'find' }
  | {
      type: 'run';
      backend: BackendName;
      settings: Settings;
      /** Where to go on; `null` to start. */
      from: Checkpoint | null;
      /** Whether checkpoints are kept. */
      keeps: boolean;
    }
  | { type: 'pause' }
  | { type: 'resume' };

/** From the worker to the page. */
export type News =
  | { type: 'found'; checkpoint: Checkpoint | null }
  /** The backend runs; and the ten images whose guesses checkpoints hold. */
  | { type: 'started'; ten: Images }
  /** So many steps of the run are done. */
  | { type: 'step'; done: number }
  /** The state at the start and after each epoch. */
  | { type: 'epoch'; checkpoint: Checkpoint }
  /** The checkpoint could not be kept or read. */
  | { type: 'storage'; problem: string }
  /** So many windows are measured, or all, and one is chosen. */
  | { type: 'windows'; windows: Windows }
  /** What samples of the weights say; where there are none, why. */
  | { type: 'uncertainty'; uncertainty: Uncertainty | null; problem: string | null }
  /** So much of the plane is measured. */
  | { type: 'plane'; plane: ErrorPlane }
  /** All is done; where there is no plane, why. */
  | { type: 'finished'; plane: ErrorPlane | null; problem: string | null }
  /** What no other backend would do better. */
  | { type: 'failed'; reason: string }
  /** The backend does not start, was lost, or failed. */
  | { type: 'stopped'; reason: string };
