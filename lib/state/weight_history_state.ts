/**
 * The state of a WeightHistory as plain data: what it holds, and what makes it sound in itself. It
 * knows nothing of the weights that are to take it.
 */
import { checkInteger, invalid, isCount } from '../check.js';
import { checkPlacedState, type PlacedState } from './placed_state.js';
import { checkTensorList } from './tensor_data.js';
import type { WeightAverage } from './weight_average.js';

/** A window and what it was worth. */
export interface WindowScore {
  /** How many segments, from the newest backwards. */
  window: number;
  /** How many updates are in them. */
  count: number;
  /** What `evaluate` gave; lower is better. */
  score: number;
}

/** A segment as plain data. */
export interface SegmentState extends WeightAverage {
  /**
   * Of each weight how many of the updates it was not there for, where that is so of any: after a
   * load with `strict: false`.
   */
  late?: number[];
}

/** The state of a `WeightHistory` as plain data. */
export interface WeightHistoryState {
  /** The segments, oldest first. */
  segments: SegmentState[];
  /** Whether the last one is open. */
  open: boolean;
  /** The average that was chosen, until the next update; else `null`. */
  chosen: ChosenState | null;
}

/** An average that was chosen, as plain data. */
export interface ChosenState extends WindowScore, PlacedState {}

/**
 * Checks that a value is such a state in itself.
 *
 * @throws Error `Invalid state.PART: VALUE (expected ...)`.
 */
export function checkHistoryState(state: unknown): asserts state is WeightHistoryState {
  const { segments, open, chosen } = (state ?? {}) as Partial<WeightHistoryState>;
  if (!Array.isArray(segments)) return invalid('state.segments', segments, 'a list');
  segments.forEach((segment: unknown, i) => {
    const label = `state.segments[${i}]`;
    const { count, weights, late } = (segment ?? {}) as Partial<SegmentState>;
    checkInteger(`${label}.count`, count, 1);
    checkTensorList(`${label}.weights`, weights);
    const fits = (n: unknown) => isCount(n) && n <= count!;
    const ok = Array.isArray(late) && late.length === weights.length && late.every(fits);
    if (late !== undefined && !ok) {
      invalid(`${label}.late`, late, 'for each weight an integer from 0 to count');
    }
  });
  if (typeof open !== 'boolean' || (open && segments.length === 0)) {
    invalid('state.open', open, 'a boolean, false without segments');
  }
  if (chosen === null) return;
  const { window, count, score } = Object(chosen) as Partial<ChosenState>;
  checkInteger('state.chosen.window', window, 1);
  checkInteger('state.chosen.count', count, 1);
  if (typeof score !== 'number') invalid('state.chosen.score', score, 'a number');
  checkPlacedState('state.chosen', chosen);
}
