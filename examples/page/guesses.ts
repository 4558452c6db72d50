/** Shows ten images with what the net says of them. It knows nothing of nets. */
import type { Images } from '../demo/data.js';
import { html } from './dom.js';
import type { Checkpoint, Guess } from './run.js';

const SIDE = 14;

/** The classes of Fashion-MNIST. */
export const CLASS_NAMES = [
  'T-shirt',
  'trousers',
  'pullover',
  'dress',
  'coat',
  'sandal',
  'shirt',
  'sneaker',
  'bag',
  'ankle boot',
] as const;

/**
 * Fills a list with the images and the guesses; a guess that is wrong says so in words too.
 *
 * @param averaged What the average is over.
 */
export function showGuesses(
  list: HTMLElement,
  ten: Images,
  guesses: Checkpoint['guesses'],
  averaged: string,
): void {
  if (list.childElementCount !== ten.count) {
    list.replaceChildren(
      ...Array.from(ten.labels, (label, i) =>
        html('li', {}, pictureOf(ten, i), html('b', {}, CLASS_NAMES[label]!), html('p'), html('p')),
      ),
    );
  }
  [...list.children].forEach((item, i) => {
    const [weights, average] = item.querySelectorAll('p');
    const truth = ten.labels[i]!;
    weights!.replaceChildren(...said('now', 'weights', guesses.weights[i], truth));
    average!.replaceChildren(...said(averaged, 'average', guesses.average[i], truth));
  });
}

function said(who: string, kind: string, guess: Guess | undefined, truth: number): Node[] {
  const name = html('span', { class: `who ${kind}` }, who);
  if (!guess) return [name, html('span', { class: 'what' }, 'nothing yet')];
  const isRight = guess.label === truth;
  const text = `${isRight ? '✓' : '✗ wrong:'} ${CLASS_NAMES[guess.label]!}`;
  const sure = ` ${Math.round(100 * guess.probability)}\u00a0%`;
  return [name, html('span', { class: isRight ? 'what' : 'what wrong' }, text, sure)];
}

/** The image at a place. */
export function pictureOf(images: Images, i: number): HTMLCanvasElement {
  const label = `Test image of the class ${CLASS_NAMES[images.labels[i]!]!}`;
  const canvas = html('canvas', { width: SIDE, height: SIDE, role: 'img', 'aria-label': label });
  const context = canvas.getContext('2d')!;
  const data = context.createImageData(SIDE, SIDE);
  for (let pixel = 0; pixel < SIDE ** 2; pixel++) {
    const value = Math.round(255 * (1 - images.pixels[i * SIDE ** 2 + pixel]!));
    data.data.set([value, value, value, 255], pixel * 4);
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
