/** How long the demo will take, from a few steps timed here. It knows nothing of progress bars. */
import * as tf from '@tensorflow/tfjs-core';
import { AveragedModel, emaAvgFn } from 'tfjs-swa';
import type { Images } from './data.js';
import { gridSize } from './landscape.js';
import { createModel, evaluate, reestimate } from './model.js';
import type { DemoOptions } from './options.js';
import { shuffledIndices } from './random.js';
import { BATCH, MOMENTUM, RATE, type Schedule } from './schedule.js';
import { trainStep, type Phase } from './training.js';
import { windowsOf } from './windows.js';

/** Seconds by part of the work. */
export interface Estimate {
  /** One epoch with all that is measured after it. */
  epoch: Record<Phase, number>;
  /** One window, of which the best is chosen. */
  window: number;
  /** One row of the error plane. */
  row: number;
  charts: number;
  total: number;
}

/** Seconds for the charts, about the same on every backend. */
const CHARTS = 1;

/** Times steps, an evaluation and a re-estimation on a net that is thrown away. */
export async function estimateSeconds(
  { seeds, width, grid }: DemoOptions,
  schedule: Schedule,
  train: Images,
  test: Images,
): Promise<Estimate> {
  const model = createModel(width, 0);
  const optimizer = tf.train.momentum(RATE, MOMENTUM);
  const ema = new AveragedModel(model, { avgFn: emaAvgFn() });
  const indices = shuffledIndices(BATCH, Math.random);
  const step = async () => {
    const loss = trainStep(model, optimizer, train, indices);
    await loss.data();
    loss.dispose();
  };
  try {
    const stepSeconds = await typicalSeconds(step, 60);
    const evaluation = await typicalSeconds(() => evaluate(model, test), 5);
    const reestimation = await typicalSeconds(() => reestimate(model, train), 5);
    const averaging = await typicalSeconds(async () => ema.updateParameters(), 20);
    const { half, epochs, stepsPerEpoch, swaEpochs } = schedule;
    const measuring = reestimation + evaluation;
    // How often the average is measured, and one time more for the other one.
    const measurings = (epochs - half) / swaEpochs + 1;
    const plain = stepsPerEpoch * stepSeconds + evaluation;
    const shared = plain + stepsPerEpoch * averaging;
    const epoch = {
      shared,
      averaged: shared + stepsPerEpoch * averaging + (measurings * measuring) / (epochs - half),
      decay: plain,
    };
    const { columns, rows } = gridSize(grid);
    const row = columns * measuring;
    const run =
      half * epoch.shared +
      (epochs - half) * (epoch.averaged + epoch.decay) +
      windowsOf(epochs) * measuring;
    return {
      epoch,
      window: measuring,
      row,
      charts: CHARTS,
      total: seeds * run + rows * row + CHARTS,
    };
  } finally {
    ema.dispose();
    optimizer.dispose();
    model.dispose();
  }
}

/** The median of some runs, which the slow first ones and other programs hardly move. */
async function typicalSeconds(f: () => Promise<unknown>, runs: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await f();
    times.push((performance.now() - start) / 1000);
  }
  return times.sort((a, b) => a - b)[Math.floor(runs / 2)]!;
}
