/**
 * The average of the last segments of a run, which grows from the newest one backwards. It knows
 * nothing of what it is wanted for.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkInteger, invalid } from '../check.js';
import { hostData } from '../state/tensor_data.js';
import type { WeightAverage } from '../state/weight_average.js';
import { copySegment, disposeSegment, mergeInto, type Segment } from './segments.js';

export class Window {
  /** How many segments are in it. */
  size = 1;
  private readonly total: Segment;

  /** @param segments Oldest first, one at least; they stay as they are. */
  constructor(private readonly segments: readonly Segment[]) {
    this.total = copySegment(segments.at(-1)!);
  }

  /** How many updates are in it. */
  get count(): number {
    return this.total.count;
  }

  /** The average of each weight; written in place as it grows, where nobody else holds the data. */
  get averages(): readonly tf.Variable[] {
    return this.total.averages;
  }

  /** Takes in the next older segment. */
  grow(): void {
    this.size += 1;
    mergeInto(this.total, this.segments.at(-this.size)!);
  }

  /** Grows to so many segments. */
  growTo(size: number): this {
    while (this.size < size) this.grow();
    return this;
  }

  dispose(): void {
    disposeSegment(this.total);
  }
}

/**
 * The average of so many segments as plain data, under these names; of the moment of the call.
 *
 * @throws Error if there are not so many.
 */
export async function readWindow(
  segments: readonly Segment[],
  size: number,
  named: readonly { readonly name: string }[],
): Promise<WeightAverage> {
  if (checkInteger('window', size, 1) > segments.length) {
    invalid('window', size, `at most the number of segments, ${segments.length}`);
  }
  const window = new Window(segments).growTo(size);
  const { count, averages } = window;
  try {
    const weights = await Promise.all(named.map(({ name }, i) => hostData(name, averages[i]!)));
    return { count, weights };
  } finally {
    window.dispose();
  }
}
