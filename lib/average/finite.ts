/** A check that keeps NaN and infinity out of an average. It knows nothing of optimizers or groups. */
import * as tf from '@tensorflow/tfjs-core';
import { checkAvgFn, swaAvgFn, type AvgFn } from './average.js';
import { isTensor, shapeText } from '../state/tensor_data.js';

/**
 * An averaging function that refuses an average which is not finite. Without it NaN and infinity go
 * where arithmetic takes them: one such value of a parameter, and that element of its average is not
 * finite any more, whatever comes later. With it the update throws, before the average of any
 * parameter of the group or their count changes: the averages stay the last good ones, to swap in or
 * to save. A step of `SWA` that throws so has been taken; its average alone is missing.
 *
 * The first value, which is copied without asking an averaging function, is found at the second
 * update. It waits for the device once a parameter and takes the plain ops instead of a fused
 * kernel; it cannot be used where tfjs cannot read synchronously (WebGPU in Node).
 *
 * @param avgFn How to average; default {@link swaAvgFn}, the equal average.
 *
 * @example
 * const x = tf.variable(tf.tensor1d([1, 2]));
 * const swa = new SWA(tf.train.sgd(0.1), { avgFn: finiteOnly(), paramGroups: [{ params: x }] });
 * swa.updateSwa();
 * x.assign(tf.tensor1d([NaN, 2]));
 * try {
 *   swa.updateSwa();
 * } catch (error) {
 *   console.log((error as Error).message); // Refused an average of shape [2]: ...
 * }
 * swa.swapSwaSgd(); // x is [1, 2] again
 */
export function finiteOnly(avgFn: AvgFn = swaAvgFn()): AvgFn {
  checkAvgFn(avgFn);
  return (averaged, current, numAveraged) =>
    tf.tidy(() => {
      const average = avgFn(averaged, current, numAveraged);
      // What is no tensor is for the caller of the averaging function to refuse.
      if (!isTensor(average) || tf.all(tf.isFinite(average)).dataSync()[0]) return average;
      throw new Error(
        `Refused an average of shape ${shapeText(current.shape)}: value ${numAveraged + 1} would ` +
          'make it NaN or infinite',
      );
    });
}
