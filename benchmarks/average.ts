/**
 * One update of the running average against a plain loop over typed arrays of the same data. It
 * uses the public door alone, and checks that both come to the same average.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SWA } from 'tfjs-swa';
import { compare, type Row } from './measure.js';
import { sizeOf } from './shapes.js';

/** The yardstick: what one would write over two arrays. */
function plainUpdate(average: Float32Array, value: Float32Array, numAveraged: number): void {
  const share = 1 / (numAveraged + 1);
  for (let i = 0; i < average.length; i++) average[i]! += (value[i]! - average[i]!) * share;
}

/** Measures `SWA.updateSwa` on variables of the shapes. */
export async function benchAverage(
  what: string,
  shapes: readonly number[][],
  rounds: number,
): Promise<Row> {
  const firsts = shapes.map((shape) => Float32Array.from({ length: sizeOf(shape) }, Math.random));
  const seconds = firsts.map((values) => values.map((value) => value / 2));
  const variables = firsts.map((values, i) =>
    tf.tidy(() => tf.variable(tf.tensor(values.slice(), shapes[i]))),
  );
  const swa = new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: variables }] });
  swa.updateSwa();
  variables.forEach((variable, i) =>
    tf.tidy(() => variable.assign(tf.tensor(seconds[i]!.slice(), shapes[i]))),
  );

  const averages = firsts.map((values) => values.slice());
  let numAveraged = 1;
  const result = compare(
    () => swa.updateSwa(),
    () => {
      averages.forEach((average, i) => plainUpdate(average, seconds[i]!, numAveraged));
      numAveraged += 1;
    },
    rounds,
  );

  swa.swapSwaSgd();
  for (const [i, variable] of variables.entries()) {
    const values = await variable.data();
    const wrong = values.findIndex((value, k) => !(Math.abs(value - averages[i]![k]!) < 1e-5));
    if (wrong >= 0)
      throw new Error(`Another average: ${values[wrong]}, not ${averages[i]![wrong]}`);
  }
  swa.dispose();
  tf.dispose(variables);
  return { backend: tf.getBackend(), what, against: 'plain loop', ...result };
}
