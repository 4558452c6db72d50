/**
 * The test error on the plane through three solutions, with the path of the weights on it. It knows
 * nothing of how the weights came about or how the plane is drawn.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { createModel, evaluate, reestimate, setFlatWeights } from './model.js';
import { uploaded, type Images } from './data.js';
import {
  coordinatesOf,
  gridAround,
  gridPoints,
  planeThrough,
  pointAt,
  type Grid,
  type Plane,
  type Point,
} from './plane.js';
import type { SeedWeights } from './training.js';

/** A grid's columns and rows, by the points along its longer side. */
export function gridSize(columns: number): { columns: number; rows: number } {
  return { columns, rows: Math.round(0.8 * columns) };
}

/** Test error by place; lengths are distances in weight space, from the average. */
export interface Landscape {
  seed: number;
  grid: Grid;
  /** Test error in percent at the grid's points, row by row from the lowest. */
  errors: number[];
  average: Point;
  decay: Point;
  start: Point;
  /** The iterates of the run that is averaged, one an epoch from the start on, projected onto the plane. */
  path: Point[];
}

/**
 * Measures the test error on the plane, with the statistics of batch normalization re-estimated at
 * every point, as the weights there were never trained.
 *
 * @param onRow Told after each row of the grid, with the row's lowest error.
 */
export async function measureLandscape(
  { seed, width, grid: points }: { seed: number; width: number; grid: number },
  weights: SeedWeights,
  train: Images,
  test: Images,
  onRow: (row: number, rows: number, lowest: number) => void,
): Promise<Landscape> {
  const plane = planeThrough(weights.average, weights.decay, weights.start);
  const place = (point: Float32Array) => coordinatesOf(plane, point);
  const path = [weights.start, ...weights.path].map(place);
  const [average, decay, start] = [weights.average, weights.decay, weights.start].map(place) as [
    Point,
    Point,
    Point,
  ];
  const grid = gridAround([average, decay, ...path], gridSize(points));
  const model = createModel(width, seed);
  try {
    const errors = await errorsOnGrid(model, plane, grid, train, test, (errors) => {
      if (errors.length % grid.columns !== 0) return;
      const row = errors.slice(-grid.columns);
      onRow(errors.length / grid.columns, grid.rows, Math.min(...row));
    });
    return { seed, grid, errors, average, decay, start, path };
  } finally {
    model.dispose();
  }
}

/**
 * The test error in percent at the points of a grid, row by row from the lowest, each with
 * statistics of batch normalization of its own. The model is left at the last point.
 *
 * @param onPoint Told after each point, with the errors so far.
 */
export async function errorsOnGrid(
  model: tfl.LayersModel,
  plane: Plane,
  grid: Grid,
  train: Images,
  test: Images,
  onPoint: (errors: readonly number[]) => void | Promise<void>,
): Promise<number[]> {
  // Uploaded once: a point costs little more than that.
  const [trainBatches, testBatches] = [uploaded(train, 500), uploaded(test, 1000)];
  const errors: number[] = [];
  try {
    for (const point of gridPoints(grid)) {
      setFlatWeights(model, pointAt(plane, point));
      await reestimate(model, train, trainBatches);
      errors.push((await evaluate(model, test, testBatches)).error);
      await onPoint(errors);
    }
  } finally {
    tf.dispose([trainBatches, testBatches]);
  }
  return errors;
}
