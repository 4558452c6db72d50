/** The slider that picks one of a run's windows. It knows nothing of what a window is worth. */
import { byId } from './dom.js';

/** The slider and the words below it. */
export interface WindowPicker {
  /**
   * @param epochs Of the run.
   * @param picked How many of them; `null` turns the slider off.
   * @param value That in words.
   * @param says What there is to say of it.
   */
  show(epochs: number, picked: number | null, value: string, says: string): void;
}

/** Takes over the slider of the page. */
export function makeWindowPicker(onPick: (epochs: number) => void): WindowPicker {
  const slider = byId('window') as HTMLInputElement;
  const words = byId('window-says');
  slider.addEventListener('input', () => onPick(Number(slider.value)));
  return {
    show(epochs, picked, value, says) {
      slider.disabled = picked === null;
      slider.max = String(epochs);
      slider.style.setProperty('--epochs', slider.max); // it lies below the picture's axis
      slider.value = String(picked ?? 1);
      slider.setAttribute('aria-valuetext', value);
      if (words.textContent !== says) words.textContent = says;
    },
  };
}
