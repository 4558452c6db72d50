import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { SWA } from '../../lib/index.js';
import { half, variable } from '../support/support.js';

/** Keeps a note of any kind, which is part of its state. */
class Noting extends tf.SGDOptimizer {
  constructor(
    learningRate: number,
    public note: unknown = null,
  ) {
    super(learningRate);
  }
  static override get className(): string {
    return 'Noting';
  }
}

describe('what tfjs saves with a model', () => {
  const keys = fc.oneof(
    fc.string(),
    fc.constantFrom('$', '$$', '$x', 'weight', 'tensor', 'name', '0'),
  );
  const values = [
    fc.double(),
    fc.constantFrom<unknown>(NaN, Infinity, -Infinity, -0, '$', 'NaN', true, null),
    fc.string(),
  ];
  it('gives back the whole state, whatever keys and numbers are in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.object({ key: keys, values, maxDepth: 3 }), async (note) => {
        const x = variable([1, 2], 'noted');
        const swa = new SWA(new Noting(0.1, note), { paramGroups: [{ params: x }] });
        const other = new SWA(new Noting(0.1), { paramGroups: [{ params: x }] });
        try {
          swa.minimize(half(x));
          swa.updateSwa();
          const weights = await swa.getWeights();
          await other.setWeights(weights);
          assert.deepEqual(await other.stateDict(), await swa.stateDict());
        } finally {
          for (const wrapper of [swa, other]) wrapper.dispose();
          x.dispose();
        }
      }),
      { numRuns: 100 },
    );
  });
});
