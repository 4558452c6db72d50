/**
 * The test error on the plane through where the chosen window starts, the last weights and the
 * average over the window. It knows nothing of how the plane is drawn.
 */
import { errorsOnGrid } from '../demo/landscape.js';
import {
  coordinatesOf,
  gridAround,
  planeThrough,
  type Grid,
  type Plane,
  type Point,
} from '../demo/plane.js';
import type { Checkpoint, Run } from './run.js';

/** Test error by place; lengths are distances in weight space, from the average. */
export interface ErrorPlane {
  grid: Grid;
  /** Percent at the grid's points, row by row from the lowest; fewer while it is measured. */
  errors: readonly number[];
  average: Point;
  last: Point;
  start: Point;
  /** The weights from the start of the window on, after each epoch, projected onto the plane. */
  path: Point[];
}

/** Says why there is no plane to measure. */
export class NoPlane extends Error {}

/**
 * Measures the plane, with statistics of batch normalization re-estimated at every point. The run
 * is over then: its weights are those of the last point.
 *
 * @param window How many of the last epochs are averaged, and the average's weights.
 * @param onPoint Told after each point what there is so far, and waited for.
 * @throws NoPlane if the three points lie on one line, as they do where the average is of one step.
 */
export async function measurePlane(
  run: Run,
  checkpoint: Checkpoint,
  { epochs, average }: { epochs: number; average: Float32Array },
  onPoint: (plane: ErrorPlane) => Promise<void>,
): Promise<ErrorPlane> {
  const path = checkpoint.path.slice(-1 - epochs).map(({ values }) => values as Float32Array);
  const [last, start] = [path.at(-1)!, path[0]!];
  const plane = planeOf(average, last, start);
  const points = {
    average: coordinatesOf(plane, average),
    last: coordinatesOf(plane, last),
    start: coordinatesOf(plane, start),
    path: path.map((weights) => coordinatesOf(plane, weights)),
  };
  const columns = run.settings.grid;
  const grid = gridAround([points.average, ...points.path], {
    columns,
    rows: Math.max(2, Math.round(columns * 0.7)),
  });
  const { train, test } = run.images;
  const errors = await errorsOnGrid(run.model, plane, grid, train, test, (errors) =>
    onPoint({ grid, errors, ...points }),
  );
  return { grid, errors, ...points };
}

function planeOf(average: Float32Array, last: Float32Array, start: Float32Array): Plane {
  try {
    return planeThrough(average, last, start);
  } catch {
    throw new NoPlane(
      'There is no plane to show: where the window starts, the last weights and the average lie on ' +
        'one line, as they do where the average is of a single step.',
    );
  }
}
