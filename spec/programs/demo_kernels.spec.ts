import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { useFasterKernels } from '../../examples/demo/wasm_kernels.js';
import { assertClose, random } from '../support/support.js';
import '../support/wasm.js';

describe("demo: wasm's kernels", () => {
  let others: string;
  before(async () => {
    others = tf.getBackend();
    assert.isTrue(await tf.setBackend('wasm'));
  });
  after(() => tf.setBackend(others));

  const next = random(1);
  /** Numbers from -1 to 1, or from 0.1 to 1. */
  const numbers = (shape: number[], least = -1): tf.Tensor =>
    tf.tensor(
      Array.from({ length: tf.util.sizeFromShape(shape) }, () => least + (1 - least) * next()),
      shape,
      'float32',
    );

  /** The kernels that `f` runs, and what it gives; with the faster ones or those of tfjs. */
  async function run(f: () => tf.Tensor, faster: boolean) {
    const putBack = faster ? useFasterKernels() : () => {};
    try {
      let result: tf.Tensor | undefined;
      const { kernelNames } = await tf.profile(() => (result = f()));
      const { shape, dtype } = result!;
      const values = [...(await result!.data())];
      result!.dispose();
      return { kernelNames, values, shape, dtype };
    } finally {
      putBack();
    }
  }

  /** Asserts that both give the same, and that the faster one is, or is not, made of `kernel`. */
  async function assertSame(f: () => tf.Tensor, kernel: string, used: boolean): Promise<void> {
    const [plain, faster] = [await run(f, false), await run(f, true)];
    assert.deepEqual([faster.shape, faster.dtype], [plain.shape, plain.dtype]);
    // Up to 20 products of numbers below 1, or a factor of up to 1 / sqrt(0.1).
    assertClose(faster.values, plain.values, 2e-5);
    assert.notInclude(plain.kernelNames, kernel);
    assert[used ? 'include' : 'notInclude'](faster.kernelNames, kernel);
  }

  const length = fc.integer({ min: 1, max: 20 });

  it('multiply matrices as those of tfjs do, whichever is transposed, also several at a time', () =>
    fc.assert(
      fc.asyncProperty(
        fc.tuple(length, length, length),
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom<number[]>([], [1], [1, 1], [2], [2, 3]),
        async ([rows, inner, columns], transposeA, transposeB, batch) => {
          const a = numbers([...batch, ...(transposeA ? [inner, rows] : [rows, inner])]);
          const b = numbers([...batch, ...(transposeB ? [columns, inner] : [inner, columns])]);
          const used = (transposeA || transposeB) && tf.util.sizeFromShape(batch) === 1;
          await assertSame(() => tf.matMul(a, b, transposeA, transposeB), 'Transpose', used);
          tf.dispose([a, b]);
        },
      ),
    ));

  it('normalize as those of tfjs do, with and without offset and scale', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 2, maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        async (shape, hasOffset, hasScale) => {
          const x = numbers(shape);
          const channels = shape.slice(-1);
          const [mean, offset, scale] = [0, 1, 2].map(() => numbers(channels) as tf.Tensor1D);
          const variance = numbers(channels, 0.1) as tf.Tensor1D;
          const f = () =>
            tf.batchNorm(
              x,
              mean!,
              variance,
              hasOffset ? offset : undefined,
              hasScale ? scale : undefined,
              1e-3,
            );
          await assertSame(f, 'Rsqrt', true);
          tf.dispose([x, mean!, offset!, scale!, variance]);
        },
      ),
    ));

  it('repeat as those of tfjs do, along axes of any length and numbers of any type', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.constantFrom('float32' as const, 'int32' as const),
        async (axes, dtype) => {
          const [shape, reps] = [axes.map(([size]) => size), axes.map(([, reps]) => reps)];
          const x = tf.tidy(() => tf.cast(tf.mul(numbers(shape), 9), dtype));
          const used =
            dtype === 'float32' && axes.every(([size, reps]) => size === 1 || reps === 1);
          await assertSame(() => tf.tile(x, reps), 'Multiply', used);
          x.dispose();
        },
      ),
    ));
});
