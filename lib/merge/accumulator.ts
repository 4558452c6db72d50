/**
 * Averages of weights as plain data, formed in float64 from whatever comes, one copy in memory. It
 * knows nothing of models, optimizers or where the weights come from.
 */
import { invalid } from '../check.js';
import { matchByRule, type Described } from '../state/match_tensors.js';
import { checkTensorList, type TensorData } from '../state/tensor_data.js';
import type { WeightAverage } from '../state/weight_average.js';

/** A weight that is summed up. */
interface Sum extends Described {
  readonly dtype: TensorData['dtype'];
  /** Of `count` times the value, in float64; of integers the values that came last. */
  values: Float64Array | Int32Array | Uint8Array;
}

/**
 * Forms the average `sum(count * weights) / sum(count)` of any number of weights, in float64, and
 * holds one copy of them whatever is added: any order and grouping gives the same to 1e-12, and the
 * same result but for the last rounding to float32. Integer and bool weights are those added last.
 *
 * The first that is added says what the weights are; others are matched with it by name where all
 * names match and are more than tfjs's own numbers, else by position where the number, shapes and
 * dtypes agree.
 *
 * @example
 * const mean = new WeightAccumulator();
 * const weights = (x: number) => [
 *   { name: 'w', dtype: 'float32' as const, shape: [1], values: Float32Array.of(x) },
 * ];
 * mean.add(weights(1), 3);
 * mean.add(weights(5));
 * mean.result(); // {count: 4, weights: [2]}, for (3 * 1 + 5) / 4 = 2
 */
export class WeightAccumulator {
  private sums: Sum[] | null = null;
  private total = 0;

  /** The sum of the counts; 0 as long as nothing was added. */
  get count(): number {
    return this.total;
  }

  /**
   * Adds weights.
   *
   * @param count How much they count; above 0, default 1.
   * @throws Error if they are no tensor data or do not fit; nothing has changed then.
   */
  add(weights: readonly TensorData[], count = 1): void {
    this.merge({ weights: weights as TensorData[], count });
  }

  /** Adds what an average holds, by its count; or all that another accumulator was given, exactly. */
  merge(part: WeightAverage | WeightAccumulator): void {
    if (part instanceof WeightAccumulator) {
      if (part.sums) this.put(part.sums, part.total, 1);
      return;
    }
    const { weights, count } = Object(part) as WeightAverage;
    if (!(Number.isFinite(count) && count > 0)) invalid('count', count, 'a finite number > 0');
    checkTensorList('weights', weights);
    this.put(weights, count, count);
  }

  /**
   * The average so far, rounded once to float32; a copy.
   *
   * @throws Error if nothing was added.
   */
  result(): WeightAverage {
    if (!this.sums) throw new Error('Nothing was added to this WeightAccumulator');
    const { total } = this;
    const weights = this.sums.map(({ name, shape, dtype, values }): TensorData => {
      const mean =
        values instanceof Float64Array
          ? Float32Array.from(values, (value) => value / total)
          : values.slice();
      return { name, dtype, shape: [...shape], values: mean };
    });
    return { count: total, weights };
  }

  private put(weights: readonly (TensorData | Sum)[], count: number, scale: number): void {
    const sums =
      this.sums ??
      weights.map(({ name, shape, dtype, values }): Sum => {
        return { name, shape: [...shape], dtype, values: new SUMS[dtype](values.length) };
      });
    const given = matchByRule(sums, weights);
    sums.forEach(({ values }, k) => {
      if (values instanceof Float64Array) addScaled(values, given[k]!.values, scale);
      else values.set(given[k]!.values);
    });
    this.sums = sums;
    this.total += count;
  }
}

/** What sums are in. */
const SUMS = { float32: Float64Array, int32: Int32Array, bool: Uint8Array };

function addScaled(sums: Float64Array, values: Sum['values'] | Float32Array, scale: number): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += values[i]! * scale;
}

/**
 * Merges averages into one: `(n1 m1 + n2 m2) / (n1 + n2)`, in float64, for any number of them, of
 * which one is in memory at a time if they come from a generator (Izmailov et al. 2018, arXiv
 * 1803.05407, section 3.2; McMahan et al. 2016, arXiv 1602.05629, Algorithm 1).
 *
 * @throws Error if there are none, or they do not fit.
 *
 * @example
 * const part = (x: number, count: number) => ({
 *   count,
 *   weights: [{ name: 'w', dtype: 'float32' as const, shape: [1], values: Float32Array.of(x) }],
 * });
 * mergeAverages([part(1, 3), part(5, 1)]).weights[0]!.values; // [2]
 */
export function mergeAverages(parts: Iterable<WeightAverage>): WeightAverage {
  const merged = new WeightAccumulator();
  for (const part of parts) merged.merge(part);
  if (merged.count === 0) throw new Error('There are no averages to merge');
  return merged.result();
}
