/**
 * Finds the window whose average is best, by putting each in place of the weights in turn. It knows
 * nothing of how segments are made, or who else may use the weights meanwhile.
 */
import * as tf from '@tensorflow/tfjs-core';
import { startAverage } from '../average/average.js';
import { checkRereadable, type BnLoader } from '../batchnorm/batches.js';
import { recordStatistics } from '../batchnorm/statistics.js';
import { updateBn } from '../batchnorm/update_bn.js';
import { checkKeys, invalid } from '../check.js';
import { checkAlive } from '../state/tensor_data.js';
import type { WindowScore } from '../state/weight_history_state.js';
import { assignValues } from '../swap/placed.js';
import type { TrainedWeights } from '../swap/trained_weights.js';
import { Chosen } from './chosen.js';
import type { Segment } from './segments.js';
import { Window } from './window.js';

/** Options of {@link WeightHistory.choose}. */
export interface ChooseOptions {
  /**
   * The data by which batch normalization is re-estimated for each window: as {@link updateBn} takes
   * it, and to be read once a window, so no iterator.
   */
  bnData?: BnLoader<unknown>;
  /** Called after each window with its score, shortest window first; awaited. */
  onWindow?: (score: WindowScore) => unknown;
}

/** What {@link WeightHistory.choose} found. */
export interface Choice extends WindowScore {
  /** The score of every window, the shortest first. */
  scores: WindowScore[];
}

/** Refuses what cannot be used for every window, before anything is done. */
export function checkChoose(
  { model }: TrainedWeights,
  evaluate: unknown,
  options: ChooseOptions,
): void {
  if (typeof evaluate !== 'function') invalid('evaluate', evaluate, 'a function');
  checkKeys(options, ['bnData', 'onWindow']);
  const { bnData, onWindow } = options;
  if (onWindow !== undefined && typeof onWindow !== 'function') {
    invalid('onWindow', onWindow, 'a function');
  }
  if (bnData === undefined) return;
  if (!model) {
    invalid('bnData', bnData, 'nothing with a list of variables, which has no model to run on it');
  }
  checkRereadable(bnData, 'bnData', 'window');
}

/**
 * Evaluates the average of every window. Beside the weights one running average is held, to which
 * the next older segment is added: all windows take as many merges as there are segments.
 *
 * @param checkGoOn Called after each window; what it throws ends the search.
 * @returns What is best, in place of the weights, and all scores.
 * @throws Error of `evaluate`, the data or `checkGoOn`, and where no score is a number; the weights
 *   and statistics are then as before.
 */
export async function chooseWindow(
  segments: readonly Segment[],
  weights: TrainedWeights,
  evaluate: () => number | Promise<number>,
  { bnData, onWindow }: ChooseOptions,
  checkGoOn: () => void,
): Promise<{ chosen: Chosen; scores: WindowScore[] }> {
  const { variables, all } = weights;
  const statistics = all.slice(variables.length);
  // They share data with what may change: nobody writes in place where two refer to it.
  const saved = all.map(startAverage);
  const scores: WindowScore[] = [];
  let best: { score: WindowScore; statistics: tf.Variable[] } | null = null;
  let window = new Window(segments);
  let done = false;
  try {
    for (;;) {
      assignValues(variables, window.averages);
      const restore = recordStatistics((found) => variables.some((each) => found.has(each)));
      try {
        if (bnData !== undefined) await updateBn(bnData, weights.model);
        const score = { window: window.size, count: window.count, score: await evaluate() };
        if (typeof score.score !== 'number')
          invalid('score', score.score, 'a number of evaluate()');
        scores.push(score);
        all.forEach(checkAlive);
        if (score.score <= (best?.score.score ?? Infinity)) {
          tf.dispose(best?.statistics);
          best = { score, statistics: statistics.map(startAverage) };
        }
      } finally {
        // Those of other models with these weights too.
        restore();
        assignValues(all, saved);
      }
      await onWindow?.({ ...scores.at(-1)! });
      checkGoOn();
      if (window.size === segments.length) break;
      window.grow();
    }
    if (!best) throw new Error('Cannot choose: evaluate gave NaN for every window');
    const { score } = best;
    if (score.window < window.size) {
      window.dispose();
      window = new Window(segments).growTo(score.window);
    }
    assignValues(all, [...window.averages, ...best.statistics]);
    done = true;
    return { chosen: new Chosen(score, all, saved, true), scores };
  } finally {
    window.dispose();
    tf.dispose(best?.statistics);
    if (!done) tf.dispose(saved);
  }
}
