/**
 * What samples of a run's weights say of the ten images, the more noise is blended in: how sure the
 * net is of what it knows, and of what it has never seen. It knows nothing of how that is shown.
 */
import * as tf from '@tensorflow/tfjs-core';
import { breathe } from '../demo/breathe.js';
import { CLASSES, uploaded, type Images } from '../demo/data.js';
import type { Run } from './run.js';
import { blended, SHARES } from './noise.js';
import { SAMPLES } from './settings.js';

/** The probabilities of the ten images' classes, by share of noise ({@link SHARES}), image and class. */
export interface Uncertainty {
  /** Of the samples, the mean. */
  mean: number[][][];
  /** And the standard deviation. */
  std: number[][][];
}

/** Says why there is nothing to sample from. */
export class NoSamples extends Error {}

/**
 * Asks the samples. The run is over then, and stays as it was.
 *
 * @param onSample Told after each sample, and waited for.
 * @throws NoSamples where SWAG has taken the weights less than twice.
 */
export async function measureUncertainty(
  { swag, images, ten, settings }: Run,
  onSample: () => Promise<void>,
): Promise<Uncertainty> {
  if (swag.count < 2) {
    throw new NoSamples(
      'There are no samples of the weights: of one step after averaging starts no spread is known.',
    );
  }
  const all = joined(SHARES.map((percent) => blended(ten, percent)));
  const [xs, bnData] = [uploaded(all, all.count)[0]!, uploaded(images.train, 500)];
  try {
    const { mean, std } = await swag.predict(xs, {
      samples: SAMPLES,
      seed: settings.seed,
      bnData,
      batchSize: all.count,
      onSample: async () => {
        await breathe();
        await onSample();
      },
    });
    try {
      return { mean: await byShare(mean), std: await byShare(std) };
    } finally {
      tf.dispose([mean, std]);
    }
  } finally {
    tf.dispose([xs, bnData]);
  }
}

function joined(parts: readonly Images[]): Images {
  const pixels = new Float32Array(parts.reduce((sum, { pixels }) => sum + pixels.length, 0));
  parts.reduce((offset, part) => {
    pixels.set(part.pixels, offset);
    return offset + part.pixels.length;
  }, 0);
  return {
    count: parts.reduce((sum, { count }) => sum + count, 0),
    pixels,
    labels: Uint8Array.from(parts.flatMap(({ labels }) => [...labels])),
  };
}

async function byShare(tensor: tf.Tensor): Promise<number[][][]> {
  const values = [...((await tensor.data()) as Float32Array)];
  const rows = Array.from({ length: values.length / CLASSES }, (_, i) =>
    values.slice(i * CLASSES, (i + 1) * CLASSES),
  );
  const images = rows.length / SHARES.length;
  return SHARES.map((_, share) => rows.slice(share * images, (share + 1) * images));
}
