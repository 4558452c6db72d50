/**
 * Segments of a run, each an equal average of the updates in it, and which of them are merged when
 * there are too many. It knows nothing of models or of what is chosen.
 */
import * as tf from '@tensorflow/tfjs-core';
import { moveTowards, startAverage } from '../average/average.js';

/** Updates in a row and their average. */
export interface Segment {
  /** How many updates it holds. */
  count: number;
  /** The average of each weight; its own. */
  readonly averages: readonly tf.Variable[];
  /**
   * Of each weight how many of the updates it was not there for, as after a load with `strict` false;
   * `null` where all were there from the first. One that was there for none has no average, and
   * `averages` holds what stands for it.
   */
  late: number[] | null;
}

/** A segment of one update that shares the values' data. */
export function startSegment(values: readonly tf.Variable[]): Segment {
  return { count: 1, averages: values.map(startAverage), late: null };
}

/** The same segment with averages of its own, which share data. */
export function copySegment({ count, averages, late }: Segment): Segment {
  return { count, averages: averages.map(startAverage), late: late && [...late] };
}

/**
 * Takes the second into the first, `m1 + (m2 - m1) n2 / (n1 + n2)`: the average of the updates of
 * both. Nothing is subtracted from a sum, so that no digits are lost.
 */
export function mergeInto(segment: Segment, other: Readonly<Segment>): void {
  const { averages, late } = segment;
  const shareOf = (i: number): number => {
    const n = segment.count - (late?.[i] ?? 0);
    const added = other.count - (other.late?.[i] ?? 0);
    return added === 0 ? 0 : added / (n + added);
  };
  if (!late && !other.late) moveTowards(averages, other.averages, shareOf(0));
  else {
    averages.forEach((average, i) => moveTowards([average], [other.averages[i]!], shareOf(i)));
    segment.late = averages.map((_, i) => (late?.[i] ?? 0) + (other.late?.[i] ?? 0));
  }
  segment.count += other.count;
}

/** Frees what a segment holds. */
export function disposeSegment({ averages }: Segment): void {
  tf.dispose([...averages]);
}

/**
 * Which neighbours to merge: the two at the boundary that can best be spared, where (the window just
 * longer) / (the window just shorter) is least. So the lengths of the windows come to grow by about
 * one factor, and short ones stay exact. The newest segment is never merged; of equals the oldest are.
 *
 * @param counts The updates in each segment, oldest first; three at least.
 * @returns The place of the older one of the two.
 */
export function spared(counts: readonly number[]): number {
  let place = 0;
  let least = Infinity;
  let shorter = counts.at(-1)!;
  for (let i = counts.length - 3; i >= 0; i--) {
    const longer = shorter + counts[i + 1]! + counts[i]!;
    const ratio = longer / shorter;
    if (ratio <= least) {
      least = ratio;
      place = i;
    }
    shorter += counts[i + 1]!;
  }
  return place;
}

/** Segments in the order of the run: closed ones, at most so many, and the open one. */
export class Segments {
  private closed: Segment[] = [];
  private open: Segment | null = null;

  /** @param limit How many closed ones are kept, >= 2. */
  constructor(private readonly limit: number) {}

  /** Oldest first, the open one last. */
  get list(): readonly Segment[] {
    return this.open ? [...this.closed, this.open] : this.closed;
  }

  /** Whether the last one is open. */
  get isOpen(): boolean {
    return this.open !== null;
  }

  /** Takes values into the open segment. */
  update(averages: readonly tf.Variable[]): void {
    if (this.open) mergeInto(this.open, { count: 1, averages, late: null });
    else this.open = startSegment(averages);
  }

  /** Closes the open segment, if there is one. */
  close(): void {
    if (!this.open) return;
    this.closed.push(this.open);
    this.open = null;
    this.thin();
  }

  /** Frees what there is and takes these in its place. */
  replace(segments: readonly Segment[], isOpen: boolean): void {
    this.dispose();
    this.closed = [...segments];
    if (isOpen) this.open = this.closed.pop()!;
    this.thin();
  }

  /** Frees all of them. */
  dispose(): void {
    this.list.forEach(disposeSegment);
    this.closed = [];
    this.open = null;
  }

  private thin(): void {
    const { closed } = this;
    while (closed.length > this.limit) {
      const place = spared(closed.map(({ count }) => count));
      const [older, newer] = closed.slice(place, place + 2) as [Segment, Segment];
      mergeInto(older, newer);
      disposeSegment(newer);
      closed.splice(place + 1, 1);
    }
  }
}
