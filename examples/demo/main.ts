/**
 * The demo from the command line to its files: options, flow, signals. It knows nothing of how
 * nets are trained or charts are drawn.
 */
import { startBackend } from './backend.js';
import { breathe } from './breathe.js';
import { errorChart, rateChart } from './charts.js';
import { estimateSeconds } from './estimate.js';
import { measureLandscape } from './landscape.js';
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
import { runSeed, type SeedRun } from './training.js';

let stopProgress = () => {};
let written = false;

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

/** Ends the demo at a signal. Files are written in one go at the end, so none can be half there. */
function stopOn(signal: NodeJS.Signals, code: number): void {
  process.once(signal, () => {
    stopProgress();
    process.stderr.write(`\nStopped by ${signal}${written ? '.' : '; nothing was written.'}\n`);
    process.exit(code);
  });
}

async function demo(options: DemoOptions): Promise<void> {
  const started = performance.now();
  const { seeds, epochs, width, noise, method, out } = options;
  const backend = await startBackend(options.backend, say);
  const { train, test } = await loadImages();
  const schedule = makeSchedule(epochs, train.count, method);
  const estimate = await estimateSeconds(options, schedule, train, test);
  const noiseText = `${Number((100 * noise).toFixed(2))} % random labels`;
  const halfText = epochsText(schedule.half);
  const [then, moments] = averagingText(schedule);
  say(
    wrapped(
      `${method === 'ema' ? 'An exponential moving average (EMA) of weights' : 'Stochastic Weight Averaging'} on Fashion-MNIST: a net of two hidden layers of ${width} units ` +
        `with batch normalization learns from ${train.count} images with ${noiseText}, and is ` +
        `tested on ${test.count}. For each of ${seeds} seed${seeds === 1 ? '' : 's'}:`,
    ),
    `  1. ${halfText} of SGD at the constant rate ${RATE}, shared by both runs;`,
    `  2. ${halfText} more ${then},`,
    `     ${moments};`,
    `  3. from the end of 1. again, ${halfText} at a rate that decays to 1 %.`,
    'Then the test error is measured on a plane of weight space, and all is drawn.',
    `On the ${backend} backend here this takes about ${durationText(estimate.total)}.`,
    '',
  );

  const progress = startProgress(estimate.total);
  stopProgress = () => progress.stop();
  const runs: SeedRun[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const run = await runSeed({
      seed,
      width,
      noise,
      schedule,
      train,
      test,
      onEpoch: ({ phase, epoch, loss, error }) =>
        progress.advance(
          estimate.epoch[phase],
          `seed ${seed}/${seeds} ${phase === 'averaged' ? NAMES[method].average : phase}, epoch ${epoch}/${epochs}, ` +
            `loss ${loss.toFixed(3)}, test error ${error.toFixed(2)} %`,
        ),
    });
    runs.push(run);
  }
  const first = runs[0]!;
  const landscape = await measureLandscape(
    { seed: first.seed, width },
    first.weights,
    train,
    test,
    (row, rows, lowest) =>
      progress.advance(
        estimate.row,
        `error plane, row ${row}/${rows}, lowest test error ${lowest.toFixed(2)} %`,
      ),
  );

  const summary = summarize(runs, method);
  const sentence = sentenceOf(summary, options);
  const setting = `width ${width}, ${noiseText}`;
  const charts = {
    'test-error': errorChart(runs, schedule, setting),
    'learning-rate': rateChart(schedule, RATE),
    'error-plane': planeChart(landscape, method, setting),
  };
  const files: Files = {};
  for (const [name, spec] of Object.entries(charts)) {
    const { svg, png } = await render(spec);
    files[`${name}.svg`] = svg;
    files[`${name}.png`] = png;
    progress.advance(estimate.charts / 3, `drew ${name}`);
    await breathe();
  }
  progress.stop();
  const seconds = (performance.now() - started) / 1000;
  files['results.json'] = resultsOf({
    options,
    backend,
    command: commandOf(options),
    schedule,
    summary,
    sentence,
    runs,
    landscape,
    seconds: { estimated: estimate.total, taken: seconds },
  });
  writeFiles(out, files);
  written = true;
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
