/** Blends images with noise. It knows nothing of what is on them. */
import type { Images } from '../demo/data.js';
import { randomNumbers } from '../demo/random.js';

/** How much noise the page blends in, in percent. */
export const SHARES: readonly number[] = Array.from({ length: 21 }, (_, i) => 5 * i);

/**
 * Each pixel `(1 - t) pixel + t noise`, the noise even from 0 to 1 and always the same.
 *
 * @param percent 100 t; at 100 nothing is left of the images.
 */
export function blended(images: Images, percent: number): Images {
  const t = percent / 100;
  const random = randomNumbers(1);
  return { ...images, pixels: images.pixels.map((pixel) => (1 - t) * pixel + t * random()) };
}
