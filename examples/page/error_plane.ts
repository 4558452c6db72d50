/**
 * The test error on the plane through where averaging starts, the last weights and the average of a
 * run. It knows nothing of how the plane is drawn.
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
  /** The weights from the start of averaging on, after each epoch, projected onto the plane. */
  path: Point[];
}

/** Says why there is no plane to measure. */
export class NoPlane extends Error {}

/**
 * Measures the plane, with statistics of batch normalization re-estimated at every point. The run
 * is over then: its weights are those of the last point.
 *
 * @param onPoint Told after each point what there is so far, and waited for.
 * @throws NoPlane if the three points lie on one line, as they do where the average is of one value.
 */
export async function measurePlane(
  run: Run,
  checkpoint: Checkpoint,
  onPoint: (plane: ErrorPlane) => Promise<void>,
): Promise<ErrorPlane> {
  const path = checkpoint.path.map(({ values }) => values as Float32Array);
  const [average, last, start] = [await run.average(), path.at(-1)!, path[0]!];
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
      'There is no plane to show: where averaging starts, the last weights and the average lie on ' +
        'one line, as they do where the average is of a single value.',
    );
  }
}
