/**
 * The demo from the command line to its files: options, flow, signals. It knows nothing of how
 * nets are trained or charts are drawn.
 */
import { startBackend } from './backend.js';
import { breathe } from './breathe.js';
import { errorChart, rateChart } from './charts.js';
import {
  loadCheckpoint,
  newState,
  saveCheckpoint,
  type DemoState,
  type Setting,
} from './checkpoint.js';
import { estimateSeconds, type Estimate } from './estimate.js';
import { splitImages } from './data.js';
import { gridSize, measureLandscape } from './landscape.js';
import { NAMES } from './method.js';
import { commandOf, HELP, parseOptions, UsageError, type DemoOptions } from './options.js';
import { writeFiles, type Files } from './output.js';
import { planeChart } from './plane_chart.js';
import { startProgress } from './progress.js';
import { loadImages } from './read_images.js';
import { render } from './render.js';
import { sentenceOf, summarize, tableOf, wrapped } from './report.js';
import { resultsOf } from './results.js';
import { LOW_RATE, makeSchedule, RATE, type Schedule } from './schedule.js';
import { startChart } from './start_chart.js';
import { planOf, runSeed, type EpochReport } from './training.js';
import { windowsOf } from './windows.js';

/** Images of the training set that are not trained on: they choose where averaging starts. */
const VALIDATION = 500;

let stopProgress = () => {};
/** What one who stops the demo is told, and what has to be done before. */
let whenStopped = '; nothing was written.';
let saving: Promise<unknown> = Promise.resolve();

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(HELP);
  } else {
    stopOn('SIGINT', 130);
    stopOn('SIGTERM', 143);
    await demo(options);
  }
} catch (error) {
  stopProgress();
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`demo: ${error.message}\n`);
  process.exitCode = 2;
}

/**
 * Ends the demo at a signal, after a save that is under way. The results are written in one go at
 * the end, so that none can be half there.
 */
function stopOn(signal: NodeJS.Signals, code: number): void {
  const stop = () => {
    stopProgress();
    process.stderr.write(`\nStopped by ${signal}${whenStopped}\n`);
    process.exit(code);
  };
  // Not once: a terminal and npm may both send it, and the second would end the save half-way.
  process.on(signal, () => void saving.then(stop, stop));
}

async function demo(options: DemoOptions): Promise<void> {
  const started = performance.now();
  const { seeds, epochs, width, noise, method, grid, backend: wanted, out, checkpoint } = options;
  const backend = await startBackend(wanted, say);
  const setting: Setting = {
    seeds,
    epochs,
    width,
    noise,
    method,
    grid,
    backend: wanted,
    running: backend,
  };
  const kept = checkpoint === undefined ? null : await loadCheckpoint(checkpoint, setting);
  const state = kept ?? newState();
  const before = state.seconds;
  const { finished } = state;
  const { train: all, test } = await loadImages();
  const [train, validation] = splitImages(all, all.count - VALIDATION);
  const schedule = makeSchedule(epochs, train.count, method);
  const estimate = await estimateSeconds(options, schedule, train, test);
  const noiseText = `${Number((100 * noise).toFixed(2))} % random labels`;
  const halfText = epochsText(schedule.half);
  const [then, moments] = averagingText(schedule);
  say(
    wrapped(
      `${method === 'ema' ? 'An exponential moving average (EMA) of weights' : 'Stochastic Weight Averaging'} on Fashion-MNIST: a net of two hidden layers of ${width} units ` +
        `with batch normalization learns from ${train.count} images with ${noiseText}, is judged ` +
        `on ${VALIDATION} others, and is tested on ${test.count}. For each of ${seeds} seed${seeds === 1 ? '' : 's'}:`,
    ),
    `  1. ${halfText} of SGD at the constant rate ${RATE}, shared by both runs;`,
    `  2. ${halfText} more ${then},`,
    `     ${moments},`,
    `     and with 1. by SWA at every step, from a start that the ${VALIDATION} others choose;`,
    `  3. from the end of 1. again, ${halfText} at a rate that decays to 1 %.`,
    'Then the test error is measured on a plane of weight space, and all is drawn.',
    `On the ${backend} backend here this takes about ${durationText(estimate.total)}.`,
  );
  const done = secondsOf(state, options, schedule, estimate);
  if (kept) {
    const left = `${durationText(estimate.total - done)} are left`;
    say(
      wrapped(`Resumed from ${checkpoint}: ${doneText(state, options, schedule)}; about ${left}.`),
    );
  }
  say('');

  const goesOn = () => (whenStopped = `; the same command goes on from ${checkpoint}.`);
  const save = async () => {
    if (checkpoint === undefined) return;
    state.seconds = before + (performance.now() - started) / 1000;
    saving = saveCheckpoint(checkpoint, setting, state);
    await saving;
    goesOn();
  };
  if (kept) goesOn();
  const progress = startProgress(estimate.total, done);
  stopProgress = () => progress.stop();
  for (let seed = finished.length + 1; seed <= seeds; seed++) {
    const { weights, ...scores } = await runSeed({
      seed,
      width,
      noise,
      schedule,
      train,
      validation,
      test,
      from: state.current,
      onEpoch: (report) =>
        progress.advance(
          estimate.epoch[report.phase],
          `${epochText(seed, report, options)}, loss ${report.loss.toFixed(3)}, ` +
            `test error ${report.error.toFixed(2)} %`,
        ),
      onWindow: ({ start, test: { error } }) =>
        progress.advance(
          estimate.window,
          `seed ${seed}/${seeds} averaged from epoch ${start + 1} on, test error ${error.toFixed(2)} %`,
        ),
      onState: async (current) => {
        if (checkpoint === undefined) return;
        state.current = await current();
        await save();
      },
    });
    finished.push(scores);
    state.weights ??= weights;
    state.current = null;
    await save();
  }
  if (!state.landscape) {
    state.landscape = await measureLandscape(
      { seed: 1, width, grid },
      state.weights!,
      train,
      test,
      (row, rows, lowest) =>
        progress.advance(
          estimate.row,
          `error plane, row ${row}/${rows}, lowest test error ${lowest.toFixed(2)} %`,
        ),
    );
    await save();
  }
  const { landscape } = state;

  const summary = summarize(finished, method);
  const sentence = sentenceOf(summary, options);
  const subtitle = `width ${width}, ${noiseText}`;
  const charts = {
    'averaging-start': startChart(finished, schedule, subtitle),
    'test-error': errorChart(finished, schedule, subtitle),
    'learning-rate': rateChart(schedule, RATE),
    'error-plane': planeChart(landscape, method, subtitle),
  };
  const files: Files = {};
  for (const [name, spec] of Object.entries(charts)) {
    const { svg, png } = await render(spec);
    files[`${name}.svg`] = svg;
    files[`${name}.png`] = png;
    progress.advance(estimate.charts / Object.keys(charts).length, `drew ${name}`);
    await breathe();
  }
  progress.stop();
  const seconds = before + (performance.now() - started) / 1000;
  files['results.json'] = resultsOf({
    options,
    backend,
    command: commandOf(options),
    schedule,
    summary,
    sentence,
    runs: finished,
    landscape,
    seconds: { estimated: estimate.total, taken: seconds },
  });
  writeFiles(out, files);
  whenStopped = '.';
  say(
    '',
    tableOf(summary),
    '',
    wrapped(sentence),
    '',
    wrapped(`Took ${seconds.toFixed(1)} s. Written to ${out}: ${Object.keys(files).join(', ')}`),
  );
}

function say(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Seconds of the work that was done before, as they were estimated here. */
function secondsOf(
  state: DemoState,
  { grid }: DemoOptions,
  schedule: Schedule,
  { epoch, window, row }: Estimate,
): number {
  const { finished, current, landscape } = state;
  const plan = planOf(schedule);
  const windows = window * windowsOf(schedule.epochs);
  // The windows are measured after the last epoch that is averaged.
  const seconds = (epochs: typeof plan) =>
    epochs.reduce((sum, { phase }) => sum + epoch[phase], 0) +
    (epochs.length >= schedule.epochs ? windows : 0);
  return (
    finished.length * seconds(plan) +
    seconds(plan.slice(0, current?.record.trained ?? 0)) +
    (landscape ? gridSize(grid).rows * row : 0)
  );
}

/** How far the run had come. */
function doneText(state: DemoState, options: DemoOptions, schedule: Schedule): string {
  const { finished, current, landscape } = state;
  if (landscape) return 'all is done but for the pictures';
  const last = current && planOf(schedule)[current.record.trained - 1];
  if (last) return `done up to ${epochText(finished.length + 1, last, options)}`;
  return `done up to the end of seed ${finished.length}/${options.seeds}`;
}

function epochText(
  seed: number,
  { phase, epoch }: Pick<EpochReport, 'phase' | 'epoch'>,
  { seeds, epochs, method }: DemoOptions,
): string {
  const name = phase === 'averaged' ? NAMES[method].average : phase;
  return `seed ${seed}/${seeds} ${name}, epoch ${epoch}/${epochs}`;
}

/** The rate of the run that is averaged, and when its averages take a value. */
function averagingText({ method, swaEpochs, emaDecay }: Schedule): [rate: string, moments: string] {
  const ema = `by EMA (decay ${Number(emaDecay.toPrecision(4))}) at every step`;
  if (method === 'ema') return ['at that rate', `averaged ${ema}, by SWA once an epoch`];
  if (method === 'swa') return ['at that rate', `averaged by SWA once an epoch, ${ema}`];
  return [
    `in cycles of ${epochsText(swaEpochs)} from ${RATE} to ${LOW_RATE}`,
    `averaged by SWA where a cycle ends, ${ema}`,
  ];
}

function epochsText(epochs: number): string {
  return `${epochs} epoch${epochs === 1 ? '' : 's'}`;
}

/** `45 s` or `1 min 20 s`, to 5 seconds. */
function durationText(seconds: number): string {
  const rounded = Math.max(5, Math.ceil(seconds / 5) * 5);
  const minutes = Math.floor(rounded / 60);
  return minutes === 0 ? `${rounded} s` : `${minutes} min ${rounded % 60} s`;
}
