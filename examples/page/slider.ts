/** A slider of the page, with words on what it picks. It knows nothing of what that is. */
import { byId } from './dom.js';

/** What a slider shows. */
export interface Position {
  /** Its place; `null` turns it off. */
  value: number | null;
  max: number;
  /** Where in the picture above its least value lies, as a fraction of the axis. */
  from: number;
  /** The value in words. */
  text: string;
  /** What there is to say of it, below. */
  says: string;
}

/**
 * Takes over the slider with an id, and the paragraph `ID-says`.
 *
 * @param onPick Told what a person picks.
 * @returns Shows a position.
 */
export function makeSlider(
  id: string,
  onPick: (value: number) => void,
): (position: Position) => void {
  const slider = byId(id) as HTMLInputElement;
  const words = byId(`${id}-says`);
  slider.addEventListener('input', () => onPick(Number(slider.value)));
  return ({ value, max, from, text, says }) => {
    slider.disabled = value === null;
    slider.max = String(max);
    slider.style.setProperty('--from', String(from));
    slider.value = String(value ?? slider.min);
    slider.setAttribute('aria-valuetext', text);
    if (words.textContent !== says) words.textContent = says;
  };
}
