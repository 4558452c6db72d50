/** Mean, standard deviation and interval. It knows nothing of what the numbers measure. */
import jStat from 'jstat';

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
  const t = jStat.studentt.inv(0.975, values.length - 1);
  const half = (t * sd) / Math.sqrt(values.length);
  const centre = mean(values);
  return [centre - half, centre + half];
}
