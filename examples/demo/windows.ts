/**
 * The averages of a run over its last epochs, from every start: how good they are, and which of them
 * validation chooses. It knows nothing of how the run was trained.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type { WeightHistory } from 'tfjs-swa';
import type { Images } from './data.js';
import { evaluate, type Score } from './model.js';

/** Starts of averaging at most, all epochs of the default: more take longer and show no more. */
const MOST = 30;

/** The average of every step from a start to the end of the run, after bnUpdate. */
export interface Window {
  /** After so many epochs averaging starts. */
  start: number;
  /** On the images that choose; their labels are as wrong as those that were learned. */
  validation: Score;
  test: Score;
}

/** All windows, the longest first, and the place of the chosen one. */
export interface Windows {
  list: Window[];
  chosen: number;
}

/** How many windows a run of some epochs has. */
export function windowsOf(epochs: number): number {
  return Math.min(epochs, MOST);
}

/**
 * Measures every window, and leaves the one of the least negative log-likelihood on validation in the
 * model, with its statistics. The test images choose nothing.
 *
 * @param onWindow Told after each window.
 */
export async function chooseWindow(
  history: WeightHistory,
  model: tfl.LayersModel,
  epochs: number,
  data: {
    train: readonly tf.Tensor[];
    validation: Images;
    test: Images;
    testBatches: readonly tf.Tensor[];
  },
  onWindow: (window: Window) => void,
): Promise<Windows> {
  const scores: Pick<Window, 'validation' | 'test'>[] = [];
  const all = history.segments.reduce((sum, { count }) => sum + count, 0);
  const windowAt = (i: number, count: number): Window => ({
    start: Math.round(epochs * (1 - count / all)),
    ...scores[i]!,
  });
  const score = async (): Promise<number> => {
    const validation = await evaluate(model, data.validation);
    scores.push({ validation, test: await evaluate(model, data.test, data.testBatches) });
    return validation.nll;
  };
  const choice = await history.choose(score, {
    bnData: data.train,
    onWindow: ({ window, count }) => onWindow(windowAt(window - 1, count)),
  });
  const list = choice.scores.map(({ count }, i) => windowAt(i, count)).reverse();
  return { list, chosen: list.length - choice.window };
}

/** The window that validation chose. */
export function chosenOf({ list, chosen }: Windows): Window {
  return list[chosen]!;
}
