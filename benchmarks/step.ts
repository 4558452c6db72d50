/** A step of the wrapper, without an update of the average, against one of the bare optimizer. */
import * as tf from '@tensorflow/tfjs-core';
import { SWA } from 'tfjs-swa';
import { compare, type Row } from './measure.js';

/** Measures `applyGradients` of SGD with momentum on variables of the shapes. */
export function benchStep(what: string, shapes: readonly number[][], rounds: number): Row {
  const variables = shapes.map((shape) => tf.tidy(() => tf.variable(tf.zeros(shape))));
  const gradients = variables.map(({ name, shape }) => ({ name, tensor: tf.fill(shape, 1e-3) }));
  const row = withBoth(what, rounds, (optimizer) => optimizer.applyGradients(gradients));
  tf.dispose([variables, gradients.map(({ tensor }) => tensor)]);
  return row;
}

/** Measures `minimize` on the sum of the variables' squares. */
export function benchMinimize(what: string, shapes: readonly number[][], rounds: number): Row {
  const variables = shapes.map((shape) => tf.tidy(() => tf.variable(tf.ones(shape))));
  const loss = (): tf.Scalar =>
    tf.addN(variables.map((variable) => tf.sum<tf.Scalar>(tf.square(variable))));
  const row = withBoth(what, rounds, (optimizer) => optimizer.minimize(loss, false, variables));
  tf.dispose(variables);
  return row;
}

function withBoth(what: string, rounds: number, step: (optimizer: tf.Optimizer) => unknown): Row {
  const bare = tf.train.momentum(1e-4, 0.9);
  const swa = new SWA(tf.train.momentum(1e-4, 0.9));
  const result = compare(
    () => step(swa),
    () => step(bare),
    rounds,
  );
  swa.dispose();
  bare.dispose();
  // What MomentumOptimizer forgets (tfjs-core 4.22, momentum_optimizer.ts, `dispose`).
  tf.dispose(bare['c']);
  return { backend: tf.getBackend(), what, against: 'bare optimizer', ...result };
}
