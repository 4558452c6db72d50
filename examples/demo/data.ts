/** The images and their labels, as plain arrays and as batches. It knows nothing of models. */
import * as tf from '@tensorflow/tfjs-core';
import { shuffledIndices } from './random.js';

export const CLASSES = 10;
/** Pixels along each side of an image. */
export const SIDE = 14;
const PIXELS = SIDE * SIDE;
const TRAIN = 4000;
const TEST = 10000;

/** Labelled images on the host. */
export interface Images {
  count: number;
  /** `count` images, row by row, 0 to 1. */
  pixels: Float32Array;
  /** `count` classes, 0 to 9. */
  labels: Uint8Array;
}

/**
 * The images in the bytes of examples/data/fashion-mnist-14x14.bin.gz, unpacked; its README tells the
 * layout.
 */
export function decodeImages(bytes: Uint8Array): { train: Images; test: Images } {
  if (bytes.length !== (TRAIN + TEST) * (1 + PIXELS)) {
    throw new Error(`fashion-mnist-14x14.bin.gz holds ${bytes.length} bytes, not the images`);
  }
  let offset = 0;
  const take = (length: number) => bytes.subarray(offset, (offset += length));
  const [trainLabels, testLabels] = [take(TRAIN), take(TEST)];
  const images = (count: number, labels: Uint8Array): Images => ({
    count,
    labels: Uint8Array.from(labels),
    pixels: Float32Array.from(take(count * PIXELS), (byte) => byte / 255),
  });
  return { train: images(TRAIN, trainLabels), test: images(TEST, testLabels) };
}

/** The first so many images, and the others. */
export function splitImages({ count, pixels, labels }: Images, first: number): [Images, Images] {
  const part = (from: number, to: number): Images => ({
    count: to - from,
    pixels: pixels.subarray(from * PIXELS, to * PIXELS),
    labels: labels.subarray(from, to),
  });
  return [part(0, first), part(first, count)];
}

/**
 * Labels of which a fraction, at random places, is drawn anew from all classes (so a tenth of those
 * stay right by chance).
 *
 * @param fraction 0 to 1; `round(fraction * labels.length)` labels are drawn.
 */
export function noisyLabels(
  labels: Uint8Array,
  fraction: number,
  random: () => number,
): Uint8Array {
  const noisy = labels.slice();
  const places = shuffledIndices(labels.length, random);
  for (const place of places.subarray(0, Math.round(fraction * labels.length))) {
    noisy[place] = Math.floor(random() * CLASSES);
  }
  return noisy;
}

/** The images at some places, as a tensor of shape `[indices.length, 14, 14]`. */
export function gatherImages({ pixels }: Images, indices: Int32Array): tf.Tensor3D {
  const values = new Float32Array(indices.length * PIXELS);
  indices.forEach((index, i) => {
    values.set(pixels.subarray(index * PIXELS, (index + 1) * PIXELS), i * PIXELS);
  });
  return tf.tensor3d(values, [indices.length, SIDE, SIDE]);
}

/** The labels at some places, one-hot, as a tensor of shape `[indices.length, 10]`. */
export function gatherLabels({ labels }: Images, indices: Int32Array): tf.Tensor2D {
  const values = new Float32Array(indices.length * CLASSES);
  indices.forEach((index, i) => (values[i * CLASSES + labels[index]!] = 1));
  return tf.tensor2d(values, [indices.length, CLASSES]);
}

/** All images in order, in batches that live until the next one is taken. */
export function* batchesOf(images: Images, size = 500): Generator<tf.Tensor3D> {
  for (let start = 0; start < images.count; start += size) {
    const batch = batchAt(images, start, size);
    try {
      yield batch;
    } finally {
      batch.dispose();
    }
  }
}

/** All images in order, in batches that the caller disposes. */
export function uploaded(images: Images, size: number): tf.Tensor3D[] {
  const batches = Math.ceil(images.count / size);
  return Array.from({ length: batches }, (_, i) => batchAt(images, i * size, size));
}

function batchAt({ count, pixels }: Images, start: number, size: number): tf.Tensor3D {
  const end = Math.min(start + size, count);
  const values = pixels.slice(start * PIXELS, end * PIXELS);
  return tf.tensor3d(values, [end - start, SIDE, SIDE]);
}
