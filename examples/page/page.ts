/** The page: its controls drive a run, and all that it shows follows from the run's state. */
import { showBars } from './bars.js';
import { errorPicture, percent, planePicture, progressText, ratePicture } from './charts.js';
import { makeControls } from './controls.js';
import { byId, html } from './dom.js';
import { Driver, IDLE, type State } from './driver.js';
import { makeFigure } from './figure.js';
import { showGuesses } from './guesses.js';
import { blended, SHARES } from './noise.js';
import { pngOf } from './picture.js';
import { stepsPerEpoch } from './rates.js';
import { download, resultsOf } from './results.js';
import { BACKEND_NAMES, readSettings } from './settings.js';
import { makeSlider } from './slider.js';
import { noiseText, uncertaintyPicture, uncertaintyText } from './uncertainty_chart.js';
import { lastEpochs, valueText, windowPicture, windowText } from './window_chart.js';

const query = new URLSearchParams(location.search);
const asked = readSettings((name) => query.get(name));

const controls = makeControls(byId('controls') as HTMLFormElement);
controls.show(asked.settings);
const errors = makeFigure('Test error by epoch');
const rates = makeFigure('Learning rate by epoch');
const windows = makeFigure('Test error by the epochs that are averaged');
const entropy = makeFigure('How unsure it is as noise is blended in');
const plane = makeFigure('Test error on the plane through three solutions');
byId('charts').append(errors.element, rates.element);
byId('window-picture').append(windows.element);
byId('entropy-picture').append(entropy.element);
byId('plane').append(plane.element);

const buttons = {
  start: byId('start'),
  pause: byId('pause'),
  reset: byId('reset'),
  results: byId('download-results'),
  picture: byId('download-picture'),
};
const said: string[] = [];
let state = IDLE;
/** What the page shows; `null` before anything is drawn. */
let shown: State | null = null;
let frame = 0;
/** The epochs of the window that is picked, `null` before one is chosen. */
let picked: number | null = null;

/** How much noise is blended into the ten images, in percent. */
let noise = 0;

const showWindow = makeSlider('window', (epochs) => {
  picked = epochs;
  drawWindow();
});
const showNoise = makeSlider('noise', (percent) => {
  noise = percent;
  drawUncertainty();
});

// Steps come faster than a screen shows them: what is drawn is the last before each frame.
const driver = new Driver((next) => {
  state = next;
  frame ||= requestAnimationFrame(draw);
}, say);
onPress(buttons.start, () => {
  const settings = controls.read();
  if (settings) void driver.start(settings);
});
onPress(buttons.pause, () => {
  if (state.paused || state.phase === 'offered') driver.resume();
  else driver.pause();
});
onPress(buttons.reset, () => void driver.reset());
onPress(buttons.results, () => {
  const text = resultsOf(state.checkpoint!, state.windows!, state.uncertainty, state.plane, said);
  download('swa-results.json', new Blob([text], { type: 'application/json' }));
});
onPress(buttons.picture, () => {
  const figures = [errors, rates, windows, entropy, ...(state.plane ? [plane] : [])];
  void pngOf(figures).then((png) => download('swa-picture.png', png));
});

// Where the settings stand beside the charts, they are in nobody's way.
(byId('settings') as HTMLDetailsElement).open = matchMedia('(min-width: 64rem)').matches;
asked.problems.forEach(say);
void driver.open(asked.settings);

/** Adds a line to what was said; a screen reader reads it out. */
function say(line: string): void {
  said.push(line);
  byId('said').append(html('li', {}, line));
}

/** Shows the state, as far as it differs from what is shown. */
function draw(): void {
  const before = shown;
  shown = state;
  frame = 0;
  const changed = (...names: (keyof State)[]) =>
    names.some((name) => before?.[name] !== state[name]);
  const { phase, paused, settings, checkpoint, done } = state;
  if (changed('settings') && settings) controls.show(settings);
  if (changed('phase', 'paused', 'backend', 'checkpoint', 'windows')) {
    document.body.dataset['phase'] = phase;
    byId('running-on').textContent = state.backend ? BACKEND_NAMES[state.backend] : 'none yet';
    const status = statusOf(state);
    if (byId('status').textContent !== status) byId('status').textContent = status;
    const isRunning = ['starting', 'training', 'choosing', 'sampling', 'measuring'].includes(phase);
    buttons.start.textContent = phase === 'idle' ? 'Start' : 'Start afresh';
    buttons.pause.textContent = paused || phase === 'offered' ? 'Go on' : 'Pause';
    enable(buttons.pause, isRunning || phase === 'offered');
    enable(buttons.reset, phase !== 'idle');
    const isDone = phase === 'done';
    byId('downloads').hidden = !isDone;
  }
  const drawn = settings ?? asked.settings;
  const curve = checkpoint?.curve ?? [];
  if (changed('settings', 'checkpoint')) errors.show(...errorPicture(drawn, curve));
  if (changed('windows')) picked = state.windows?.chosen ?? null;
  if (changed('settings', 'checkpoint', 'ten', 'windows')) drawWindow();
  if (changed('ten', 'uncertainty')) drawUncertainty();
  const steps = stepsPerEpoch(drawn);
  const now = Math.max(done, (checkpoint?.epoch ?? 0) * steps);
  if (changed('settings', 'checkpoint', 'done')) {
    rates.show(...ratePicture(drawn, now));
    progress('training', now, drawn.epochs * steps);
  }
  if (changed('plane', 'phase')) {
    byId('plane').hidden = !(phase === 'measuring' || state.plane);
    if (state.plane) {
      plane.show(...planePicture(state.plane));
      const { columns, rows } = state.plane.grid;
      progress('measured', state.plane.errors.length, columns * rows);
    }
  }
}

/** Shows the window that is picked, and what its average says of the ten images. */
function drawWindow(): void {
  const { checkpoint, ten } = state;
  const found = state.windows?.all.find(({ epochs }) => epochs === picked) ?? null;
  const shown = { windows: state.windows, picked: found };
  const run = checkpoint ?? {
    settings: state.settings ?? asked.settings,
    curve: [],
    guesses: { weights: [], average: [] },
  };
  windows.show(...windowPicture(run, shown));
  showWindow({
    value: picked,
    max: run.settings.epochs,
    from: 1 / run.settings.epochs,
    text: valueText(shown),
    says: windowText(run, shown),
  });
  const guesses = found ? { ...run.guesses, average: found.guesses } : run.guesses;
  if (ten) showGuesses(byId('ten'), ten, guesses, found ? lastEpochs(found.epochs) : 'average');
  else byId('ten').replaceChildren();
}

/** Shows what samples of the weights say of the ten images, blended as picked. */
function drawUncertainty(): void {
  const { uncertainty, ten } = state;
  if (!uncertainty) noise = 0;
  entropy.show(...uncertaintyPicture(uncertainty, noise));
  showNoise({
    value: uncertainty && noise,
    max: SHARES.at(-1)!,
    from: 0,
    text: noiseText(uncertainty, noise),
    says: uncertaintyText(uncertainty, noise),
  });
  const at = SHARES.indexOf(noise);
  const list = byId('sure');
  if (ten) showBars(list, blended(ten, noise), uncertainty?.mean[at], uncertainty?.std[at]);
  else list.replaceChildren();
}

function statusOf({ phase, paused, settings, checkpoint, windows }: State): string {
  if (paused) return `Paused. ${checkpoint ? progressText(checkpoint) : ''}`;
  const chosen = windows?.all.find(({ epochs }) => epochs === windows.chosen);
  const average = chosen
    ? `The ${lastEpochs(chosen.epochs)} averaged: ${percent(chosen.error)} errors. `
    : '';
  switch (phase) {
    case 'idle':
      return 'Nothing runs.';
    case 'offered':
      return `A run was cut short after epoch ${checkpoint!.epoch} of ${settings!.epochs}.`;
    case 'starting':
      return 'Starting.';
    case 'training':
      return progressText(checkpoint!);
    case 'choosing':
      return `${progressText(checkpoint!)} Trained; each window is being measured.`;
    case 'sampling':
      return `${average}Samples of the weights are being asked.`;
    case 'measuring':
      return `${average}The error plane is being measured.`;
    case 'done':
      return `Done. ${average}${progressText(checkpoint!)}`;
    case 'failed':
      return 'Stopped; the last message says why. Start tries again.';
  }
}

function progress(id: string, value: number, max: number): void {
  const bar = byId(id) as HTMLProgressElement;
  bar.max = max;
  bar.value = value;
}

/** Off, a button keeps the focus, which `disabled` would lose to a keyboard's user. */
function enable(button: HTMLElement, isOn: boolean): void {
  button.setAttribute('aria-disabled', String(!isOn));
}

function onPress(button: HTMLElement, f: () => void): void {
  button.addEventListener('click', () => {
    if (button.getAttribute('aria-disabled') !== 'true') f();
  });
}
