/**
 * Makes the optimizers of this package known to tfjs, which is what `import 'tfjs-swa/register'` is
 * for: a program that loads a model compiled with one, and itself makes none, has a bundler leave the
 * classes out otherwise.
 * @module
 */
import * as tf from '@tensorflow/tfjs-core';
import { Lookahead, ScheduleFree, SWA } from './index.js';

for (const cls of [SWA, ScheduleFree, Lookahead]) tf.serialization.registerClass(cls);
