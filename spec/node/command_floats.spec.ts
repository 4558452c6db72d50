/** The sums of the command: every dtype is read, and rounded once, as a reference says. */
import { assert } from 'chai';
import fc from 'fast-check';
import { BFLOAT16, FLOAT16, ofBfloat16, ofHalf, toBits } from '../../lib/checkpoint/half.js';
import { addTo, averageTo } from '../../lib/cli/tensors/floats.js';

/** The numbers of 16 bits from 0 on, in order: their bits are in the order of their values. */
const FORMATS = {
  float16: { format: FLOAT16, of: ofHalf, infinity: 0x7c00, fraction: 10, bias: 15 },
  bfloat16: { format: BFLOAT16, of: ofBfloat16, infinity: 0x7f80, fraction: 7, bias: 127 },
};

/** The value of bits by the definition of IEEE 754. */
function defined(bits: number, fraction: number, bias: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fraction;
  const rest = bits & (2 ** fraction - 1);
  if (exponent === 2 * bias + 1) return rest ? NaN : sign * Infinity;
  if (exponent === 0) return sign * rest * 2 ** (1 - bias - fraction);
  return sign * (1 + rest / 2 ** fraction) * 2 ** (exponent - bias);
}

for (const [name, { format, of, infinity, fraction, bias }] of Object.entries(FORMATS)) {
  describe(name, () => {
    it('has the values of its definition, all of them', () => {
      for (let bits = 0; bits < 2 ** 16; bits++) {
        assert.isTrue(Object.is(of(bits), defined(bits, fraction, bias)), `bits ${bits}`);
      }
    });

    it('comes back from its values, all of them', () => {
      for (let bits = 0; bits < 2 ** 16; bits++) {
        const value = of(bits);
        if (Number.isNaN(value)) assert.isNaN(of(toBits(value, format)));
        else assert.equal(toBits(value, format), bits);
      }
    });

    it('rounds to the nearest, and between two to the even one', () => {
      for (let bits = 0; bits < infinity; bits++) {
        // Beyond the greatest number the next one would be twice 2^greatest exponent.
        const next = bits + 1 === infinity ? 2 ** (bias + 1) : of(bits + 1);
        const middle = (of(bits) + next) / 2; // exact in float64
        const [below, above] = [middle - middle * 2 ** -50, middle + middle * 2 ** -50];
        assert.equal(toBits(below, format), bits, `below the middle after ${bits}`);
        assert.equal(
          toBits(middle, format),
          bits % 2 === 0 ? bits : bits + 1,
          `the middle after ${bits}`,
        );
        assert.equal(toBits(above, format), bits + 1, `above the middle after ${bits}`);
        assert.equal(toBits(-middle, format), 0x8000 + (bits % 2 === 0 ? bits : bits + 1));
      }
    });

    it('rounds any number to the nearest', () => {
      fc.assert(
        fc.property(fc.double({ noNaN: true }), (value) => {
          const bits = toBits(value, format) & 0x7fff;
          const size = Math.abs(value);
          // Of the number, the one before and the one after, none is nearer.
          const far = (other: number): number =>
            Math.abs(size - (other >= infinity ? 2 ** (bias + 1) : of(other)));
          if (bits < infinity) assert.isAtMost(far(bits), far(bits + 1));
          if (bits > 0 && size <= 2 ** (bias + 1)) assert.isAtMost(far(bits), far(bits - 1));
          assert.equal(toBits(value, format) >= 0x8000, value < 0 || Object.is(value, -0));
        }),
      );
    });
  });
}

describe('an average', () => {
  /** Dtypes, each with its numbers of given values. */
  const dtypes = {
    F64: (values: number[]) => Float64Array.from(values),
    F32: (values: number[]) => Float32Array.from(values),
    F16: (values: number[]) => Uint16Array.from(values, (value) => toBits(value, FLOAT16)),
    BF16: (values: number[]) => Uint16Array.from(values, (value) => toBits(value, BFLOAT16)),
  };
  type Dtype = keyof typeof dtypes;
  const valuesOf = (dtype: Dtype, bytes: Uint8Array): number[] => {
    const { buffer } = Uint8Array.from(bytes);
    if (dtype === 'F64') return [...new Float64Array(buffer)];
    if (dtype === 'F32') return [...new Float32Array(buffer)];
    return [...new Uint16Array(buffer)].map(dtype === 'F16' ? ofHalf : ofBfloat16);
  };
  /** In a buffer of their own, from its beginning on. */
  const bytesOf = (dtype: Dtype, values: number[]): Uint8Array<ArrayBuffer> =>
    new Uint8Array(dtypes[dtype](values).buffer as ArrayBuffer);

  const run = (
    given: { dtype: Dtype; values: number[]; weight: number }[],
    to: Dtype,
  ): { values: number[]; odd: number } => {
    const { length } = given[0]!.values;
    const sums = new Float64Array(length).fill(7); // of another tensor before
    given.forEach(({ dtype, values, weight }, i) =>
      addTo(sums, dtype, bytesOf(dtype, values), weight, i === 0),
    );
    const total = given.reduce((sum, { weight }) => sum + weight, 0);
    const { bytes, odd } = averageTo(new Uint8Array(8 * length), to, sums, total);
    return { values: valuesOf(to, bytes), odd };
  };

  it('is formed in float64 and rounded once, whatever the dtypes', () => {
    const dtype = fc.constantFrom(...(Object.keys(dtypes) as Dtype[]));
    const length = 5;
    const file = fc.record({
      dtype,
      weight: fc.integer({ min: 1, max: 9 }),
      values: fc.array(fc.double({ min: -1000, max: 1000, noNaN: true }), {
        minLength: length,
        maxLength: length,
      }),
    });
    fc.assert(
      fc.property(fc.array(file, { minLength: 1, maxLength: 5 }), dtype, (files, to) => {
        const total = files.reduce((sum, { weight }) => sum + weight, 0);
        const expected = Array.from({ length }, (_, i) => {
          const terms = files.map(({ dtype, values, weight }) => {
            const [value] = valuesOf(dtype, bytesOf(dtype, [values[i]!]));
            return weight * value!;
          });
          return terms.reduce((a, b) => a + b) / total;
        });
        const rounded = valuesOf(to, bytesOf(to, expected));
        const { values, odd } = run(files, to);
        values.forEach((value, i) => assert.isTrue(Object.is(value, rounded[i]), `${value}`));
        assert.equal(odd, 0);
      }),
    );
  });

  it('is not rounded to float32 on its way to 16 bits', () => {
    // Above the middle of 1 and the next float16 by less than float32 can tell: not to 1, the even one.
    const values = [1 + 2 ** -11 + 2 ** -40];
    assert.deepEqual(run([{ dtype: 'F64', values, weight: 1 }], 'F16').values, [1 + 2 ** -10]);
    const brain = [1 + 2 ** -8 + 2 ** -40];
    assert.deepEqual(run([{ dtype: 'F64', values: brain, weight: 1 }], 'BF16').values, [
      1 + 2 ** -7,
    ]);
  });

  it('of a file with itself is the file, bit for bit', () => {
    const values = [0.1, -0, 1e-45, 3.4e38, -1 / 3];
    for (const files of [1, 2, 3, 7, 10]) {
      const given = Array.from({ length: files }, () => {
        return { dtype: 'F32' as const, values, weight: 1 };
      });
      const result = run(given, 'F32');
      result.values.forEach((value, i) => assert.isTrue(Object.is(value, Math.fround(values[i]!))));
    }
  });

  it('counts what is not finite', () => {
    const values = [NaN, Infinity, -Infinity, 1];
    for (const dtype of Object.keys(dtypes) as Dtype[]) {
      const { values: found, odd } = run([{ dtype, values, weight: 1 }], dtype);
      assert.deepEqual(found, values);
      assert.equal(odd, 3);
    }
  });

  it('beyond its dtype is refused', () => {
    const large = { dtype: 'F32' as const, values: [1, 65520], weight: 1 };
    // 65520 is the middle of the greatest float16, 65504, and of what would be the next.
    assert.throws(() => run([large], 'F16'), '65520 is beyond F16');
    assert.deepEqual(run([{ ...large, values: [1, 65519] }], 'F16').values, [1, 65504]);
    const double = { dtype: 'F64' as const, values: [-1e39], weight: 1 };
    assert.throws(() => run([double], 'F32'), '-1e+39 is beyond F32');
  });
});
