/**
 * Makes `SWA` known to tfjs, which is what `import 'tfjs-swa/register'` is for: a program that loads
 * a model compiled with one, and itself makes none, has a bundler leave the class out otherwise.
 * @module
 */
import * as tf from '@tensorflow/tfjs-core';
import { SWA } from './index.js';

tf.serialization.registerClass(SWA);
