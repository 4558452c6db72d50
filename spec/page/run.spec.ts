import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { loadImages } from '../../examples/demo/read_images.js';
import { cutImages } from '../../examples/page/images.js';
import { blended, SHARES } from '../../examples/page/noise.js';
import { isAveraged, isSampled, rateOf } from '../../examples/page/rates.js';
import { startRun, type Checkpoint } from '../../examples/page/run.js';
import { flatWeights } from '../../examples/demo/model.js';
import {
  FIELDS,
  isTooLate,
  PRESETS,
  readSettings,
  type Settings,
} from '../../examples/page/settings.js';
import { measureUncertainty, NoSamples } from '../../examples/page/uncertainty.js';
import { measureWindows, type Windows } from '../../examples/page/windows.js';
import { assertClose, own } from '../support/support.js';

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

describe('page: SWAG', () => {
  const sampled = (others: Partial<Settings>) => {
    const all = settings(others);
    const steps = Array.from({ length: all.epochs * Math.ceil(all.images / 64) }, (_, i) => i + 1);
    return steps.filter((step) => isSampled(all, step));
  };

  it('takes the weights some twenty times after averaging starts', () => {
    // 1000 images are 16 steps: of those 161 to 480 every 16th.
    const sixteenth = Array.from({ length: 20 }, (_, i) => 160 + 16 * (i + 1));
    assert.deepEqual(sampled({ epochs: 30, start: 10, images: 1000 }), sixteenth);
    // 2 steps an epoch: of 12 each.
    assert.deepEqual(
      sampled({ epochs: 10, start: 4, images: 128 }),
      [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    );
  });

  it('is asked of images that more and more give way to noise', async () => {
    assert.deepEqual([SHARES[0], SHARES.at(-1)], [0, 100]);
    const { test } = await loadImages();
    const two = { count: 2, pixels: test.pixels.slice(0, 392), labels: test.labels.slice(0, 2) };
    assert.deepEqual(blended(two, 0), two);
    const { pixels: noise } = blended(two, 100);
    assert.deepEqual(blended({ ...two, pixels: new Float32Array(392) }, 100).pixels, noise);
    // Even from 0 to 1: of 392 values the mean is within 5 standard errors of 0.2887 / 392^0.5.
    assert.closeTo(noise.reduce((sum, value) => sum + value, 0) / 392, 0.5, 0.073);
    const quarter = [...two.pixels].map((pixel, i) => 0.75 * pixel + 0.25 * noise[i]!);
    assertClose([...blended(two, 25).pixels], quarter, 1e-6);
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

  it('asks samples of the weights, and stays as it was', async () => {
    const run = await startRun(small, 'cpu', await loadImages(), null);
    try {
      while (run.epoch() < 5) await run.advance(async () => {});
      assert.deepEqual([run.swag.count, run.swag.rank], [8, 8], '2 steps in each of 4 epochs');
      const checkpoint = structuredClone(await run.checkpoint());
      let asked = 0;
      const uncertainty = await measureUncertainty(run, async () => void asked++);
      assert.equal(asked, 30);
      assert.deepEqual(unnamed(await run.checkpoint()), unnamed(checkpoint));

      const { mean, std } = uncertainty;
      assert.deepEqual([mean.length, mean[0]!.length, mean[0]![0]!.length], [21, 10, 10]);
      for (const row of mean.flat()) {
        assert.closeTo(
          row.reduce((sum, p) => sum + p, 0),
          1,
          1e-5,
        );
      }
      // 35 % is the eighth share; asked alone, the samples say the same.
      const { pixels, count } = blended(run.ten, 35);
      const images = own(tf.tensor3d(pixels, [count, 14, 14]));
      const train = own(tf.tensor3d(run.images.train.pixels.slice(), [100, 14, 14]));
      const options = { samples: 30, seed: small.seed, bnData: [train] };
      const alone = await run.swag.predict(images, options);
      for (const [all, tensor] of [
        [mean, own(alone.mean)],
        [std, own(alone.std)],
      ] as const) {
        assertClose(all[7]!.flat(), [...(await tensor.data())], 1e-5);
      }

      const again = await startRun(small, 'cpu', await loadImages(), checkpoint);
      try {
        assert.deepEqual(await measureUncertainty(again, async () => {}), uncertainty);
      } finally {
        again.dispose();
      }
    } finally {
      run.dispose();
    }
  });

  it('says so where of one step no samples are known', async () => {
    // 64 images are one step an epoch.
    const one = settings({ epochs: 2, start: 1, images: 64, tests: 100 });
    const run = await startRun(one, 'cpu', await loadImages(), null);
    try {
      while (run.epoch() < 2) await run.advance(async () => {});
      const failed = await measureUncertainty(run, async () => {}).catch((error: unknown) => error);
      assert.instanceOf(failed, NoSamples);
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
    await measureUncertainty(run, async () => {});
    run.dispose();
    assert.equal(tf.memory().numTensors, before);
  });
});

/** A checkpoint without the variables' names, which tfjs-layers numbers through from model to model. */
function unnamed(state: unknown): unknown {
  if (Array.isArray(state)) return state.map(unnamed);
  if (typeof state !== 'object' || state === null || ArrayBuffer.isView(state)) return state;
  const { name: _, param_names: __, ...others } = state as Record<string, unknown>;
  return Object.fromEntries(Object.entries(others).map(([key, value]) => [key, unnamed(value)]));
}
