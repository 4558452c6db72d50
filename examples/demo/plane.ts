/**
 * The plane through three points of weight space, and a grid on it. It knows nothing of nets: a
 * point is a list of numbers.
 */

/** An orthonormal basis, so that distances on the plane are distances between weights. */
export interface Plane {
  origin: Float64Array;
  /** Unit vector towards the second point. */
  u: Float64Array;
  /** Unit vector at right angles to it, on the third point's side. */
  v: Float64Array;
}

export interface Point {
  x: number;
  y: number;
}

/** A regular grid: `columns` by `rows` points, the first one at (`x`, `y`). */
export interface Grid extends Point {
  columns: number;
  rows: number;
  /** Distance between neighbours, the same both ways. */
  step: number;
}

/**
 * The plane through three points, by Gram and Schmidt in float64, as for the figures of Izmailov
 * et al. 2018 (arXiv 1803.05407).
 *
 * @throws Error if the points lie on one line.
 */
export function planeThrough(
  origin: ArrayLike<number>,
  second: ArrayLike<number>,
  third: ArrayLike<number>,
): Plane {
  const start = Float64Array.from(origin);
  const a = start.map((value, i) => second[i]! - value);
  const u = unit(a, norm(a));
  const b = start.map((value, i) => third[i]! - value);
  const along = dot(b, u);
  const v = unit(
    b.map((value, i) => value - along * u[i]!),
    norm(b),
  );
  return { origin: start, u, v };
}

/** Where a point, projected onto the plane, lies on it. */
export function coordinatesOf({ origin, u, v }: Plane, point: ArrayLike<number>): Point {
  const delta = origin.map((value, i) => point[i]! - value);
  return { x: dot(delta, u), y: dot(delta, v) };
}

/** The point of weight space at some coordinates. */
export function pointAt({ origin, u, v }: Plane, { x, y }: Point): Float32Array {
  return new Float32Array(origin.map((value, i) => value + x * u[i]! + y * v[i]!));
}

/**
 * A grid around points, with a margin of a fraction of their extent on every side.
 *
 * @param columns At least 2, as are `rows`; the grid is as much wider than high.
 */
export function gridAround(
  points: readonly Point[],
  { columns, rows, margin = 0.2 }: { columns: number; rows: number; margin?: number },
): Grid {
  const range = (values: number[]) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return { centre: (least + most) / 2, extent: (most - least) * (1 + 2 * margin) };
  };
  const xs = range(points.map(({ x }) => x));
  const ys = range(points.map(({ y }) => y));
  const step = Math.max(xs.extent / (columns - 1), ys.extent / (rows - 1));
  return {
    columns,
    rows,
    step,
    x: xs.centre - ((columns - 1) * step) / 2,
    y: ys.centre - ((rows - 1) * step) / 2,
  };
}

/** The points of a grid, row by row, from the lowest. */
export function gridPoints({ x, y, step, columns, rows }: Grid): Point[] {
  return Array.from({ length: rows * columns }, (_, i) => ({
    x: x + (i % columns) * step,
    y: y + Math.floor(i / columns) * step,
  }));
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function norm(a: Float64Array): number {
  return Math.sqrt(dot(a, a));
}

/** @param scale What the length is small beside if it is only rounding. */
function unit(a: Float64Array, scale: number): Float64Array {
  const length = norm(a);
  if (!(length > 1e-9 * scale)) throw new Error('The three points lie on one line');
  return a.map((value) => value / length);
}
