/** What the rest costs: swapping, memory, batch normalization, and the state as plain data. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { SWA } from 'tfjs-swa';
import { variablesOf } from './average.js';
import { fence } from './device.js';
import { compare, type Row } from './measure.js';
import { sizeOf } from './shapes.js';

/** An SWA whose average has memory of its own, and the variables; and the bytes that this took. */
function averaged(shapes: readonly number[][]): {
  swa: SWA;
  params: tf.Variable[];
  size: number;
  bytes: number;
} {
  const size = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const params = variablesOf(Float32Array.from({ length: size }, Math.random), shapes);
  const swa = new SWA(tf.train.sgd(0.1), { paramGroups: [{ params }] });
  const before = tf.memory().numBytes;
  swa.updateSwa();
  for (const param of params) tf.tidy(() => param.assign(tf.mul(param, 0.5)));
  swa.updateSwa();
  return { swa, params, size, bytes: tf.memory().numBytes - before };
}

/** Kernels that a swap runs, and bytes that an average takes beside the parameters, for good and at a time. */
export async function benchSwapAndMemory(
  model: string,
  shapes: readonly number[][],
): Promise<Row[]> {
  const { swa, params, size, bytes } = averaged(shapes);
  const backend = tf.getBackend();
  const { kernels, newBytes: made } = await tf.profile(() => {
    swa.swapSwaSgd();
    return [];
  });
  const ran = kernels.length;
  swa.swapSwaSgd();
  const temporaries = peakBytes(() => swa.updateSwa());
  const largest = 4 * Math.max(...shapes.map(sizeOf));
  swa.dispose();
  tf.dispose(params);
  const row = { backend, goal: 0, against: 'nothing', againstValue: 0 };
  return [
    {
      ...row,
      what: `kernels in a swap, ${model}`,
      unit: 'kernels',
      value: ran,
      ratio: ran,
    },
    {
      ...row,
      what: `bytes made by a swap, ${model}`,
      unit: 'bytes',
      value: made,
      ratio: made,
    },
    {
      backend,
      what: `memory of the average, ${model}`,
      unit: 'MB',
      value: bytes / 1e6,
      against: 'the parameters',
      againstValue: (4 * size) / 1e6,
      ratio: bytes / (4 * size),
      goal: 1,
    },
    {
      backend,
      what: `tfjs tensors that an update makes, at their peak, ${model}`,
      unit: 'MB',
      value: temporaries / 1e6,
      against: 'the largest tensor',
      againstValue: largest / 1e6,
      ratio: temporaries / largest,
      goal: 1,
    },
  ];
}

/** The bytes of the tensors that `f` holds at a time beyond those before, at most. */
function peakBytes(f: () => void): number {
  const engine = tf.engine() as unknown as { trackTensor: (...args: unknown[]) => void };
  const { trackTensor } = engine;
  const before = tf.memory().numBytes;
  let peak = 0;
  engine.trackTensor = (...args) => {
    trackTensor.apply(engine, args);
    peak = Math.max(peak, tf.memory().numBytes - before);
  };
  try {
    f();
  } finally {
    delete (engine as Partial<typeof engine>).trackTensor;
  }
  return peak;
}

/** `stateDict()` of SGD, whose state is the averages, against copying as many bytes. */
export async function benchStateDict(
  model: string,
  shapes: readonly number[][],
  rounds: number,
): Promise<Row> {
  const { swa, params } = averaged(shapes);
  const arrays = shapes.map((shape) => new Float32Array(sizeOf(shape)).fill(1));
  let kept: unknown;
  const result = await compare(
    async () => {
      kept = await swa.stateDict();
    },
    () => {
      kept = arrays.map((array) => array.slice());
    },
    rounds,
  );
  if (!kept) throw new Error('Nothing was copied');
  swa.dispose();
  tf.dispose(params);
  const backend = tf.getBackend();
  return {
    backend,
    what: `state dict, ${model}`,
    against: 'copying its bytes',
    goal: 1.5,
    ...result,
  };
}

/** `SWA.bnUpdate` of a dense net with batch normalization, against the forward passes alone. */
export async function benchBnUpdate(rounds: number): Promise<Row> {
  const layers: tfl.layers.Layer[] = [];
  for (let i = 0; i < 3; i++) {
    const inputShape = i === 0 ? { inputShape: [64] } : {};
    layers.push(tfl.layers.dense({ units: 64, ...inputShape }), tfl.layers.batchNormalization());
  }
  const model = tfl.sequential({ layers });
  const batches = Array.from({ length: 8 }, () => tf.randomNormal([64, 64]));
  const result = await compare(
    () => SWA.bnUpdate(batches, model),
    () => {
      for (const batch of batches) tf.tidy(() => void model.apply(batch, { training: true }));
    },
    rounds,
    fence,
  );
  tf.dispose(batches);
  model.dispose();
  const against = 'its forward passes';
  return { backend: tf.getBackend(), what: 'bnUpdate, 3 x 64', against, goal: 1.05, ...result };
}
