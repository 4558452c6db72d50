/**
 * The settings of a run: one table of their words, bounds and presets, from which the form, the
 * address and the checks follow. It knows nothing of training or of the page.
 */

/** Backends in the order in which they are tried. */
export const BACKENDS = ['webgpu', 'webgl', 'wasm', 'cpu'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** What people call the backends. */
export const BACKEND_NAMES: Record<BackendName, string> = {
  webgpu: 'WebGPU',
  webgl: 'WebGL',
  wasm: 'WebAssembly',
  cpu: 'plain JavaScript',
};

/** Training images that no run trains on: by them the window of averaging is chosen. */
export const HELD_OUT = 500;

/** Samples of the weights that are asked how sure they are. */
export const SAMPLES = 30;

/** All that a run follows from, the seed included. */
export interface Settings {
  backend: 'best' | BackendName;
  schedule: 'decay' | 'constant' | 'cyclic';
  /** Epochs before the running average starts, and SWAG. */
  start: number;
  /** Epochs from one value of the running average to the next. */
  every: number;
  /** Percent of the training labels that are drawn anew. */
  noise: number;
  epochs: number;
  /** Training images. */
  images: number;
  /** Test images. */
  tests: number;
  /** Points of the error plane along its longer side. */
  grid: number;
  seed: number;
}

interface Field {
  label: string;
  /** One line that explains it. */
  help: string;
}

/** One of some options, by value, with what people read. */
export interface Choice extends Field {
  preset: string;
  options: Readonly<Record<string, string>>;
}

/** A whole number. */
export interface Amount extends Field {
  preset: number;
  min: number;
  max: number;
}

export const FIELDS: {
  readonly [K in keyof Settings]: Settings[K] extends number ? Amount : Choice;
} = {
  backend: {
    label: 'Backend',
    help: 'What computes. If it does not start or is lost, the next one goes on.',
    preset: 'best',
    options: { best: 'The best that is here', ...BACKEND_NAMES },
  },
  schedule: {
    label: 'Learning rate',
    help: 'Cyclic: it falls from one average to the next. Averaging gains most where it stays high.',
    preset: 'constant',
    options: {
      decay: 'Decay to 1 %',
      constant: 'Constant, with SWA',
      cyclic: 'Cyclic, with SWA',
    },
  },
  start: {
    label: 'Averaging starts after epoch',
    help: 'Of the running average and of SWAG; a window is chosen after training.',
    preset: 6,
    min: 0,
    max: 59,
  },
  every: {
    label: 'Epochs between averages',
    help: 'How often the weights go into the running average; with a cyclic rate the length of a cycle.',
    preset: 1,
    min: 1,
    max: 30,
  },
  noise: {
    label: 'Noise of the labels (%)',
    help: 'So many of the training labels are drawn at random: the net has something to overfit.',
    preset: 20,
    min: 0,
    max: 100,
  },
  epochs: {
    label: 'Epochs',
    help: 'Passes over the training images.',
    preset: 12,
    min: 2,
    max: 60,
  },
  images: {
    label: 'Training images',
    help: 'Of 3,500; few are quick where a processor stands in for the GPU.',
    preset: 500,
    min: 64,
    max: 3500,
  },
  tests: {
    label: 'Test images',
    help: 'Of the 10,000; the test error is the share of them that is called wrongly.',
    preset: 1000,
    min: 100,
    max: 10000,
  },
  grid: {
    label: 'Points along the plane',
    help: 'The longer side of the error plane; its points are measured one by one.',
    preset: 11,
    min: 3,
    max: 40,
  },
  seed: {
    label: 'Seed',
    help: 'Start, order of the images and noise follow from it: the same seed gives the same run.',
    preset: 1,
    min: 0,
    max: 9999,
  },
};

export const NAMES = Object.keys(FIELDS) as (keyof Settings)[];

/** The settings where nobody asked for others. */
export const PRESETS = Object.fromEntries(
  NAMES.map((name) => [name, FIELDS[name].preset]),
) as unknown as Settings;

/**
 * Reads settings that are written as text.
 *
 * @param textOf The text of a setting, `null` where there is none.
 * @returns The settings, with the preset for what is missing or wrong, and a line on each that is.
 */
export function readSettings(textOf: (name: keyof Settings) => string | null): {
  settings: Settings;
  problems: string[];
} {
  const problems: string[] = [];
  const entries = NAMES.map((name) => {
    const field = FIELDS[name];
    const text = textOf(name);
    if (text === null) return [name, field.preset];
    if ('options' in field) {
      if (Object.hasOwn(field.options, text)) return [name, text];
      problems.push(problemOf(name, text, `one of ${Object.keys(field.options).join(', ')}`));
    } else {
      if (/^\d+$/.test(text) && isWithin(Number(text), field)) return [name, Number(text)];
      const expected = `a whole number from ${field.min} to ${field.max}`;
      problems.push(problemOf(name, text, expected));
    }
    return [name, field.preset];
  });
  const settings = Object.fromEntries(entries) as unknown as Settings;
  const { start, every, epochs } = settings;
  if (isTooLate(settings)) {
    // A short run from an address that names its length alone.
    settings.start = Math.floor(epochs / 2);
    settings.every = 1;
    if (textOf('start') !== null || textOf('every') !== null) {
      problems.push(`${tooLate({ start, every, epochs })} They are ${settings.start} and 1 now.`);
    }
  }
  return { settings, problems };
}

/** Whether no average falls within the run. */
export function isTooLate({ start, every, epochs }: Timing): boolean {
  return start + every > epochs;
}

/** Why {@link isTooLate} settings cannot be run. */
export function tooLate({ start, every, epochs }: Timing): string {
  return (
    `Averaging after epoch ${start}, every ${every} epochs, takes no average in ` +
    `${epochs} epochs.`
  );
}

type Timing = Pick<Settings, 'start' | 'every' | 'epochs'>;

function isWithin(value: number, { min, max }: Amount): boolean {
  return value >= min && value <= max;
}

function problemOf(name: keyof Settings, text: string, expected: string): string {
  return `Invalid ${name}: ${text} (expected ${expected}); ${FIELDS[name].preset} is used.`;
}
