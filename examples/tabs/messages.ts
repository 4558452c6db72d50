/** What the page and its workers tell each other. It knows nothing of either. */
import type { TensorData } from 'tfjs-swa';
import type { Task, WorkerState } from '../parallel/run.js';

/** From the page to a worker: its task, and the weights to begin with; `null`: those of the seed. */
export interface Order {
  task: Task;
  start: TensorData[] | null;
}

/** From a worker to the page. */
export type News =
  | { type: 'epoch'; id: string; epoch: number; loss: number }
  | { type: 'done'; id: string; state: WorkerState }
  | { type: 'failed'; id: string; reason: string };
