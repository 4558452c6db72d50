/** tfjs as its union package `@tensorflow/tfjs` gives it: core, layers, `tf.data`, a backend. */
import '@tensorflow/tfjs-backend-cpu';

export * from '@tensorflow/tfjs-core';
export * from '@tensorflow/tfjs-layers';
export * as data from '@tensorflow/tfjs-data';
