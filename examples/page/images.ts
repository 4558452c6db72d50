/** Fetches the images and cuts them to a run's size. It knows nothing of what they are for. */
import { decodeImages, SIDE, type Images } from '../demo/data.js';
import type { Settings } from './settings.js';

/** The file beside this script. Not named .gz, which some servers unpack on the way. */
const FILE = 'images.bin';

/** Fetches all images. */
export async function fetchImages(): Promise<{ train: Images; test: Images }> {
  const response = await fetch(new URL(FILE, import.meta.url));
  if (!response.ok) throw new Error(`${FILE}: the server answers ${response.status}`);
  const unpacked = response.body!.pipeThrough(new DecompressionStream('gzip'));
  return decodeImages(new Uint8Array(await new Response(unpacked).arrayBuffer()));
}

/** The first images of the training and of the test set. */
export function cutImages(
  { train, test }: { train: Images; test: Images },
  { images, tests }: Settings,
): { train: Images; test: Images } {
  return { train: first(train, images), test: first(test, tests) };
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

function first({ pixels, labels }: Images, count: number): Images {
  return { count, pixels: pixels.subarray(0, count * SIDE ** 2), labels: labels.slice(0, count) };
}
