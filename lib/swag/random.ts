/**
 * Standard normal numbers by seed, the same on every backend, and seeds that follow from seeds. It
 * knows nothing of weights.
 */
import * as tf from '@tensorflow/tfjs-core';

const WORD = 2 ** 32;

/**
 * A key, an integer of 32 bits, from a key and a number: for one key different ones for different
 * numbers below 2^32. (The finalizer of MurmurHash3 on steps of the golden ratio, as in SplitMix.
 * tfjs's generator on seeds that are neighbours gives numbers with too heavy tails.)
 */
export function foldIn(key: number, data: number): number {
  let h = (key + Math.imul(0x9e3779b9, data + 1)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The key of a seed, an integer from 0 to 2^53 - 1. */
export function keyOf(seed: number): number {
  return foldIn(foldIn(0, seed % WORD), Math.floor(seed / WORD));
}

/** A seed that was not given. */
export function freshSeed(): number {
  return Math.floor(Math.random() * WORD);
}

/**
 * Standard normal numbers by key. tfjs-core makes them in JavaScript whatever the backend (3.21 to
 * 4.22, random_normal.ts); its seed 0 means none (rand_util.ts, `MPRandGauss`), hence the 1.
 */
export function normal(shape: number[], key: number): tf.Tensor {
  return tf.randomNormal(shape, 0, 1, 'float32', key + 1);
}
