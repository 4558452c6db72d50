import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { loadImages } from '../../examples/demo/read_images.js';
import { cutImages } from '../../examples/page/images.js';
import { isAveraged, rateOf } from '../../examples/page/rates.js';
import { startRun, type Checkpoint } from '../../examples/page/run.js';
import { flatWeights } from '../../examples/demo/model.js';
import {
  FIELDS,
  isTooLate,
  PRESETS,
  readSettings,
  type Settings,
} from '../../examples/page/settings.js';
import { measureWindows, type Windows } from '../../examples/page/windows.js';
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
    assert.lengthOf(last.path, 6, 'the start and five epochs');
    // 100 images are 2 steps an epoch.
    assert.deepEqual(
      last.history.segments.map(({ count }) => count),
      [2, 2, 2, 2, 2],
    );
  });

  it('keeps 500 images from training, to choose by', async () => {
    const all = await loadImages();
    const most = cutImages(all, settings({ images: FIELDS.images.max, tests: 100 }));
    const counts = [most.train, most.heldOut, most.test].map(({ count }) => count);
    assert.deepEqual(counts, [3500, 500, 100]);
    const { pixels, labels } = most.heldOut;
    assert.deepEqual(labels, all.train.labels.slice(3500));
    assert.deepEqual(pixels, all.train.pixels.slice(3500 * 14 * 14));
    assert.deepEqual(cutImages(all, settings({ images: 64, tests: 100 })).heldOut, most.heldOut);
  });

  it('has for each window the average of every step in it, and chooses by the held-out images', async () => {
    const run = await startRun(small, 'cpu', await loadImages(), null);
    try {
      const steps: Float32Array[] = [];
      while (run.epoch() < 5) {
        await run.advance(async () => void steps.push(await flatWeights(run.model)));
      }
      const before = await flatWeights(run.model);
      const told: Windows[] = [];
      const { windows, average } = await measureWindows(run, async (some) => void told.push(some));
      assert.deepEqual(await flatWeights(run.model), before, 'the run stays as it was');
      assert.deepEqual(
        told.map(({ all, chosen }) => [all.length, chosen]),
        [1, 2, 3, 4, 5].map((n) => [n, null]),
      );
      assert.deepEqual(told.at(-1)!.all, windows.all);

      const likelihoods = windows.all.map(({ heldOut }) => heldOut.nll);
      const chosen = likelihoods.indexOf(Math.min(...likelihoods)) + 1;
      assert.equal(windows.chosen, chosen);
      const mean = Float64Array.from(before, (_, i) => {
        const values = steps.slice(-2 * chosen).map((weights) => weights[i]!);
        return values.reduce((sum, value) => sum + value, 0) / values.length;
      });
      assertClose([...average], [...mean], 1e-6);
      for (const { epochs, error, guesses } of windows.all) {
        assert.isTrue(error > 0 && error < 100, `${epochs} epochs`);
        assert.lengthOf(guesses, 10);
      }
      // Of 50 test images each is 2 %.
      assert.deepEqual(
        windows.all.map(({ error }) => error % 2),
        [0, 0, 0, 0, 0],
      );

      const again = await startRun(
        small,
        'cpu',
        await loadImages(),
        structuredClone(await run.checkpoint()),
      );
      try {
        assert.deepEqual(await measureWindows(again, async () => {}), { windows, average });
      } finally {
        again.dispose();
      }
    } finally {
      run.dispose();
    }
  });

  it('follows from the seed and the noise', async () => {
    const one = settings({ epochs: 2, start: 0, images: 64, tests: 100 });
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
    const run = await startRun(
      settings({ epochs: 2, start: 0, images: 64, tests: 100 }),
      'cpu',
      await loadImages(),
      null,
    );
    while (run.epoch() < 2) await run.advance(async () => {});
    await measureWindows(run, async () => {});
    run.dispose();
    assert.equal(tf.memory().numTensors, before);
  });
});

/** A checkpoint without the variables' names, which tfjs-layers numbers through from model to model. */
function unnamed({ optimizer, history, ...others }: Checkpoint) {
  const groups = optimizer.param_groups.map(({ param_names: _, ...group }) => group);
  const segments = history.segments.map(({ weights, ...segment }) => ({
    ...segment,
    weights: weights.map(({ name: _, ...weight }) => weight),
  }));
  return {
    ...others,
    optimizer: { ...optimizer, param_groups: groups },
    history: { ...history, segments },
  };
}
