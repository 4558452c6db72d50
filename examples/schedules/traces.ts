/**
 * Runs an SWA on one number, led by a schedule, and writes down each rate and each average. It
 * knows nothing of pictures.
 */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import {
  constant,
  cosineAnnealing,
  cyclic,
  LambdaLR,
  sequence,
  SWA,
  type Schedule,
  type SWAOptions,
} from 'tfjs-swa';

/** What one step was: a batch, or here one epoch. */
export interface Step {
  /** Counted from 0. */
  step: number;
  /** The rate that the step was taken with. */
  rate: number;
  /** Whether the weights after it went into the average. */
  averaged: boolean;
}

/** A run of three phases; lengths in epochs. */
export const PHASES = {
  epochs: 100,
  constant: { rate: 0.1, epochs: 20 },
  cosine: { to: 0.01, epochs: 40 },
  cyclic: { high: 0.05, low: 0.01, cycle: 5, epochs: 40 },
};

/** The paper's alpha_1, alpha_2 and c, in its own words; lengths in steps. */
export const PAPER = { high: 0.05, low: 0.01, cycle: 10, steps: 40 };

/** The three phases; averages are taken in the last, at the end of each cycle. */
export async function tracePhases(): Promise<Step[]> {
  const { epochs, constant: flat, cosine, cyclic: cycles } = PHASES;
  const { rate: from } = flat;
  const { to, epochs: steps } = cosine;
  const schedule = sequence([
    [constant(from), flat.epochs],
    [cosineAnnealing({ from, to, steps }), steps],
    cyclic({ high: cycles.high, low: cycles.low, steps: cycles.cycle }),
  ]);
  const swaStart = flat.epochs + cosine.epochs;
  return trace(schedule, { swaStart, swaFreq: cycles.cycle }, epochs);
}

/** The paper's cyclic rate from the first step on. */
export async function tracePaperCycle(): Promise<Step[]> {
  const { high, low, cycle, steps } = PAPER;
  return trace(cyclic({ high, low, steps: cycle }), { swaStart: 0, swaFreq: cycle }, steps);
}

async function trace(schedule: Schedule, options: SWAOptions, steps: number): Promise<Step[]> {
  await tf.ready();
  const weight = tf.variable(tf.scalar(1));
  const swa = new SWA(tf.train.sgd(0.1), options);
  const scheduler = new LambdaLR(swa, schedule);
  const seen: Step[] = [];
  for (let step = 0; step < steps; step++) {
    const rate = scheduler.lastLr[0]!;
    const before = swa.paramGroups[0]?.n_avg ?? 0;
    swa.minimize(() => tf.square(weight), false, [weight]);
    seen.push({ step, rate, averaged: swa.paramGroups[0]!.n_avg > before });
    scheduler.step();
  }
  tf.dispose(weight);
  swa.dispose();
  return seen;
}
