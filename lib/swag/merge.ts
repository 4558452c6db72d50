/**
 * Merges the states of several runs into one, in float64. It knows nothing of models or tensors.
 */
import { invalid } from '../check.js';
import { matchByRule } from '../state/match_tensors.js';
import type { TensorData } from '../state/tensor_data.js';
import { checkState, type SWAGStateDict } from './swag_state.js';

/** A weight's two moments, in float64. */
interface Sums {
  mean: Float64Array;
  m2: Float64Array;
}

/** Chan's formula; see {@link SWAG.merge}. */
export function mergeStates(states: Iterable<SWAGStateDict>): SWAGStateDict {
  const all = [...states];
  all.forEach((state, i) => {
    checkState(state, `states[${i}]`);
    if (state.count === 0) invalid(`states[${i}].count`, 0, 'an integer >= 1');
  });
  const [first] = all;
  if (!first) throw new Error('There are no states to merge');
  const fit = (given: TensorData[]): TensorData[] => matchByRule(first.mean, given);
  const fitted = all.map(({ mean, m2, deviations }) => {
    return { mean: fit(mean), m2: fit(m2), deviations: deviations.map(fit) };
  });

  let count = 0;
  const sums = first.mean.map(({ values: { length } }): Sums => {
    return { mean: new Float64Array(length), m2: new Float64Array(length) };
  });
  all.forEach(({ count: added }, s) => {
    const { mean, m2 } = fitted[s]!;
    sums.forEach((sum, i) => add(sum, count, mean[i]!.values, m2[i]!.values, added));
    count += added;
  });

  const most = Math.floor(first.max_rank / all.length);
  const copy = ({ values }: TensorData, i: number): TensorData => dataOf(first.mean[i]!, values);
  return {
    count,
    max_rank: first.max_rank,
    mean: sums.map(({ mean }, i) => dataOf(first.mean[i]!, mean)),
    m2: sums.map(({ m2 }, i) => dataOf(first.mean[i]!, m2)),
    deviations: fitted.flatMap(({ deviations }) => {
      const newest = deviations.slice(Math.max(0, deviations.length - most));
      return newest.map((column) => column.map(copy));
    }),
    placed: null,
  };
}

/** Chan et al. 1979, eq. 2.1: takes `added` values into `count`, by the moments of both. */
function add(
  { mean, m2 }: Sums,
  count: number,
  means: ArrayLike<number>,
  squares: ArrayLike<number>,
  added: number,
): void {
  const total = count + added;
  for (let i = 0; i < mean.length; i++) {
    const delta = means[i]! - mean[i]!;
    mean[i]! += (delta * added) / total;
    m2[i]! += squares[i]! + (delta * delta * count * added) / total;
  }
}

/** Values under the name and in the shape of a weight, rounded to float32; a copy. */
function dataOf({ name, shape }: TensorData, values: ArrayLike<number>): TensorData {
  return { name, dtype: 'float32', shape: [...shape], values: Float32Array.from(values) };
}
