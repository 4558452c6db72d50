/** The fused kernels against the plain ops, on whatever backend is the current one. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { startAverage, updateAverages } from '../../lib/average/average.js';
import { emaAvgFn, finiteOnly, SWA, swaAvgFn, weightedAvgFn, type AvgFn } from '../../lib/index.js';
import { fusedUpdate } from '../../lib/average/kernels/fused.js';
import { shareOf, skipOnNodeGpu } from '../support/backends.js';
import { faked } from '../support/faked.js';
import { half, own, random } from '../support/support.js';

const SIZES = [0, 1, 3, 4, 5, 63, 64, 65, 65_537];
/** tfjs-node's op rounds in other places, and an infinite average stays so (kernels/node.ts). */
const isNode = (): boolean => tf.getBackend() === 'tensorflow';

const AVG_FNS: Record<string, () => AvgFn> = {
  swaAvgFn,
  emaAvgFn: () => emaAvgFn(0.9),
  'emaAvgFn with warmup': () => emaAvgFn(0.99, { warmup: true }),
  weightedAvgFn: () => weightedAvgFn((n) => 1 / (n + 2)),
  finiteOnly: () => finiteOnly(emaAvgFn({ halfLife: 3 })),
};

/** Averages that were formed by plain ops since the spec began; a fused kernel runs none. */
let plainUpdates = 0;

/** Runs `f` and counts the differences that tfjs forms. */
function fused<T>(f: () => T): T {
  const engine = tf.engine() as unknown as {
    runKernel?: (name: string, ...rest: unknown[]) => unknown;
  };
  const { runKernel } = engine;
  engine.runKernel = (name, ...rest) => {
    if (name === tf.Sub) plainUpdates += 1;
    return runKernel!.call(engine, name, ...rest);
  };
  try {
    return f();
  } finally {
    delete engine.runKernel;
  }
}

/** An update by plain ops. */
function updatePlain(buffer: tf.Variable, value: tf.Variable, n: number, avgFn: AvgFn): void {
  tf.tidy(() => buffer.assign(avgFn(buffer, value, n)));
}

/** An owned variable of the values, which it copies. */
const variableOf = (values: Float32Array): tf.Variable =>
  own(tf.tidy(() => tf.variable(tf.tensor1d(values.slice()))));

const assign = (variable: tf.Variable, values: Float32Array): void =>
  tf.tidy(() => variable.assign(tf.tensor1d(values.slice())));

/** A copy, for the cpu backend hands out its own array. */
const read = async (tensor: tf.Tensor): Promise<Float32Array> =>
  (await tensor.data<'float32'>()).slice();

const uniform = (size: number, next: () => number): Float32Array =>
  Float32Array.from({ length: size }, () => 2 * next() - 1);

/** The buffer of an average that has taken `first`, and then `second` in place. */
function averaging(first: Float32Array, second: Float32Array) {
  const value = variableOf(first);
  const buffer = own(startAverage(value));
  assign(value, second);
  fused(() => updateAverages([buffer], [value], 1, swaAvgFn()));
  return { buffer, value };
}

beforeEach(() => {
  plainUpdates = 0;
});

describe('fused kernels', () => {
  before(skipOnNodeGpu);
  for (const [name, make] of Object.entries(AVG_FNS)) {
    for (const size of SIZES) {
      it(`${name} over ${size} values: within one rounding of the plain ops (tfjs-node: two)`, async () => {
        const next = random(size);
        const value = variableOf(uniform(size, next));
        const buffer = own(startAverage(value));
        for (let n = 1; n < 6; n++) {
          assign(value, uniform(size, next));
          const before = await read(buffer);
          const plain = variableOf(before);
          updatePlain(plain, value, n, make());
          const { numTensors } = tf.memory();
          fused(() => updateAverages([buffer], [value], n, make()));
          assert.equal(tf.memory().numTensors, numTensors);
          const [actual, expected] = [await read(buffer), await read(plain)];
          const values = await read(value);
          // Relative to the largest number that occurs; an ulp is 2^-23 of it at most.
          const worst = actual.reduce((most, x, i) => {
            const [b, v] = [before[i]!, values[i]!];
            const scale = Math.max(Math.abs(b), Math.abs(v), Math.abs(v - b));
            return Math.max(most, Math.abs(x - expected[i]!) / scale);
          }, 0);
          assert.isAtMost(worst, isNode() ? 2 ** -22 : 2 ** -23);
          if (size > 3) assert.notDeepEqual(actual, before);
        }
        assert.equal(plainUpdates, 0);
      });
    }
  }

  // An EMA forgets its own roundings as slowly as its values: they add up over 1 / (1 - decay).
  for (const [name, make, bound] of [
    ['the equal average', swaAvgFn, 2e-6],
    ['an EMA', () => emaAvgFn(0.999), 5e-6],
  ] as const) {
    it(`10,000 updates of ${name} stay within ${bound} (tfjs-node: 5e-6) of float64`, async () => {
      const size = 65;
      const next = random(7);
      const sets = Array.from({ length: 50 }, () => uniform(size, next));
      const values = sets.map(variableOf);
      const buffer = own(startAverage(values[0]!));
      const exact = Float64Array.from(sets[0]!);
      fused(() => {
        for (let n = 1; n < 10_000; n++) {
          const k = Math.floor(50 * next());
          updateAverages([buffer], [values[k]!], n, make());
          const weight = name === 'an EMA' ? 1 - 0.999 : 1 / (n + 1);
          const current = sets[k]!;
          for (let i = 0; i < size; i++) exact[i]! += (current[i]! - exact[i]!) * weight;
        }
      });
      const actual = await read(buffer);
      const worst = actual.reduce((most, x, i) => Math.max(most, Math.abs(x - exact[i]!)), 0);
      assert.isAtMost(worst, isNode() ? 5e-6 : bound);
      // The first may be refused: average and value share their data then.
      assert.isAtMost(plainUpdates, 1);
    });
  }

  it('10,000 updates by values that have settled keep the average where they are', async () => {
    const settled = Float32Array.from({ length: 65 }, (_, i) => 0.1 + i / 65);
    const { buffer, value } = averaging(settled, settled);
    assign(
      value,
      settled.map((x) => x * (1 + 1e-5)),
    );
    const values = await read(value);
    fused(() => {
      for (let n = 2; n < 10_000; n++) updateAverages([buffer], [value], n, swaAvgFn());
    });
    const actual = await read(buffer);
    const worst = actual.reduce((most, x, i) => Math.max(most, Math.abs(x / values[i]! - 1)), 0);
    // In float32 an average comes to a halt where a step is half an ulp.
    assert.isAtMost(worst, 2e-6);
    assert.equal(plainUpdates, 0);
  });

  it('averages a whole group, each tensor with its own value', async () => {
    const sets = [3, 70, 0, 1].map((size) => uniform(size, random(size)));
    const values = sets.map(variableOf);
    const buffers = sets.map((set) => variableOf(set.map(() => 1)));
    fused(() => updateAverages(buffers, values, 3, swaAvgFn()));
    for (const [i, buffer] of buffers.entries()) {
      // 1 + (x - 1) / 4
      const expected = sets[i]!.map((x) => 1 + (x - 1) / 4);
      for (const [k, x] of (await read(buffer)).entries()) {
        assert.isAtMost(Math.abs(x - expected[k]!), 2 ** -23);
      }
    }
  });

  it('reach every value of a tensor that is larger than one dimension of a WebGPU dispatch', async () => {
    const size = 4_200_001; // 65,535 workgroups of 64 values are 4,194,240
    const value = own(tf.tidy(() => tf.variable(tf.fill([size], 3, 'float32'))));
    const buffer = own(tf.tidy(() => tf.variable(tf.fill([size], 1, 'float32'))));
    fused(() => updateAverages([buffer], [value], 1, swaAvgFn()));
    const range = own(tf.tidy(() => tf.stack([tf.min(buffer), tf.max(buffer)])));
    assert.deepEqual([...(await read(range))], [2, 2]);
    assert.equal(plainUpdates, 0);
  });

  it('carry NaN and infinity as the plain ops do', async () => {
    const averages = Float32Array.of(0, 0, 0, Infinity, Infinity, NaN, 1, 3e38);
    const values = Float32Array.of(NaN, Infinity, -Infinity, Infinity, 1, 1, 1, 3e38);
    const [plain, buffer, value] = [averages, averages, values].map(variableOf);
    updatePlain(plain!, value!, 1, swaAvgFn());
    fused(() => updateAverages([buffer!], [value!], 1, swaAvgFn()));
    const expected = [NaN, Infinity, -Infinity, NaN, NaN, NaN, 1, Math.fround(3e38)];
    assert.deepEqual([...(await read(plain!))], expected);
    const actual = [...(await read(buffer!))];
    if (isNode())
      assert.deepEqual(actual, [NaN, Infinity, -Infinity, Infinity, Infinity, NaN, 1, Infinity]);
    else assert.deepEqual(actual, expected);
    assert.equal(plainUpdates, 0);
  });

  it('average what lies on another backend', async () => {
    const current = tf.getBackend();
    const [first, second] = [Float32Array.of(1, 2, 3), Float32Array.of(3, 2, 5)];
    const value = variableOf(first);
    const buffer = own(startAverage(value));
    assert.isTrue(await tf.setBackend('cpu'));
    try {
      assign(value, second);
    } finally {
      await tf.setBackend(current);
    }
    fused(() => updateAverages([buffer], [value], 1, swaAvgFn()));
    assert.deepEqual([...(await read(buffer))], [2, 2, 4]);
  });

  it('go on after the memory of the backend has grown', async () => {
    const { buffer, value } = averaging(Float32Array.of(1, 2), Float32Array.of(3, 4));
    const large = own(tf.zeros([5_000_000]));
    assign(value, Float32Array.of(5, 6));
    fused(() => updateAverages([buffer], [value], 2, swaAvgFn()));
    // (1 + 3 + 5) / 3, (2 + 4 + 6) / 3
    assert.deepEqual([...(await read(buffer))], [3, 4]);
    assert.equal(large.size, 5_000_000);
  });

  it('leave no packed copy behind of an average that predicts between its updates', async () => {
    // On wasm the copies lie in a memory that only grows: 77 MB of them would not fit into what it has.
    const { wasm } = tf.backend() as { wasm?: { HEAPU8: Uint8Array } };
    const bytes = (): number => wasm?.HEAPU8.length ?? tf.memory().numBytes;
    const size = 256;
    const next = random(1);
    const value = own(
      tf.tidy(() => tf.variable(tf.tensor2d(uniform(size * size, next), [size, size]))),
    );
    const buffer = own(tf.tidy(() => tf.variable(tf.mul(value, 2))));
    const x = own(tf.ones([1, size]));
    const predict = (): void => {
      updateAverages([buffer], [value], 9, swaAvgFn());
      tf.dispose(tf.matMul(x, buffer));
    };
    for (let i = 0; i < 5; i++) predict();
    const before = bytes();
    fused(() => {
      for (let i = 0; i < shareOf(300); i++) predict();
    });
    assert.equal(bytes(), before);
    assert.equal(plainUpdates, 0);
  });

  it('train an SWA to the averages that the plain ops give', async () => {
    const train = (): [SWA, tf.Variable] => {
      const v = variableOf(Float32Array.of(8, -4, 1));
      const swa = own(new SWA(tf.train.sgd(0.5), { swaStart: 0, swaFreq: 1 }));
      for (let i = 0; i < 4; i++) swa.minimize(half(v), false, [v]);
      swa.swapSwaSgd();
      return [swa, v];
    };
    const [, v] = fused(train);
    // The mean of 1/2, 1/4, 1/8 and 1/16 is 15/64.
    assert.deepEqual([...(await read(v))], [1.875, -0.9375, 0.234375]);
  });
});

describe('fused kernels never write through an alias:', () => {
  before(skipOnNodeGpu);
  const [first, second, third] = [
    Float32Array.of(1, 2),
    Float32Array.of(3, 4),
    Float32Array.of(5, 6),
  ];

  /** Takes `third` into the average of the first two, and expects (2, 3) to stay in the alias. */
  async function holds(aliasOf: (buffer: tf.Variable) => tf.Tensor): Promise<void> {
    const { buffer, value } = averaging(first, second);
    const alias = own(aliasOf(buffer));
    assign(value, third);
    fused(() => updateAverages([buffer], [value], 2, swaAvgFn()));
    assert.deepEqual([...(await read(alias))], [2, 3]);
    assert.deepEqual([...(await read(buffer))], [3, 4]);
  }

  it('a clone keeps its values', () => holds((buffer) => tf.clone(buffer)));
  it('a reshape keeps its values', () => holds((buffer) => tf.reshape(buffer, [2, 1])));
  it('a variable made of it keeps its values', () => holds((buffer) => tf.variable(buffer)));

  it('the variable that the average started from keeps its value', async () => {
    const value = variableOf(first);
    const buffer = own(startAverage(value));
    const other = variableOf(second);
    fused(() => updateAverages([buffer], [other], 1, swaAvgFn()));
    assert.deepEqual([...(await read(value))], [...first]);
    assert.deepEqual([...(await read(buffer))], [2, 3]);
  });

  it('an array that tf.tensor was handed keeps its values', async () => {
    const mine = first.slice();
    const value = own(tf.tidy(() => tf.variable(tf.tensor1d(mine))));
    const buffer = own(startAverage(value));
    assign(value, second);
    fused(() => updateAverages([buffer], [value], 1, swaAvgFn()));
    assert.deepEqual(mine, first);
    assert.deepEqual([...(await read(buffer))], [2, 3]);
  });

  it('an array that data() handed out keeps its values, read before the update or after', async () => {
    const { buffer, value } = averaging(first, second);
    assign(value, third);
    const early = buffer.data();
    fused(() => updateAverages([buffer], [value], 2, swaAvgFn()));
    const [before, after] = [await early, await buffer.data()];
    assert.deepEqual([...before], [2, 3]);
    assert.deepEqual([...after], [3, 4]);
    assign(value, Float32Array.of(7, 8));
    fused(() => updateAverages([buffer], [value], 3, swaAvgFn()));
    assert.deepEqual([...before], [2, 3]);
    assert.deepEqual([...after], [3, 4]);
    assert.deepEqual([...(await read(buffer))], [4, 5]);
  });

  it('what was taken of an SWA keeps its values over updates and swaps', async () => {
    const v = variableOf(first);
    const swa = own(new SWA(tf.train.sgd(0.5), { paramGroups: [{ params: v }] }));
    fused(() => swa.updateSwa());
    assign(v, second);
    fused(() => swa.updateSwa()); // the average is now (2, 3), in memory of its own
    const state = swa.stateDict();
    const weights = (await swa.getWeights())
      .filter(({ tensor }) => tensor.dtype === 'float32')
      .map(({ tensor }) => own(tf.clone(tensor)));
    const early = await Promise.all(weights.map(read));
    swa.swapSwaSgd();
    const average = own(tf.clone(v));
    const averageArray = await v.data();
    swa.swapSwaSgd();
    assign(v, third);
    fused(() => swa.updateSwa());
    assert.deepEqual([...(await read(average))], [2, 3]);
    assert.deepEqual([...averageArray], [2, 3]);
    assert.deepEqual(await Promise.all(weights.map(read)), early);
    assert.deepEqual([...(await state).swa_state['0']!.swa_buffer.values], [2, 3]);
    swa.swapSwaSgd();
    assert.deepEqual([...(await read(v))], [3, 4]);
  });
});

/** What the kernels look for in each backend. */
const NEEDED: Record<string, string[]> = {
  cpu: ['refCount', 'data', 'data.get', 'data.get().values'],
  wasm: [
    'refCount',
    'dataIdMap',
    'dataIdMap.get',
    'dataIdMap.get().id',
    'dataIdMap.get().memoryOffset',
    'dataIdNextNumber',
    'wasm',
    'wasm.asm',
    'wasm.asm.memory',
    'wasm.tfjs',
    'wasm.tfjs.registerTensor',
    'wasm.tfjs.disposeData',
  ],
  webgl: ['runWebGLProgram'],
  webgpu: [
    'runWebGPUProgram',
    'uploadToGPU',
    'tensorMap',
    'tensorMap.get',
    'tensorMap.get().dtype',
    'tensorMap.get().resource',
  ],
  tensorflow: [
    'refCount',
    'isUsingGpuDevice',
    'tensorMap',
    'tensorMap.get',
    'tensorMap.get().id',
    'tensorMap.get().shape',
    'getInputTensorIds',
    'binding',
    ...['createTensor', 'deleteTensor', 'executeOp'].map((name) => `binding.${name}`),
    ...['FLOAT', 'ATTR_STRING', 'ATTR_TYPE', 'ATTR_SHAPE'].map((name) => `binding.TF_${name}`),
  ],
};

describe('where no kernel fits, the plain ops average:', () => {
  before(skipOnNodeGpu);

  /** Averages (1, 2) and (3, 4) while the kernel, and it alone, sees another backend. */
  async function updateOn(backend: object): Promise<number[]> {
    const [buffer, value] = [variableOf(Float32Array.of(1, 2)), variableOf(Float32Array.of(3, 4))];
    await Promise.all([read(buffer), read(value)]);
    const engine = tf.engine();
    let asked = 0;
    Object.defineProperty(engine, 'backend', {
      configurable: true,
      get() {
        asked += 1;
        delete (this as { backend?: unknown }).backend;
        return backend;
      },
    });
    try {
      fused(() => updateAverages([buffer], [value], 1, swaAvgFn()));
    } finally {
      delete (engine as { backend?: unknown }).backend;
    }
    assert.equal(asked, 1);
    return [...(await read(buffer))];
  }

  it('but on the backend as it is one fits', async () => {
    assert.isNotNull(fusedUpdate(0.5));
    assert.deepEqual(await updateOn(tf.backend()), [2, 3]);
    assert.equal(plainUpdates, 0);
  });

  it('a backend that lacks a field that its kernel needs, or has another kind of it', async () => {
    const paths = NEEDED[tf.getBackend()]!;
    for (const path of paths) {
      for (const value of [undefined, null, 'another kind']) {
        plainUpdates = 0;
        const what = `${path}: ${value}`;
        assert.deepEqual(await updateOn(faked(tf.backend(), path.split('.'), value)), [2, 3], what);
        assert.equal(plainUpdates, 1, what);
      }
    }
  });

  it('a backend of an unknown name', async () => {
    const name = 'tfjs-swa-unknown';
    const current = tf.getBackend();
    tf.registerBackend(name, () => tf.backend());
    const engine = tf.engine();
    engine.backendName = name;
    try {
      assert.isNull(fusedUpdate(0.5));
    } finally {
      engine.backendName = current;
      tf.removeBackend(name);
    }
  });

  it('an averaging function of the caller', async () => {
    const largest: AvgFn = (averaged, current) => tf.maximum(averaged, current);
    const [buffer, value] = [variableOf(Float32Array.of(1, 4)), variableOf(Float32Array.of(3, 2))];
    updateAverages([buffer], [value], 1, largest);
    assert.deepEqual([...(await read(buffer))], [3, 4]);
  });
});
