/** How good probabilities are: numbers from plain arrays. It knows nothing of nets or averages. */

/** Probabilities of some images, image by image, and how many classes there are. */
export interface Predicted {
  values: Float32Array;
  classes: number;
}

/** How good probabilities are for labelled images. */
export interface Quality {
  /** Wrong answers, in percent. */
  error: number;
  /** Mean negative log-likelihood of the right class, in nats. */
  nll: number;
  /** Expected calibration error, in percent (Guo et al. 2017, arXiv 1706.04599, eq. 3). */
  ece: number;
  /** Mean over images of the squared distance to the one-hot label, 0 to 2 (Brier 1950). */
  brier: number;
}

/** The images whose highest probability lies between two bounds. */
export interface Bin {
  count: number;
  /** Mean of their highest probabilities; 0 without images. */
  confidence: number;
  /** Share of right answers, 0 to 1; 0 without images. */
  accuracy: number;
}

export const BINS = 15;

/** The probabilities of each image. */
function* rows({ values, classes }: Predicted): Generator<Float32Array> {
  for (let i = 0; i < values.length; i += classes) yield values.subarray(i, i + classes);
}

function highest(row: Float32Array): number {
  return row.indexOf(Math.max(...row));
}

export function qualityOf(predicted: Predicted, labels: ArrayLike<number>): Quality {
  let [i, wrong, nll, brier] = [0, 0, 0, 0];
  for (const row of rows(predicted)) {
    const label = labels[i++]!;
    if (highest(row) !== label) wrong += 1;
    // The least number of float32: a right class with probability 0 costs 103 nats.
    nll -= Math.log(Math.max(row[label]!, 2 ** -149));
    row.forEach((p, k) => (brier += (p - (k === label ? 1 : 0)) ** 2));
  }
  const gaps = binsOf(predicted, labels).map(({ count, confidence, accuracy }) => {
    return (count / i) * Math.abs(accuracy - confidence);
  });
  const ece = 100 * gaps.reduce((sum, gap) => sum + gap, 0);
  return { error: (100 * wrong) / i, nll: nll / i, ece, brier: brier / i };
}

/** Bins of equal width, from 0 to 1; a bound belongs to the bin below it. */
export function binsOf(predicted: Predicted, labels: ArrayLike<number>): Bin[] {
  const sums = Array.from({ length: BINS }, () => ({ count: 0, confidence: 0, accuracy: 0 }));
  let i = 0;
  for (const row of rows(predicted)) {
    const best = highest(row);
    const bin = sums[Math.min(BINS - 1, Math.max(0, Math.ceil(row[best]! * BINS) - 1))]!;
    bin.count += 1;
    bin.confidence += row[best]!;
    if (best === labels[i++]) bin.accuracy += 1;
  }
  return sums.map(({ count, confidence, accuracy }) => ({
    count,
    confidence: count > 0 ? confidence / count : 0,
    accuracy: count > 0 ? accuracy / count : 0,
  }));
}

/** The entropy of each image's probabilities, in nats: 0, where one class is sure, to `log(classes)`. */
export function entropies(predicted: Predicted): number[] {
  return [...rows(predicted)].map((row) =>
    row.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0),
  );
}

/**
 * The area under the curve of right against false alarms: how often a number from outside is above one
 * from inside; ties count half (Mann and Whitney). 0.5 is chance, 1 tells all apart.
 */
export function areaUnderCurve(inside: readonly number[], outside: readonly number[]): number {
  const all = [
    ...inside.map((value) => ({ value, isOutside: false })),
    ...outside.map((value) => ({ value, isOutside: true })),
  ].sort((a, b) => a.value - b.value);
  let wins = 0;
  let below = 0;
  for (let start = 0; start < all.length;) {
    let end = start;
    while (end < all.length && all[end]!.value === all[start]!.value) end += 1;
    const tied = all.slice(start, end);
    const outsiders = tied.filter(({ isOutside }) => isOutside).length;
    const insiders = tied.length - outsiders;
    wins += outsiders * (below + insiders / 2);
    below += insiders;
    start = end;
  }
  return wins / (inside.length * outside.length);
}
