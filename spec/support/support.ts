/** What specs share: ownership of tensors, captured warnings, recorded traces, seeded numbers. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { readFileSync } from 'node:fs';
import { tolerated } from './backends.js';

type Owned = tf.Tensor | { dispose(): unknown };
const owned: Owned[] = [];

/** Has a tensor, variable, optimizer or model disposed after the spec; returns it. */
export function own<T extends Owned>(thing: T): T {
  owned.push(thing);
  return thing;
}

/** Disposes what {@link own} was handed, latest first. */
export function disposeOwned(): void {
  for (const thing of owned.splice(0).reverse()) {
    if (!(thing instanceof tf.Tensor && thing.isDisposed)) thing.dispose();
  }
}

/** An owned variable of the values; nothing else is left behind. */
export function variable(
  values: number | number[] | number[][],
  name?: string,
  trainable = true,
): tf.Variable {
  return own(tf.tidy(() => tf.variable(tf.tensor(values, undefined, 'float32'), trainable, name)));
}

/** The values of tensors; not by `dataSync`, which takes WebGPU 40 times as long. */
export function valuesOf(tensors: readonly tf.Tensor[]): Promise<number[][]> {
  return Promise.all(tensors.map(async (tensor) => [...(await tensor.data())]));
}

/** Runs `f` and returns what it wrote with `console.warn`. */
export async function warningsOf(f: () => unknown): Promise<string[]> {
  const warnings: string[] = [];
  const original = console.warn;
  console.warn = (message: string) => void warnings.push(message);
  try {
    await f();
  } finally {
    console.warn = original;
  }
  return warnings;
}

/** Asserts that `f` rejects or throws an Error whose message is, or matches, `message`. */
export async function assertFails(f: () => unknown, message: string | RegExp): Promise<void> {
  let caught: unknown;
  try {
    await f();
  } catch (error) {
    caught = error;
  }
  assert.instanceOf(caught, Error, 'expected an error');
  const text = (caught as Error).message;
  if (typeof message === 'string') assert.equal(text, message);
  else assert.match(text, message);
}

/** Asserts that values agree within `tolerance`, absolutely; it grows as the backend needs. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = 'values',
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert.isTrue(
      difference <= tolerated(tolerance),
      `${what}[${i}]: ${actual[i]}, not ${expected[i]}`,
    );
  }
}

/** A recorded trace of spec/golden. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON of many shapes
export function golden(name: string): any {
  return JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), 'utf8'));
}

/** The quadratic problem of the recorded traces (spec/golden/README.md), with fresh variables. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON of many shapes
export function quadratic({ x0, y0, dx, dy, cx, cy, k }: any) {
  const x = variable(x0 as number[]);
  const y = variable(y0 as number[][]);
  const half = (d: number[], c: number[], v: tf.Variable): tf.Tensor =>
    tf.mul(0.5, tf.sum(tf.mul(d, tf.square(tf.sub(v, c)))));
  const loss = (): tf.Scalar =>
    tf.tidy(() => {
      const coupling = tf.mul(k as number, tf.mul(tf.sum(x), tf.sum(y)));
      return tf.add(tf.add(half(dx, cx, x), half(dy, cy, y)), coupling);
    });
  return { x, y, loss };
}

/** The seven tfjs optimizers and Nesterov, at rates that train the little problems of the specs. */
export const OPTIMIZERS: Record<string, () => tf.Optimizer> = {
  sgd: () => tf.train.sgd(0.05),
  momentum: () => tf.train.momentum(0.05, 0.9),
  nesterov: () => tf.train.momentum(0.05, 0.9, true),
  adagrad: () => tf.train.adagrad(0.05),
  adadelta: () => tf.train.adadelta(0.05),
  adam: () => tf.train.adam(0.05),
  adamax: () => tf.train.adamax(0.05, 0.9, 0.999, 1e-7, 0.01),
  rmsprop: () => tf.train.rmsprop(0.05),
  'rmsprop, centered': () => tf.train.rmsprop(0.05, 0.9, 0.5, 1e-3, true),
};

/** The loss `0.5 sum(v^2)`, whose gradient is v: SGD at a rate r multiplies v by 1 - r. */
export const half =
  (...vs: tf.Variable[]) =>
  (): tf.Scalar =>
    tf.tidy(() => tf.addN(vs.map((v) => tf.mul(0.5, tf.sum(tf.square(v)))))) as tf.Scalar;

/** Frees the scalar that MomentumOptimizer's own dispose forgets, and the rest. */
export function disposeBare(optimizer: tf.Optimizer): void {
  optimizer.dispose();
  tf.dispose((optimizer as unknown as { c: tf.Tensor }).c);
}

/** Uniform numbers in [0, 1) that are the same in every run: the demo's. */
export { randomNumbers as random } from '../../examples/demo/random.js';
