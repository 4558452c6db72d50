import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  mergeAverages,
  WeightAccumulator,
  type TensorData,
  type WeightAverage,
} from '../../lib/index.js';
import { assertFails, golden } from '../support/support.js';

const float = (name: string, ...values: number[]): TensorData => ({
  name,
  dtype: 'float32',
  shape: [values.length],
  values: Float32Array.from(values),
});
const part = (count: number, ...values: number[]): WeightAverage => ({
  count,
  weights: [float('w', ...values)],
});
const valuesOf = ({ weights }: WeightAverage): number[][] =>
  weights.map(({ values }) => [...values]);
/** The sums in float64, before they are rounded. */
const sumsOf = (accumulator: WeightAccumulator): number[] =>
  (accumulator as unknown as { sums: { values: Float64Array }[] }).sums.flatMap(({ values }) => [
    ...values,
  ]);

describe('mergeAverages', () => {
  it('weighs by count: (3 * 1 + 1 * 5) / 4 = 2', () => {
    const merged = mergeAverages([part(3, 1, 10), part(1, 5, 10)]);
    assert.deepEqual([merged.count, valuesOf(merged)], [4, [[2, 10]]]);
  });

  it('takes any iterable, and one part alone', () => {
    const merged = mergeAverages(new Set([part(7, 0.1)]));
    assert.deepEqual([merged.count, valuesOf(merged)], [7, [[Math.fround(0.1)]]]);
  });

  it('forms sums in float64: 2^24 and then ones, which float32 would lose', () => {
    const ones = Array.from({ length: 4 }, () => part(1, 1));
    // (16777216 + 4) / 5 = 3355444
    assert.deepEqual(valuesOf(mergeAverages([part(1, 2 ** 24), ...ones])), [[3355444]]);
  });

  it('does not overflow where the average does not', () => {
    const big = Math.fround(3e38);
    assert.deepEqual(valuesOf(mergeAverages([part(5, big), part(9, big)])), [[big]]);
  });

  it('matches by name, else by position', () => {
    const two = (a: string, b: string, x: number, y: number): WeightAverage => ({
      count: 1,
      weights: [float(a, x), float(b, y)],
    });
    const names = (average: WeightAverage) => average.weights.map(({ name }) => name);
    const byName = mergeAverages([two('a', 'b', 0, 8), two('b', 'a', 10, 2)]);
    assert.deepEqual(
      [names(byName), valuesOf(byName)],
      [
        ['a', 'b'],
        [[1], [9]],
      ],
    );
    const byPosition = mergeAverages([two('a', 'b', 0, 8), two('c', 'd', 2, 10)]);
    assert.deepEqual(
      [names(byPosition), valuesOf(byPosition)],
      [
        ['a', 'b'],
        [[1], [9]],
      ],
    );
    const numbers = mergeAverages([two('0', '1', 0, 8), two('1', '0', 2, 10)]);
    assert.deepEqual(valuesOf(numbers), [[1], [9]]);
  });

  it('takes integers from the last', () => {
    const counted = (values: Int32Array): WeightAverage => ({
      count: 1,
      weights: [{ name: 'n', dtype: 'int32', shape: [1], values }],
    });
    const [first, last] = [Int32Array.of(4), Int32Array.of(9)];
    const merged = mergeAverages([counted(first), counted(last)]);
    assert.deepEqual(merged.weights[0]!.values, Int32Array.of(9));
    last[0] = 1;
    assert.deepEqual(merged.weights[0]!.values, Int32Array.of(9));
    assert.deepEqual(first, Int32Array.of(4));
  });

  it('is federated averaging: the recorded results of Flower, of clients by their examples', () => {
    const trace = golden('flwr_aggregate') as {
      shapes: number[][];
      examples: number[];
      clients: number[][][];
      float32: number[][];
      float64: number[][];
    };
    const merged = mergeAverages(
      trace.clients.map((layers, client) => ({
        count: trace.examples[client]!,
        weights: layers.map((values, i) => ({
          ...float(`w${i}`, ...values),
          shape: trace.shapes[i]!,
        })),
      })),
    );
    const total = trace.examples.reduce((a, b) => a + b);
    assert.equal(merged.count, total);
    merged.weights.forEach(({ values, shape }, i) => {
      assert.deepEqual(shape, trace.shapes[i]);
      // Its float64, rounded once to float32: the same to the last bit.
      assert.deepEqual([...values], trace.float64[i]!.map(Math.fround));
      values.forEach((value, k) => {
        // Its float32 rounds each of 5 products, 4 sums and the quotient, by 2^-24 of them at most.
        const size = trace.clients.reduce(
          (sum, layers, client) => sum + Math.abs(layers[i]![k]!) * trace.examples[client]!,
          0,
        );
        assert.isAtMost(Math.abs(value - trace.float32[i]![k]!), (7 * 2 ** -24 * size) / total);
      });
    });
  });

  it('refuses in words', async () => {
    await assertFails(() => mergeAverages([]), 'There are no averages to merge');
    await assertFails(
      () => mergeAverages([part(1, 1), { count: 1, weights: [float('w', 1), float('v', 1)] }]),
      'The weights do not fit; unexpected: v',
    );
    await assertFails(
      () => mergeAverages([part(1, 1), part(1, 1, 2)]),
      'The weights do not fit; of the wrong shape or value: w (float32 [2], not float32 [1])',
    );
    for (const count of [0, -1, NaN, Infinity, '1', undefined]) {
      await assertFails(
        () => mergeAverages([{ ...part(1, 1), count: count as number }]),
        /^Invalid count: .+ \(expected a finite number > 0\)$/,
      );
    }
    await assertFails(
      () => mergeAverages([null as unknown as WeightAverage]),
      /^Invalid (count|weights): /,
    );
  });
});

describe('WeightAccumulator', () => {
  const finite = fc.float({
    noNaN: true,
    noDefaultInfinity: true,
    min: Math.fround(-1e30),
    max: Math.fround(1e30),
  });
  const parts = fc.array(fc.tuple(fc.integer({ min: 1, max: 1000 }), finite, finite), {
    minLength: 1,
    maxLength: 12,
  });

  it('gives the same whatever the order and grouping', () => {
    fc.assert(
      fc.property(
        parts.chain((list) =>
          fc.tuple(
            fc.constant(list),
            fc.shuffledSubarray([...list.keys()], { minLength: list.length }),
            fc.array(fc.nat(3), { minLength: list.length, maxLength: list.length }),
          ),
        ),
        ([list, order, groups]) => {
          const once = new WeightAccumulator();
          for (const [count, ...values] of list) once.merge(part(count, ...values));
          const grouped = [0, 1, 2, 3].map(() => new WeightAccumulator());
          for (const i of order) {
            const [count, ...values] = list[i]!;
            grouped[groups[i]!]!.add(part(count, ...values).weights, count);
          }
          const all = new WeightAccumulator();
          for (const each of grouped) all.merge(each);
          assert.equal(all.count, once.count);
          const [a, b] = [sumsOf(once), sumsOf(all)];
          const [x, y] = [valuesOf(once.result())[0]!, valuesOf(all.result())[0]!];
          const rounded = mergeAverages(grouped.filter(({ count }) => count > 0).map((each) => each.result())); // prettier-ignore
          a.forEach((sum, k) => {
            const scale = list.reduce((s, [count, ...v]) => s + count * Math.abs(v[k]!), 0);
            assert.isAtMost(Math.abs(sum - b[k]!), 1e-12 * scale);
            const mean = list.reduce((s, [count, ...v]) => s + count * v[k]!, 0) / once.count;
            // Near zero a rounding is off by half of float32's least step, 2^-149.
            const near = (value: number, roundings: number) =>
              assert.isAtMost(
                Math.abs(value - mean),
                1e-6 * (scale / once.count) + 1.001 * roundings * 2 ** -150,
              );
            near(x[k]!, 1);
            near(y[k]!, 1);
            near(valuesOf(rounded)[0]![k]!, 2);
          });
        },
      ),
      { numRuns: 300 },
    );
  });

  it('leaves what it was given alone, and its results', () => {
    const accumulator = new WeightAccumulator();
    const given = [float('w', 1, 2)];
    accumulator.add(given);
    const first = accumulator.result();
    accumulator.add([float('w', 3, 4)]);
    const second = accumulator.result();
    second.weights[0]!.values[0] = 100;
    second.weights[0]!.shape[0] = 7;
    assert.deepEqual(given, [float('w', 1, 2)]);
    assert.deepEqual(valuesOf(first), [[1, 2]]);
    assert.deepEqual(accumulator.result(), { count: 2, weights: [float('w', 2, 3)] });
  });

  it('merges with itself, and with an empty one', () => {
    const accumulator = new WeightAccumulator();
    accumulator.merge(new WeightAccumulator());
    assert.equal(accumulator.count, 0);
    accumulator.add([float('w', 3)], 2);
    accumulator.merge(accumulator);
    assert.deepEqual(accumulator.result(), { count: 4, weights: [float('w', 3)] });
  });

  it('is as it was after what it refused', async () => {
    const accumulator = new WeightAccumulator();
    await assertFails(() => accumulator.result(), 'Nothing was added to this WeightAccumulator');
    await assertFails(() => accumulator.add([{} as TensorData]), /^Invalid weights\[0\].name: /);
    await assertFails(() => accumulator.add([float('w', 1)], -1), /^Invalid count: -1 /);
    assert.equal(accumulator.count, 0);
    accumulator.add([float('w', 1)], 3);
    await assertFails(() => accumulator.add([float('w', 1, 2)]), /^The weights do not fit/);
    assert.deepEqual(accumulator.result(), { count: 3, weights: [float('w', 1)] });
  });
});
