/** The run whose state the kept checkpoints hold: an SWA with Adam and two groups, and a scheduler. */
import * as tf from '@tensorflow/tfjs-core';
import { linear, LambdaLR, SWA } from 'tfjs-swa';

/** The run before its first step; `steps` does one, and one of the scheduler. */
export function kept() {
  const v = tf.tidy(() => tf.variable(tf.tensor1d([1, -2, 0.5]), true, 'kept/v'));
  const w = tf.tidy(() => tf.variable(tf.tensor2d([[3], [-4]]), true, 'kept/w'));
  const swa = new SWA(tf.train.adam(0.1, 0.9, 0.999, 1e-7), {
    swaStart: 2,
    swaFreq: 2,
    paramGroups: [{ params: v }, { params: w, lr: 0.03, beta1: 0.8 }],
  });
  const scheduler = new LambdaLR(swa, [linear({ from: 0.1, to: 0.02, steps: 20 }), () => 0.03]);
  const steps = (): void => {
    swa.minimize(() => tf.tidy(() => tf.add(tf.sum(tf.square(v)), tf.sum(tf.abs(w)))) as tf.Scalar);
    scheduler.step();
  };
  return { swa, scheduler, variables: [v, w], steps };
}
