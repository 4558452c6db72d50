import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { loadImages } from '../../examples/demo/read_images.js';
import { isAveraged, rateOf } from '../../examples/page/rates.js';
import { startRun, type Checkpoint } from '../../examples/page/run.js';
import { isTooLate, PRESETS, readSettings, type Settings } from '../../examples/page/settings.js';
import { assertClose } from '../support/support.js';

const settings = (others: Partial<Settings>): Settings => ({ ...PRESETS, ...others });

describe('page: settings', () => {
  const read = (query: string) => {
    const values = new URLSearchParams(query);
    return readSettings((name) => values.get(name));
  };

  it('are the presets where nothing is said, and these can be run', () => {
    assert.deepEqual(read(''), { settings: PRESETS, problems: [] });
    assert.isFalse(isTooLate(PRESETS));
  });

  it('are read from text', () => {
    const { settings, problems } = read('backend=webgl&schedule=cyclic&start=3&every=2&noise=0');
    assert.deepEqual(problems, []);
    assert.deepEqual(settings, {
      ...PRESETS,
      ...{ backend: 'webgl', schedule: 'cyclic', start: 3, every: 2, noise: 0 },
    });
  });

  it('are refused in words where they make no sense', () => {
    for (const [query, problem] of [
      ['backend=toString', /^Invalid backend: toString \(expected one of best, webgpu, /],
      ['epochs=1', /^Invalid epochs: 1 \(expected a whole number from 2 to 60\); 12 is used\.$/],
      ['epochs=1e1', /^Invalid epochs: 1e1 /],
      ['noise=-1', /^Invalid noise: -1 /],
      ['seed=', /^Invalid seed: {2}\(/],
      ['start=12', /^Averaging after epoch 12, every 1 epochs, takes no average in 12 epochs\. /],
    ] as const) {
      const { settings, problems } = read(query);
      assert.lengthOf(problems, 1, query);
      assert.match(problems[0]!, problem);
      assert.deepEqual(settings, PRESETS, query);
    }
  });

  it('of a short run alone move the start of averaging into it', () => {
    const { settings, problems } = read('epochs=4');
    assert.deepEqual([settings.start, settings.every, problems], [2, 1, []]);
  });
});

describe('page: rates', () => {
  // 128 images are 2 steps an epoch.
  const rates = (others: Partial<Settings>) => {
    const all = settings({ images: 128, epochs: 10, start: 4, every: 2, ...others });
    return Array.from({ length: 20 }, (_, step) => rateOf(all)(step));
  };

  it('stay, or fall from below 0.1 to 0.01 in each cycle, or decay to 1 %', () => {
    assert.deepEqual(rates({ schedule: 'constant' }), new Array(20).fill(0.1));
    // A cycle of 4 steps: 0.1 - 0.09 k / 4, from step 8 on.
    const cycle = [0.0775, 0.055, 0.0325, 0.01];
    const cyclic = [...new Array<number>(8).fill(0.1), ...cycle, ...cycle, ...cycle];
    assertClose(rates({ schedule: 'cyclic' }), cyclic, 1e-12);
    assertClose(rates({ schedule: 'cyclic', start: 0 }).slice(0, 5), [...cycle, 0.0775], 1e-12);
    const decay = rates({ schedule: 'decay' });
    // From step 10 to 18 the rate falls from 0.1 to 0.001: at 14 it is 0.0505.
    assertClose(
      [decay[10]!, decay[14]!, decay[18]!, decay[19]!],
      [0.1, 0.0505, 0.001, 0.001],
      1e-12,
    );
  });

  it('are averaged where a cycle ends', () => {
    const all = settings({ start: 3, every: 2 });
    const epochs = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert.deepEqual(
      epochs.filter((epoch) => isAveraged(all, epoch)),
      [5, 7, 9],
    );
  });
});

describe('page: run', () => {
  const small = settings({
    schedule: 'cyclic',
    epochs: 5,
    start: 1,
    every: 2,
    images: 100,
    tests: 50,
  });

  /** The checkpoints after each epoch; the run begins at, or goes on with, one. */
  async function checkpoints(from: Checkpoint | null, of = small): Promise<Checkpoint[]> {
    const run = await startRun(of, 'cpu', await loadImages(), from);
    try {
      const all: Checkpoint[] = [];
      while (run.epoch() < of.epochs) {
        await run.advance(async () => {});
        // What is kept is a clone, as in a browser.
        all.push(structuredClone(await run.checkpoint()));
      }
      return all;
    } finally {
      run.dispose();
    }
  }

  it('goes on from the checkpoint after any epoch to the same end, bit for bit', async () => {
    const unbroken = await checkpoints(null);
    assert.lengthOf(unbroken, 5);
    for (const from of unbroken.slice(0, -1)) {
      const rest = await checkpoints(structuredClone(from));
      assert.deepEqual(
        rest.map(unnamed),
        unbroken.slice(from.epoch).map(unnamed),
        `from epoch ${from.epoch}`,
      );
    }
    const last = unbroken.at(-1)!;
    assert.equal(last.optimizer.param_groups[0]!.n_avg, 2);
    assert.deepEqual(
      last.curve.map(({ average }) => average !== null),
      [false, false, true, false, true],
    );
    assert.lengthOf(last.path, 5, 'the start of averaging and four epochs');
  });

  it('follows from the seed and the noise', async () => {
    const one = settings({ epochs: 1, start: 0, images: 64, tests: 100 });
    const end = async (others: Partial<Settings>) => {
      const [{ curve }] = (await checkpoints(null, { ...one, ...others })) as [Checkpoint];
      return curve;
    };
    assert.deepEqual(await end({}), await end({}));
    assert.notDeepEqual(await end({ seed: 2 }), await end({}));
    assert.notDeepEqual(await end({ noise: 0 }), await end({}));
  });

  it('leaves no tensor', async () => {
    const before = tf.memory().numTensors;
    await checkpoints(null, settings({ epochs: 2, start: 0, images: 64, tests: 100 }));
    assert.equal(tf.memory().numTensors, before);
  });
});

/** A checkpoint without the variables' names, which tfjs-layers numbers through from model to model. */
function unnamed({ optimizer, ...others }: Checkpoint) {
  const groups = optimizer.param_groups.map(({ param_names: _, ...group }) => group);
  return { ...others, optimizer: { ...optimizer, param_groups: groups } };
}
