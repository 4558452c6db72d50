/**
 * SWAG by its formulas, in float64, without `lib`: two passes over the whole run, and samples by the
 * seeds that its documentation gives.
 */
import * as tf from '@tensorflow/tfjs-core';

/** A tensor of numbers for each weight. */
type Weights = number[][];

export interface Reference {
  count: number;
  mean: Weights;
  m2: Weights;
  deviations: Weights[];
}

/** Of the weights of each update: `theta_i - mean_i` has the mean of the first i. */
export function referenceOf(run: readonly Weights[], maxRank: number): Reference {
  const first = run[0]!;
  const map = (f: (w: number, i: number) => number): Weights =>
    first.map((values, w) => values.map((_, i) => f(w, i)));
  const meanOf = (n: number): Weights =>
    map((w, i) => run.slice(0, n).reduce((sum, weights) => sum + weights[w]![i]!, 0) / n);
  const mean = meanOf(run.length);
  const m2 = map((w, i) =>
    run.reduce((sum, weights) => sum + (weights[w]![i]! - mean[w]![i]!) ** 2, 0),
  );
  const all = run.map((weights, n) => {
    const upToHere = meanOf(n + 1);
    return map((w, i) => weights[w]![i]! - upToHere[w]![i]!);
  });
  return { count: run.length, mean, m2, deviations: maxRank > 0 ? all.slice(-maxRank) : [] };
}

/** `mean + sqrt(scale) (sigma z1 + D z2 / sqrt(K - 1))`. */
export function sampleOf(
  { count, mean, m2, deviations }: Reference,
  { scale, seed, diagonal }: { scale: number; seed: number; diagonal: boolean },
): Weights {
  const rank = diagonal || deviations.length < 2 ? 0 : deviations.length;
  const z2 = rank > 0 ? normals([rank], key(seed, 0)) : [];
  return mean.map((means, w) => {
    const z1 = normals([means.length], weightKey(seed, w));
    return means.map((value, i) => {
      const lowRank = z2.reduce((sum, z, k) => sum + z * deviations[k]![w]![i]!, 0);
      const deviation = Math.sqrt(m2[w]![i]! / count) * z1[i]!;
      return value + Math.sqrt(scale) * (deviation + (rank ? lowRank / Math.sqrt(rank - 1) : 0));
    });
  });
}

/** The key of z1 for the weight of this number. */
export const weightKey = (seed: number, weight: number): number => key(seed, weight + 1);

/** The normal numbers of tfjs by a key. */
export function normals(shape: number[], ofKey: number): number[] {
  const tensor = tf.randomNormal(shape, 0, 1, 'float32', ofKey + 1);
  const values = [...tensor.dataSync()];
  tensor.dispose();
  return values;
}

/** The seed of sample i of a prediction. */
export function sampleSeed(seed: number, i: number): number {
  const low = seed % 2 ** 32;
  return fold(fold(fold(0, low), (seed - low) / 2 ** 32), i);
}

/** The key of the numbers j of a sample. */
const key = sampleSeed;

/** In integers without end, taken down to 32 bits after each operation. */
function fold(to: number, data: number): number {
  const bits = (n: bigint): bigint => BigInt.asUintN(32, n);
  let h = bits(BigInt(to) + 0x9e3779b9n * BigInt(data + 1));
  h = bits((h ^ (h >> 16n)) * 0x85ebca6bn);
  h = bits((h ^ (h >> 13n)) * 0xc2b2ae35n);
  return Number(h ^ (h >> 16n));
}
