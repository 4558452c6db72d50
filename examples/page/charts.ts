/**
 * What the pictures show of a run, as drawings and in words. It knows nothing of how a run goes or
 * where the pictures stand.
 *
 * Not drawn by Vega as the demo's are: bundled without Vega-Lite it has 538 kB (191 kB gzipped) where
 * the page's script has 31 (13), and it makes functions of text, which the page's policy forbids.
 */
import type { ErrorPlane } from './error_plane.js';
import type { Alternative, Draw } from './figure.js';
import { drawPlane } from './heat_map.js';
import { drawLines } from './line_chart.js';
import { isAveraged, rateOf, stepsPerEpoch } from './rates.js';
import type { Checkpoint, EpochPoint } from './run.js';
import type { Settings } from './settings.js';

/** A drawing, and what it says in words. */
export type Picture = [draw: Draw, alternative: Alternative];

const X_TITLE = 'epoch';

/** Test error of the weights and of the average by epoch. */
export function errorPicture(settings: Settings, curve: readonly EpochPoint[]): Picture {
  const weights = curve.map(({ epoch, error }) => ({ x: epoch, y: error }));
  const average = curve.flatMap(({ epoch, average }) =>
    average ? [{ x: epoch, y: average.error }] : [],
  );
  const last = curve.at(-1);
  const lastAverage = average.at(-1);
  const summary = last
    ? `After epoch ${last.epoch} of ${settings.epochs} the current weights call ` +
      `${percent(last.error)} of the test images wrongly` +
      (lastAverage ? `, the running average ${percent(lastAverage.y)}.` : '.')
    : 'No epoch is trained yet.';
  const draw: Draw = (width) =>
    drawLines(width, {
      xRange: [0, settings.epochs],
      xTitle: X_TITLE,
      yRange: padded([...weights, ...average].map(({ y }) => y)),
      yTitle: 'test error (%)',
      rule: { x: settings.start, text: 'averaging starts' },
      series: [
        { name: 'current weights', kind: 'weights', points: weights, line: true, dots: 'circle' },
        { name: 'running average', kind: 'average', points: average, line: true, dots: 'diamond' },
      ],
    });
  return [
    draw,
    {
      summary,
      columns: ['Epoch', 'Current weights', 'Running average', 'Backend'],
      rows: curve.map(({ epoch, error, average, backend }) => [
        epoch,
        percent(error),
        average ? percent(average.error) : '',
        backend,
      ]),
    },
  ];
}

/** Learning rate by epoch, with the moments of averaging; what is done stands out. */
export function ratePicture(settings: Settings, done: number): Picture {
  const { epochs } = settings;
  const steps = stepsPerEpoch(settings);
  const rate = rateOf(settings);
  const total = epochs * steps;
  // No step is taken at the end any more: there the rate is still that of the last one.
  const rates = Array.from({ length: total + 1 }, (_, step) => ({
    x: step / steps,
    y: rate(Math.min(step, total - 1)),
  }));
  const moments = Array.from({ length: epochs }, (_, i) => i + 1)
    .filter((epoch) => isAveraged(settings, epoch))
    .map((epoch) => ({ x: epoch, y: rate(epoch * steps - 1) }));
  const isDone = ({ x }: { x: number }) => x * steps <= done + 1e-6;
  const high = Math.max(...rates.map(({ y }) => y));
  const draw: Draw = (width) =>
    drawLines(width, {
      xRange: [0, epochs],
      xTitle: X_TITLE,
      yRange: [0, high * 1.15],
      yTitle: 'learning rate',
      rule: { x: settings.start, text: '' },
      series: [
        { name: 'to come', kind: 'ahead', points: rates, line: true, dots: null, silent: true },
        {
          name: 'learning rate',
          kind: 'rate',
          points: rates.filter(isDone),
          line: true,
          dots: null,
        },
        {
          name: 'to come',
          kind: 'moments ahead',
          points: moments.filter((moment) => !isDone(moment)),
          line: false,
          dots: 'diamond',
          silent: true,
        },
        {
          name: 'into the average',
          kind: 'average',
          points: moments.filter(isDone),
          line: false,
          dots: 'diamond',
        },
      ],
    });
  const atEpoch = (epoch: number) => rate(Math.min(epoch * steps, total - 1)).toFixed(4);
  return [
    draw,
    {
      summary:
        `The rate is ${atEpoch(done / steps)} now, after ${(done / steps).toFixed(1)} of ` +
        `${epochs} epochs; ${moments.filter(isDone).length} of ${moments.length} values are in ` +
        'the average.',
      columns: ['After epoch', 'Learning rate', 'Into the average'],
      rows: Array.from({ length: epochs + 1 }, (_, epoch) => [
        epoch,
        atEpoch(epoch),
        isAveraged(settings, epoch) ? 'yes' : '',
      ]),
    },
  ];
}

/** The error plane, whole or as far as it is measured. */
export function planePicture(plane: ErrorPlane): Picture {
  const { grid, errors } = plane;
  const cells = grid.columns * grid.rows;
  const least = Math.min(...errors);
  const column = (x: number) => (grid.x + x * grid.step).toFixed(2);
  return [
    (width) => drawPlane(width, plane),
    {
      summary:
        `${errors.length} of ${cells} points; the test error there goes from ${percent(least)} to ` +
        `${percent(Math.max(...errors))}. ${cells === errors.length ? nearest(plane) : ''}`,
      columns: ['Across / up', ...Array.from({ length: grid.columns }, (_, x) => column(x))],
      rows: Array.from({ length: grid.rows }, (_, row) => [
        (grid.y + (grid.rows - 1 - row) * grid.step).toFixed(2),
        ...errors
          .slice((grid.rows - 1 - row) * grid.columns, (grid.rows - row) * grid.columns)
          .map((error) => error.toFixed(1)),
      ]),
    },
  ];
}

/** How far the run has come, in a sentence. */
export function progressText({ settings, curve }: Checkpoint): string {
  const last = curve.at(-1);
  if (!last) return `Epoch 1 of ${settings.epochs} is being trained.`;
  const average = curve.filter(({ average }) => average).at(-1)?.average;
  return (
    `Epoch ${last.epoch} of ${settings.epochs}: test error ${percent(last.error)}` +
    (average ? `, running average ${percent(average.error)}.` : '.')
  );
}

export function percent(value: number): string {
  return `${value.toFixed(1)}\u00a0%`; // on one line
}

function nearest({ grid, errors, average, last }: ErrorPlane): string {
  const at = ({ x, y }: { x: number; y: number }) => {
    const column = Math.round((x - grid.x) / grid.step);
    const row = Math.round((y - grid.y) / grid.step);
    return percent(errors[row * grid.columns + column]!);
  };
  return `It is ${at(average)} near the average and ${at(last)} near the last weights.`;
}

/** The range of values, in percent, with a margin; all there can be where there are none. */
export function padded(values: readonly number[]): [number, number] {
  if (values.length === 0) return [0, 100];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max((most - least) * 0.12, 1);
  return [Math.max(0, least - margin), Math.min(100, most + margin)];
}
