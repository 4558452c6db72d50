/** Shows what samples of a net's weights say of ten images. It knows nothing of nets. */
import type { Images } from '../demo/data.js';
import { html } from './dom.js';
import { CLASS_NAMES, pictureOf } from './guesses.js';

/**
 * Fills a list with the images, and for each class a bar with an interval of one standard deviation
 * to either side.
 *
 * @param mean The probabilities by image and class, and their standard deviation; without any, empty
 *   bars.
 */
export function showBars(
  list: HTMLElement,
  ten: Images,
  mean: readonly number[][] | undefined,
  std: readonly number[][] | undefined,
): void {
  list.replaceChildren(
    ...Array.from(ten.labels, (label, i) =>
      html(
        'li',
        {},
        pictureOf(ten, i),
        html('b', {}, CLASS_NAMES[label]!),
        barsOf(mean?.[i], std?.[i], label),
      ),
    ),
  );
}

function barsOf(
  mean: readonly number[] | undefined,
  std: readonly number[] | undefined,
  truth: number,
): HTMLElement {
  const rows = CLASS_NAMES.map((name, label) => {
    const bar = html('span', { class: 'bar' });
    const [middle, spread] = [mean?.[label] ?? 0, std?.[label] ?? 0];
    bar.style.setProperty('--mean', String(middle));
    bar.style.setProperty('--low', String(Math.max(0, middle - spread)));
    bar.style.setProperty('--high', String(Math.min(1, middle + spread)));
    return html('span', { class: label === truth ? 'row truth' : 'row' }, name, bar);
  });
  const words = mean ? likeliest(mean, std!) : 'Nothing yet';
  return html('div', { class: 'bars', role: 'img', 'aria-label': words }, ...rows);
}

/** The three likeliest classes in words. */
function likeliest(mean: readonly number[], std: readonly number[]): string {
  const percent = (value: number) => Math.round(100 * value);
  return CLASS_NAMES.map((name, label) => ({ name, mean: mean[label]!, std: std[label]! }))
    .sort((a, b) => b.mean - a.mean)
    .slice(0, 3)
    .map(({ name, mean, std }) => `${name} ${percent(mean)} % ± ${percent(std)}`)
    .join(', ');
}
