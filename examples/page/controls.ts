/** The form of the settings. It knows nothing of what they do. */
import { html } from './dom.js';
import {
  FIELDS,
  isTooLate,
  NAMES,
  readSettings,
  tooLate,
  type Amount,
  type Choice,
  type Settings,
} from './settings.js';

/** The settings that stand under a heading of their own, as few people change them. */
const SIZES: readonly (keyof Settings)[] = ['epochs', 'images', 'tests', 'grid', 'seed'];

/** A form that shows settings and gives them back. */
export interface Controls {
  show(settings: Settings): void;
  /** The settings, or `null` where the browser has told the person what is wrong with them. */
  read(): Settings | null;
}

/** Fills a form with a control for each setting. */
export function makeControls(form: HTMLFormElement): Controls {
  const inputs = Object.fromEntries(
    NAMES.map((name) => [name, inputOf(name, FIELDS[name])]),
  ) as Record<keyof Settings, HTMLInputElement | HTMLSelectElement>;
  const group = (title: string, names: readonly (keyof Settings)[]) =>
    html(
      'fieldset',
      {},
      html('legend', {}, title),
      ...names.map((name) => row(name, inputs[name])),
    );
  form.replaceChildren(
    group(
      'How it trains',
      NAMES.filter((name) => !SIZES.includes(name)),
    ),
    group('How much', SIZES),
  );
  const values = () => readSettings((name) => inputs[name].value).settings;
  const check = () => {
    // Read one by one: readSettings mends what does not go together.
    const [start, every, epochs] = (['start', 'every', 'epochs'] as const).map((name) =>
      Number(inputs[name].value),
    ) as [number, number, number];
    const timing = { start, every, epochs };
    inputs.start.setCustomValidity(isTooLate(timing) ? tooLate(timing) : '');
  };
  form.addEventListener('input', check);
  return {
    show(settings) {
      for (const name of NAMES) inputs[name].value = String(settings[name]);
      check();
    },
    read: () => (form.reportValidity() ? values() : null),
  };
}

function row(name: keyof Settings, input: HTMLElement): HTMLElement {
  const { label, help } = FIELDS[name];
  return html(
    'div',
    { class: 'field' },
    html('label', { for: `setting-${name}` }, label),
    input,
    html('p', { id: `setting-${name}-help`, class: 'help' }, help),
  );
}

function inputOf(name: string, field: Amount | Choice): HTMLInputElement | HTMLSelectElement {
  const attributes = { id: `setting-${name}`, name, 'aria-describedby': `setting-${name}-help` };
  if ('options' in field) {
    const options = Object.entries(field.options).map(([value, text]) =>
      html('option', { value }, text),
    );
    return html('select', attributes, ...options);
  }
  const { min, max } = field;
  return html('input', { ...attributes, type: 'number', min, max, step: 1, required: '' });
}
