/** Fetches the images and cuts them to a run's size. It knows nothing of what they are for. */
import { decodeImages, SIDE, type Images } from '../demo/data.js';
import { HELD_OUT, type Settings } from './settings.js';

/** The file beside this script. Not named .gz, which some servers unpack on the way. */
const FILE = 'images.bin';

/** Fetches all images. */
export async function fetchImages(): Promise<{ train: Images; test: Images }> {
  const response = await fetch(new URL(FILE, import.meta.url));
  if (!response.ok) throw new Error(`${FILE}: the server answers ${response.status}`);
  const unpacked = response.body!.pipeThrough(new DecompressionStream('gzip'));
  return decodeImages(new Uint8Array(await new Response(unpacked).arrayBuffer()));
}

/** The images that a run trains on, chooses by and is tested on. */
export interface RunImages {
  train: Images;
  heldOut: Images;
  test: Images;
}

/** The first images of the training and of the test set, and the last training images to choose by. */
export function cutImages(
  { train, test }: { train: Images; test: Images },
  { images, tests }: Settings,
): RunImages {
  const heldOut = cut(train, train.count - HELD_OUT, train.count);
  return { train: cut(train, 0, images), heldOut, test: cut(test, 0, tests) };
}

/** Of each class the first image, in the order of the classes. */
export function oneOfEach(images: Images): Images {
  const places = Array.from({ length: 10 }, (_, label) => images.labels.indexOf(label));
  const pixels = new Float32Array(places.length * SIDE ** 2);
  places.forEach((place, i) => {
    pixels.set(images.pixels.subarray(place * SIDE ** 2, (place + 1) * SIDE ** 2), i * SIDE ** 2);
  });
  return { count: places.length, pixels, labels: Uint8Array.from(places, (_, label) => label) };
}

function cut({ pixels, labels }: Images, start: number, end: number): Images {
  return {
    count: end - start,
    pixels: pixels.subarray(start * SIDE ** 2, end * SIDE ** 2),
    labels: labels.slice(start, end),
  };
}
