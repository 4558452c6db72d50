/**
 * One update of the running average against the fastest that a backend can be expected to do, and
 * against other libraries. It averages through the public door, and checks what the first two come to.
 */
import * as tf from '@tensorflow/tfjs-core';
import { emaAvgFn, SWA } from 'tfjs-swa';
import { MODULE } from '../lib/average/kernels/average_wasm.js';
import { fence, upload } from './device.js';
import { compare, type Row } from './measure.js';
import { sizeOf } from './shapes.js';

/** The yardstick of a backend. */
interface Yardstick {
  against: string;
  goal: number;
  /** Takes `second` into an average that began with `first`. */
  start(first: Float32Array, second: Float32Array, shapes: readonly number[][]): Reference;
}

interface Reference {
  update(weight: number): void;
  average(): Promise<Float32Array>;
  dispose?(): void;
}

/** What one would write over two arrays, unrolled. */
function unrolledLoop(first: Float32Array, second: Float32Array): Reference {
  const [a, v] = [first.slice(), second.slice()];
  return { update: (weight) => unrolled(a, v, weight), average: async () => a };
}

/**
 * The arrays are arguments, as they are for who has more than two. V8 compiles a closure that was
 * made once for the very arrays that it closes over: as such the loop took ResNet-50 34 ms in the
 * first row of a run and 47 ms in every later one.
 */
function unrolled(a: Float32Array, v: Float32Array, weight: number): void {
  const whole = a.length - (a.length % 8);
  let i = 0;
  for (; i < whole; i += 8) {
    a[i]! += (v[i]! - a[i]!) * weight;
    a[i + 1]! += (v[i + 1]! - a[i + 1]!) * weight;
    a[i + 2]! += (v[i + 2]! - a[i + 2]!) * weight;
    a[i + 3]! += (v[i + 3]! - a[i + 3]!) * weight;
    a[i + 4]! += (v[i + 4]! - a[i + 4]!) * weight;
    a[i + 5]! += (v[i + 5]! - a[i + 5]!) * weight;
    a[i + 6]! += (v[i + 6]! - a[i + 6]!) * weight;
    a[i + 7]! += (v[i + 7]! - a[i + 7]!) * weight;
  }
  for (; i < a.length; i++) a[i]! += (v[i]! - a[i]!) * weight;
}

/** average.wat over two arrays in a memory of its own. */
function simdLoop(first: Float32Array, second: Float32Array): Reference {
  const bytes = first.byteLength;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((2 * bytes) / 65_536) });
  const module = new WebAssembly.Module(MODULE);
  const { exports } = new WebAssembly.Instance(module, { backend: { memory } });
  const average = exports['average'] as (...args: number[]) => void;
  const array = new Float32Array(memory.buffer, 0, first.length);
  array.set(first);
  new Float32Array(memory.buffer, bytes, second.length).set(second);
  const update = (weight: number): void => average(0, bytes, first.length, weight);
  return { update, average: async () => array };
}

/** The plain ops of tfjs, tensor by tensor. */
function plainOps(first: Float32Array, second: Float32Array, shapes: readonly number[][]) {
  const buffers = variablesOf(first, shapes);
  const values = variablesOf(second, shapes);
  return {
    update: (weight: number): void => updatePlain(buffers, values, weight),
    average: () => valuesOf(buffers),
    dispose: () => tf.dispose([buffers, values]),
  };
}

/** The average by plain ops. */
export function updatePlain(
  buffers: readonly tf.Variable[],
  values: readonly tf.Variable[],
  weight: number,
): void {
  buffers.forEach((buffer, i) =>
    tf.tidy(() => buffer.assign(tf.add(buffer, tf.mul(tf.sub(values[i]!, buffer), weight)))),
  );
}

const YARDSTICKS: Record<string, Yardstick> = {
  cpu: { against: 'unrolled loop, two arrays', goal: 1.2, start: unrolledLoop },
  wasm: { against: 'SIMD loop, two arrays', goal: 1.2, start: simdLoop },
  webgl: { against: 'tf ops', goal: 0.5, start: plainOps },
  webgpu: { against: 'tf ops', goal: 0.35, start: plainOps },
  tensorflow: { against: 'unrolled loop, two arrays', goal: 0.5, start: unrolledLoop },
};

/** Variables of the shapes that hold the values, one after the other. */
export function variablesOf(values: Float32Array, shapes: readonly number[][]): tf.Variable[] {
  let end = 0;
  return shapes.map((shape) => {
    const start = end;
    end += sizeOf(shape);
    const part = values.slice(start, end);
    return tf.tidy(() => tf.variable(tf.tensor(part, shape)));
  });
}

async function valuesOf(variables: readonly tf.Variable[]): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (const variable of variables) parts.push(await variable.data<'float32'>());
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}

/** Other libraries' updates of an average. Each times itself, for tinybench. */
export interface Peers {
  list: { against: string; update: () => Promise<{ overriddenDuration: number }> }[];
  stop(): void;
}

interface AverageOptions {
  /** An EMA, not the equal average. */
  ema?: boolean;
  /** Parameter groups that the variables are cut into; default 1. */
  groups?: number;
  hasGoal?: boolean;
  /** Starts peers that average tensors of the shapes. */
  startPeers?: ((shapes: readonly number[][]) => Promise<Peers>) | undefined;
}

/** Measures `SWA.updateSwa` on variables of the shapes, against the yardstick and then the peers. */
export async function benchAverage(
  what: string,
  shapes: readonly number[][],
  rounds: number,
  { ema = false, groups = 1, hasGoal = true, startPeers }: AverageOptions = {},
): Promise<Row[]> {
  const backend = tf.getBackend();
  const yardstick = YARDSTICKS[backend]!;
  const size = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const first = new Float32Array(size).map(Math.random);
  const second = first.map((value) => value / 2);
  const params = variablesOf(first, shapes);
  const swa = new SWA(tf.train.sgd(0.1), {
    paramGroups: Array.from({ length: groups }, (_, group) => ({
      params: params.filter((_, i) => i % groups === group),
    })),
    ...(ema ? { avgFn: emaAvgFn(0.99) } : {}),
  });
  swa.updateSwa();
  const seconds = variablesOf(second, shapes);
  params.forEach((param, i) => param.assign(seconds[i]!));
  tf.dispose(seconds);
  await upload(params);

  const reference = yardstick.start(first, second, shapes);
  let [ours, theirs] = [1, 1];
  const update = (): void => {
    ours += 1;
    swa.updateSwa();
  };
  const updateReference = (): void => {
    theirs += 1;
    reference.update(ema ? 1 - 0.99 : 1 / theirs);
  };
  /** Every update is one by `second`, half of `first`. */
  const check = (average: Float32Array, updates: number): void => {
    const share = ema ? 0.99 ** (updates - 1) : 1 / updates;
    // In float32 an average comes to a halt at steps of half an ulp, some sqrt(2^-25) short, later on.
    const tolerance = updates < 10 ? 1e-6 : 2e-4;
    for (const [i, value] of average.entries()) {
      const expected = second[i]! + (first[i]! - second[i]!) * share;
      if (!(Math.abs(value - expected) < tolerance)) {
        throw new Error(`Another average: ${value}, not ${expected}`);
      }
    }
  };

  const checkBoth = async (): Promise<void> => {
    await swa.withSwa(async () => check(await valuesOf(params), ours));
    check(await reference.average(), theirs);
  };
  // After few updates as well: later ones move the average hardly.
  for (let i = 0; i < 3; i++) {
    update();
    updateReference();
  }
  await checkBoth();

  const { against, goal } = yardstick;
  const result = await compare(update, updateReference, rounds, fence);
  const rows: Row[] = [{ backend, what, against, ...(hasGoal ? { goal } : {}), ...result }];

  const peers = await startPeers?.(shapes);
  try {
    for (const { against, update: updatePeer } of peers?.list ?? []) {
      const result = await compare(update, updatePeer, rounds, fence);
      // The goal is for the backend that, like the peer at one thread, has SIMD and one thread.
      const goal = backend === 'wasm' ? { goal: 1 } : {};
      rows.push({ backend, what, against, ...goal, ...result });
    }
  } finally {
    peers?.stop();
  }
  await checkBoth();
  swa.dispose();
  tf.dispose(params);
  reference.dispose?.();
  return rows;
}
