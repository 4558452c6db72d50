/** The fused kernels of the second moment against the plain ops, on whatever backend is the current one. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { fusedSquares } from '../../lib/swag/kernels/fused.js';
import { addSquares } from '../../lib/swag/second_moment.js';
import { onTfjsNode, shareOf } from '../support/backends.js';
import { faked } from '../support/faked.js';
import { own, random, valuesOf } from '../support/support.js';

/** Squared differences that tfjs formed by plain ops since the spec began; a kernel forms none. */
let plain = 0;

/** Adds squares, and counts those by plain ops. */
function add(...args: Parameters<typeof addSquares>): void {
  const engine = tf.engine() as unknown as {
    runKernel?: (name: string, ...rest: unknown[]) => unknown;
  };
  const { runKernel } = engine;
  engine.runKernel = (name, ...rest) => {
    if (name === tf.SquaredDifference) plain += 1;
    return runKernel!.call(engine, name, ...rest);
  };
  try {
    addSquares(...args);
  } finally {
    delete engine.runKernel;
  }
}

/** The same by plain ops, in a new tensor. */
function added(sum: tf.Tensor, mean: tf.Tensor, value: tf.Tensor, share: number): tf.Tensor {
  return tf.tidy(() => tf.add(sum, tf.mul(tf.squaredDifference(value, mean), share)));
}

/** An owned variable of numbers, which it copies. */
const variableOf = (values: ArrayLike<number>, shape: number[] = [values.length]): tf.Variable =>
  own(tf.tidy(() => tf.variable(tf.tensor(Float32Array.from(values), shape))));

const uniform = (size: number, next: () => number): number[] =>
  Array.from({ length: size }, () => 2 * next() - 1);

/** Of the sums 1 and 2, the means 0 and 1 and the values 2 and -1: 1 + 4 / 2 and 2 + 4 / 2. */
const worked = () =>
  [
    [1, 2],
    [0, 1],
    [2, -1],
  ].map((values) => variableOf(values)) as [tf.Variable, tf.Variable, tf.Variable];
const expected = [3, 4];

beforeEach(() => {
  plain = 0;
});

describe('the fused second moment', () => {
  it('is within its roundings of the plain ops, for any tensor and share, and leaves no tensor', async () => {
    const tensors = fc.record({
      shape: fc.oneof(
        fc.constantFrom<number[][]>([], [0], [63], [64], [65], [2, 3, 5], [1, 4, 4, 3], [65_537]),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
      ),
      updates: fc.integer({ min: 1, max: 4 }),
      seed: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(tensors, async ({ shape, updates, seed }) => {
        const next = random(seed);
        const make = (values: number[]) => tf.tidy(() => tf.variable(tf.tensor(values, shape)));
        const size = tf.util.sizeFromShape(shape);
        const sum = make(uniform(size, next).map(Math.abs));
        for (let n = 1; n <= updates; n++) {
          const [mean, value] = [make(uniform(size, next)), make(uniform(size, next))];
          const wanted = added(sum, mean, value, n / (n + 1));
          const before = await valuesOf([mean, value]);
          const { numTensors, numBytes } = tf.memory();
          add([sum], [mean], [value], n / (n + 1));
          assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
          const [actual, exact] = (await valuesOf([sum, wanted])) as [number[], number[]];
          // The plain ops round four times, what is added with up to three roundings more.
          const worst = actual.reduce((most, x, i) => {
            return Math.max(most, Math.abs(x - exact[i]!) / Math.max(exact[i]!, 2 ** -20));
          }, 0);
          assert.isAtMost(worst, 4 * 2 ** -24);
          assert.deepEqual(await valuesOf([mean, value]), before);
          tf.dispose([mean, value, wanted]);
        }
        sum.dispose();
      }),
      { numRuns: shareOf(100) },
    );
    if (!onTfjsNode()) assert.equal(plain, 0);
  });

  it('takes each tensor of a list with its own mean and value', async () => {
    const [sum, mean, value] = worked();
    const [other, zero, one] = [[5], [0], [1]].map((values) => variableOf(values));
    add([sum, other!], [mean, zero!], [value, one!], 0.5);
    assert.deepEqual(await valuesOf([sum, other!]), [expected, [5.5]]);
  });

  it('reaches every value of a tensor larger than one dimension of a WebGPU dispatch', async () => {
    const size = 4_200_001; // 65,535 workgroups of 64 values are 4,194,240
    const [sum, mean, value] = [1, 2, 4].map((x) =>
      own(tf.tidy(() => tf.variable(tf.fill([size], x, 'float32')))),
    );
    add([sum!], [mean!], [value!], 0.5);
    const range = own(tf.tidy(() => tf.stack([tf.min(sum!), tf.max(sum!)])));
    assert.deepEqual(await valuesOf([range]), [[3, 3]]); // 1 + 2^2 / 2
  });

  it('carries NaN and infinity as the plain ops do', async () => {
    const sums = variableOf([0, 0, 0, Infinity, 1, 1]);
    const means = variableOf([0, NaN, Infinity, 0, -1e30, Infinity]);
    const values = variableOf([NaN, 0, 0, 1, 1e30, Infinity]);
    const wanted = own(added(sums, means, values, 0.5));
    assert.deepEqual(await valuesOf([wanted]), [[NaN, NaN, Infinity, Infinity, Infinity, NaN]]);
    add([sums], [means], [values], 0.5);
    assert.deepEqual(await valuesOf([sums]), await valuesOf([wanted]));
  });

  it('takes what lies on another backend', async () => {
    const current = tf.getBackend();
    const [sum, mean] = worked();
    assert.isTrue(await tf.setBackend('cpu'));
    let value: tf.Variable;
    try {
      value = variableOf([2, -1]);
    } finally {
      await tf.setBackend(current);
    }
    add([sum], [mean], [value], 0.5);
    assert.deepEqual(await valuesOf([sum]), [expected]);
  });

  it('never writes through an alias, nor into an array that was copied from', async () => {
    for (const aliasOf of [
      (sum: tf.Variable) => tf.clone(sum),
      (sum: tf.Variable) => tf.reshape(sum, [2, 1]),
      (sum: tf.Variable) => tf.variable(sum),
    ]) {
      const [sum, mean, value] = worked();
      add([sum], [mean], [value], 0.5);
      const alias = own(aliasOf(sum));
      add([sum], [mean], [value], 1);
      assert.deepEqual(await valuesOf([alias]), [expected]);
      assert.deepEqual(await valuesOf([sum]), [[7, 8]]);
    }
  });

  it('has the same result in place and beside an alias, bit for bit', async () => {
    const next = random(3);
    const numbers = [0, 1, 2].map(() => uniform(67, next));
    const results = [false, true].map((shared) => {
      const [sum, mean, value] = numbers.map((values) => variableOf(values)) as [
        tf.Variable,
        tf.Variable,
        tf.Variable,
      ];
      if (shared) own(tf.clone(sum));
      add([sum], [mean], [value], 2 / 3);
      return sum;
    });
    const [alone, beside] = await valuesOf(results);
    assert.deepEqual(alone, beside);
  });

  /** What the kernels look for in each backend. */
  const NEEDED: Record<string, string[]> = {
    cpu: ['refCount', 'data', 'data.get', 'data.get().values'],
    wasm: [
      ...['refCount', 'dataIdMap', 'dataIdMap.get', 'dataIdMap.get().memoryOffset'],
      ...['wasm', 'wasm.asm', 'wasm.asm.memory'],
    ],
    webgl: ['runWebGLProgram'],
    webgpu: [
      ...['runWebGPUProgram', 'uploadToGPU', 'tensorMap', 'tensorMap.get'],
      ...['tensorMap.get().dtype', 'tensorMap.get().resource'],
    ],
    tensorflow: [],
  };

  it('leaves it to the plain ops where a backend lacks what its kernel needs', async () => {
    for (const path of NEEDED[tf.getBackend()]!) {
      for (const lacking of [undefined, null, 'another kind']) {
        plain = 0;
        const [sum, mean, value] = worked();
        await valuesOf([sum, mean, value]);
        const engine = tf.engine();
        const backend = faked(tf.backend(), path.split('.'), lacking);
        Object.defineProperty(engine, 'backend', {
          configurable: true,
          get() {
            delete (this as { backend?: unknown }).backend;
            return backend;
          },
        });
        try {
          add([sum], [mean], [value], 0.5);
        } finally {
          delete (engine as { backend?: unknown }).backend;
        }
        assert.deepEqual(await valuesOf([sum]), [expected], path);
        assert.equal(plain, 1, `${path}: ${lacking}`);
      }
    }
    assert.equal(fusedSquares(0.5) === null, onTfjsNode());
  });
});
