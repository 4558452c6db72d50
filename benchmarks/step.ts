/**
 * A step of the wrapper in automatic mode, before averaging starts, against one of the bare optimizer.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SWA } from 'tfjs-swa';
import { fence } from './device.js';
import { compare, type Row } from './measure.js';

/** Measures `applyGradients` of SGD with momentum on variables of the shapes. */
export async function benchStep(
  what: string,
  shapes: readonly number[][],
  rounds: number,
  goal: number,
): Promise<Row> {
  const variables = shapes.map((shape) => tf.tidy(() => tf.variable(tf.zeros(shape))));
  const gradients = variables.map(({ name, shape }) => ({ name, tensor: tf.fill(shape, 1e-3) }));
  const row = await withBoth(what, rounds, goal, (optimizer) =>
    optimizer.applyGradients(gradients),
  );
  tf.dispose([variables, gradients.map(({ tensor }) => tensor)]);
  return row;
}

/** Measures `minimize` on the sum of the variables' squares. */
export async function benchMinimize(
  what: string,
  shapes: readonly number[][],
  rounds: number,
  goal: number,
): Promise<Row> {
  const variables = shapes.map((shape) => tf.tidy(() => tf.variable(tf.ones(shape))));
  const loss = (): tf.Scalar =>
    tf.addN(variables.map((variable) => tf.sum<tf.Scalar>(tf.square(variable))));
  const row = await withBoth(what, rounds, goal, (optimizer) =>
    optimizer.minimize(loss, false, variables),
  );
  tf.dispose(variables);
  return row;
}

async function withBoth(
  what: string,
  rounds: number,
  goal: number,
  step: (optimizer: tf.Optimizer) => unknown,
): Promise<Row> {
  // One optimizer, bare and wrapped: of two, one is some per cent faster by where its slots lie.
  const bare = tf.train.momentum(1e-4, 0.9);
  const swa = new SWA(bare, { swaStart: 1e9, swaFreq: 1, swaLr: 0.01 });
  const result = await compare(
    () => step(swa),
    () => step(bare),
    rounds,
    fence,
  );
  swa.dispose();
  return { backend: tf.getBackend(), what, against: 'bare optimizer', goal, ...result };
}
