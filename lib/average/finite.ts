/** A check that keeps NaN and infinity out of an average. It knows nothing of optimizers or groups. */
import * as tf from '@tensorflow/tfjs-core';
import { moveTowards, safe } from './average.js';
import { checkAvgFn, factsOf, swaAvgFn, withFacts, type AvgFn } from './avg_fn.js';
import { checkKeys, invalid } from '../check.js';
import { isTensor, shapeText } from '../state/tensor_data.js';

/** What an average is refused with. */
export interface FiniteOnlyOptions {
  /** An Error, or no more than one warning; default `'throw'`. */
  onNonFinite?: 'throw' | 'skip';
}

/**
 * An averaging function that refuses an average which is not finite. Without it NaN and infinity go
 * where arithmetic takes them: one such value of a parameter, and that element of its average is not
 * finite any more, whatever comes later. With it the averages of the whole group and their count stay
 * as they were, the last good ones, to swap in or to save: the update throws (a step of `SWA` that
 * throws so has been taken, its average alone is missing), or, with `skip`, is left out.
 *
 * The first values, which are copied without asking an averaging function, are looked at too.
 *
 * An update waits once for the device, which says whether the values are finite, and then takes the
 * fused kernel; a function of the caller's own is asked first, and its averages are looked at. Where
 * tfjs cannot read synchronously (WebGPU in Node) the update fails with tfjs's error and changes
 * nothing; with WebGPU in a page it is slow, and tfjs warns of it once.
 *
 * @param avgFn How to average; default {@link swaAvgFn}, the equal average.
 * @param options `onNonFinite`: `throw`, the default, or `skip`, which warns once, through
 *   `console.warn`.
 * @throws Error `Invalid avgFn: ...` if it is no function, `Invalid onNonFinite: ...`.
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
export function finiteOnly(avgFn: AvgFn = swaAvgFn(), options: FiniteOnlyOptions = {}): AvgFn {
  checkAvgFn(avgFn);
  checkKeys(options, ['onNonFinite']);
  const { onNonFinite = 'throw' } = options;
  if (onNonFinite !== 'throw' && onNonFinite !== 'skip') {
    invalid('onNonFinite', onNonFinite, "'throw' or 'skip'");
  }
  let warned = false;
  const accepts = (averages: readonly tf.Tensor[], numAveraged: number): boolean => {
    if (areFinite(averages)) return true;
    const bad = averages.find((average) => !areFinite([average]))!;
    const message =
      `Refused an average of shape ${shapeText(bad.shape)}: value ${numAveraged + 1} would ` +
      'make it NaN or infinite';
    if (onNonFinite === 'throw') throw new Error(message);
    if (!warned) console.warn(`${message}; skipping it, and later ones without a word`);
    warned = true;
    return false;
  };
  const guarded: AvgFn = (averaged, current, numAveraged) =>
    tf.tidy(() => {
      const average = avgFn(averaged, current, numAveraged);
      // What is no tensor is for the caller of the averaging function to refuse.
      if (!isTensor(average) || accepts([average], numAveraged)) return average;
      return tf.clone(averaged);
    });
  const { guard: inner, ...known } = factsOf(avgFn);
  const guard = { avgFn: inner?.avgFn ?? avgFn, moves, accepts };
  return withFacts(guarded, { ...known, guard });
}

/**
 * No difference of two values up to 2^100, times 1,023 (kernels/node.ts), is beyond float32, and no
 * average of them, with weights in [0, 1], beyond the larger: what comes of safe values is safe.
 */
function moves(
  averages: readonly tf.Variable[],
  values: readonly tf.Tensor[],
  weight: number,
): boolean {
  if (!(weight >= 0 && weight <= 1)) return false;
  const unknown = averages.filter(({ dataId }) => !safe.has(dataId));
  if (!areBelow([...unknown, ...values], 100)) return false;
  moveTowards(averages, values, weight);
  for (const { dataId } of averages) safe.add(dataId);
  return true;
}

const areFinite = (values: readonly tf.Tensor[]): boolean => areBelow(values, 128);

/**
 * Whether no value is NaN, infinite or beyond `2 ** exponent`: the device is waited for once. Not by
 * `tf.isFinite`, which older wasm backends (4.0) lack. The product is NaN also where a device of 16-bit floats
 * takes 2^-126 for 0 and has no infinite limit to compare with.
 */
function areBelow(values: readonly tf.Tensor[], exponent: number): boolean {
  return tf.tidy(() => {
    const tests = values
      .filter(({ size }) => size > 0)
      .map((value) => tf.lessEqual(tf.mul(tf.abs(value), 2 ** -126), 2 ** (exponent - 126)))
      .map((test) => tf.all(test));
    return (
      tests.length === 0 ||
      tf
        .stack(tests)
        .dataSync()
        .every((holds) => holds !== 0)
    );
  });
}
