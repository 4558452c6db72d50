/** Mean, standard deviation and Student's t. It knows nothing of what the numbers measure. */

/** Arithmetic mean of at least one number. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of a sample, with n - 1; `null` for a single number, which has none. */
export function standardDeviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/** The 95 % interval of the mean, `mean ± t sd / sqrt(n)`; `null` for a single number. */
export function interval95(values: readonly number[]): [low: number, high: number] | null {
  const sd = standardDeviation(values);
  if (sd === null) return null;
  const half = (tQuantile(values.length - 1) * sd) / Math.sqrt(values.length);
  const centre = mean(values);
  return [centre - half, centre + half];
}

/**
 * The number that Student's t stays within, on both sides, with the given probability: the 97.5 %
 * quantile for 0.95.
 *
 * @param df Degrees of freedom, an integer >= 1.
 */
export function tQuantile(df: number, probability = 0.95): number {
  // With theta = atan(t / sqrt(df)) the probability grows from 0 to 1 on [0, pi / 2]: bisect.
  let [low, high] = [0, Math.PI / 2];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (within(middle, df) < probability) low = middle;
    else high = middle;
  }
  return Math.tan(low) * Math.sqrt(df);
}

/** P(|t| < tan(theta) sqrt(df)), Abramowitz and Stegun 26.7.3 and 26.7.4. */
function within(theta: number, df: number): number {
  const [sine, cosine] = [Math.sin(theta), Math.cos(theta)];
  const odd = df % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = df === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k < df; k += 2) {
    term *= ((k - 1) / k) * cosine ** 2;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (theta + sine * sum) : sine * sum;
}
