/** Merging, where it takes Node to see what is in memory. */
import { assert } from 'chai';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  averageOf,
  mergeStateDicts,
  WeightAccumulator,
  type SWAStateDict,
  type TensorData,
} from '../../lib/index.js';

describe('merging in Node', () => {
  it('holds one state at a time beside the sums, however many come', async function () {
    this.timeout(120_000);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const size = 250_000; // 1 MB of averages, and as much of the optimizer's
    const tensor = (name: string, value: number): TensorData => ({
      name,
      dtype: 'float32',
      shape: [size],
      values: new Float32Array(size).fill(value),
    });
    const arrays: WeakRef<object>[] = [];
    const peaks: number[] = [];
    const alive = (): number => arrays.filter((array) => array.deref() !== undefined).length;
    async function* workers(): AsyncGenerator<SWAStateDict> {
      for (let value = 1; value <= 100; value++) {
        const state: SWAStateDict = {
          opt_state: { 0: [tensor('accumulations/0', value)] },
          swa_state: { 0: { swa_buffer: tensor('swa_buffer', value) } },
          param_groups: [
            {
              ...{ params: [0], param_names: ['w'], lr: 0.1, n_avg: 2, step_counter: 9 },
              ...{ swapped: false, avg_fn: 'swa' },
            },
          ],
        };
        arrays.push(new WeakRef(state.opt_state[0]![0]!.values));
        arrays.push(new WeakRef(state.swa_state[0]!.swa_buffer.values));
        yield state;
        // A WeakRef that was looked at lives until the end of the job.
        await setImmediate();
        collect();
        peaks.push(alive());
      }
    }
    const merged = await mergeStateDicts(workers());
    const { count, weights } = averageOf(merged);
    // (1 + ... + 100) / 100
    assert.deepEqual([count, weights[0]!.values[0], weights[0]!.values.at(-1)], [200, 50.5, 50.5]);
    assert.lengthOf(peaks, 100);
    // That which the generator's own frame still holds.
    assert.isAtMost(Math.max(...peaks), 2);
  });

  it('never writes into memory that a Buffer shares', () => {
    const bool = (values: Uint8Array): TensorData => ({ name: 'b', dtype: 'bool', shape: [2], values }); // prettier-ignore
    const given = Buffer.from([1, 0]);
    const last = Buffer.from([0, 1]);
    const mean = new WeightAccumulator();
    mean.add([bool(given)]);
    mean.add([bool(last)]);
    const { weights } = mean.result();
    weights[0]!.values[0] = 1;
    assert.deepEqual([[...given], [...last]], [[1, 0], [0, 1]]); // prettier-ignore
    const { weights: again } = averageOf({ n_averaged: 1, avg_fn: 'swa', module: [bool(given)] });
    again[0]!.values[1] = 1;
    assert.deepEqual([...given], [1, 0]);
  });
});
