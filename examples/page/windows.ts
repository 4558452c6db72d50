/**
 * The averages of a run over its last 1, 2, ... epochs, of which one is chosen by images held out for
 * that. It knows nothing of how they are shown.
 */
import * as tf from '@tensorflow/tfjs-core';
import { breathe } from '../demo/breathe.js';
import { uploaded } from '../demo/data.js';
import * as net from '../demo/model.js';
import type { Score } from '../demo/model.js';
import { guess, type Guess, type Run } from './run.js';

/** An average over the last epochs, after every step of them; the score is that on test images. */
export interface EpochWindow extends Score {
  epochs: number;
  /** The score on the held-out images, whose labels are as noisy as those of training. */
  heldOut: Score;
  /** What it says of the ten images. */
  guesses: Guess[];
}

/** All windows of a run. */
export interface Windows {
  /** The shortest first; fewer while they are measured. */
  all: readonly EpochWindow[];
  /** The epochs of the one with the highest likelihood of the held-out images; at first `null`. */
  chosen: number | null;
}

/**
 * Measures the average over each window, with statistics of batch normalization of its own. The run
 * is over then, and stays as it was.
 *
 * @param onWindow Told after each window what there is so far, and waited for.
 * @returns The windows, and the weights of the chosen average.
 */
export async function measureWindows(
  { history, model, images, ten }: Run,
  onWindow: (windows: Windows) => Promise<void>,
): Promise<{ windows: Windows; average: Float32Array }> {
  const { train, heldOut, test } = images;
  // Uploaded once, as for the plane.
  const [bnData, testBatches] = [uploaded(train, 500), uploaded(test, 1000)];
  const all: EpochWindow[] = [];
  try {
    const { window } = await history.choose(
      async () => {
        await breathe();
        const chosenBy = await net.evaluate(model, heldOut);
        const score = await net.evaluate(model, test, testBatches);
        const guesses = await guess(model, ten);
        all.push({ epochs: all.length + 1, ...score, heldOut: chosenBy, guesses });
        return chosenBy.nll;
      },
      { bnData, onWindow: () => onWindow({ all: [...all], chosen: null }) },
    );
    const average = await net.flatWeights(model);
    history.swap();
    return { windows: { all, chosen: window }, average };
  } finally {
    tf.dispose([bnData, testBatches]);
  }
}
