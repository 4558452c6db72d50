/** Waiting for the backend's device, before the clock starts and stops. */
import * as tf from '@tensorflow/tfjs-core';

/** Resolves when the device has done all that it was told; at once where ops are done on return. */
export async function fence(): Promise<void> {
  if (!tf.getBackend().startsWith('webg')) return;
  const last = tf.tidy(() => tf.add(tf.ones([8]), 1));
  await last.data();
  last.dispose();
}

/** Runs `f` with the values of every tensor on the device, and none of the transfers in its time. */
export async function upload(variables: readonly tf.Variable[]): Promise<void> {
  for (const variable of variables) tf.tidy(() => variable.assign(tf.mul(variable, 1)));
  await fence();
}
