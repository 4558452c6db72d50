/**
 * What the pictures of error and learning rate show, as Vega specifications. It knows nothing of
 * training or files; plane_chart.ts draws the error plane.
 */
import type { TopLevelSpec } from 'vega-lite';
import {
  COLOURS,
  CONFIG,
  heading,
  HEIGHT,
  ROOM,
  TITLE_X,
  WIDTH,
  LINE_LABEL,
} from './chart_style.js';
import { last } from './report.js';
import { NAMES } from './method.js';
import { LOW_RATE, type Schedule } from './schedule.js';
import { mean } from './statistics.js';
import type { EpochScore, SeedScores } from './training.js';

/** A place for a line's label: where the line ends, and where the label goes. */
interface EndLabel {
  label: string;
  colour: string;
  x: number;
  y: number;
}

/** Test error by epoch, mean and range over seeds, for the three series. */
export function errorChart(
  runs: readonly SeedScores[],
  { epochs, half, method, swaEpochs }: Schedule,
  subtitle: string,
): TopLevelSpec {
  // The decaying run leaves the shared one at its last epoch.
  const branch = ({ curves }: SeedScores) => [curves.iterates[half - 1]!, ...curves.decay];
  const series = [
    {
      label: `SGD at the\n${NAMES[method].rate} rate`,
      colour: COLOURS.constant,
      of: ({ curves }: SeedScores) => curves.iterates,
    },
    { label: 'SGD with decay', colour: COLOURS.decay, of: branch },
    {
      label:
        method === 'cyclic'
          ? 'SWA at a\ncyclic rate'
          : `${NAMES[method].average}: running\naverage`,
      colour: COLOURS.swa,
      of: ({ curves }: SeedScores) => curves.average,
    },
  ].map(({ label, colour, of }) => ({ label, colour, points: overSeeds(runs.map(of)) }));
  const points = series.flatMap(({ label, colour, points }) =>
    points.map((point) => ({ ...point, label, colour })),
  );
  const [low, high] = paddedRange(points.flatMap((point) => [point.low, point.high]));
  const ends = series.map(({ label, colour, points }) => {
    const { epoch, mean } = last(points);
    return { label, colour, x: epoch, y: mean };
  });
  const y = {
    type: 'quantitative',
    scale: { domain: [low, high], nice: false, zero: false },
    axis: { titleX: TITLE_X },
    title: 'test error (% of the 10,000 test images)',
  } as const;
  const x = epochAxis(epochs);
  const colour = { field: 'colour', type: 'nominal', scale: null } as const;
  return toVegaLite({
    data: { values: points },
    layer: [
      ...headingLayers('Test error by epoch', `${seedsText(runs.length)}; ${subtitle}`),
      ...averagingStarts(half, high),
      {
        mark: { type: 'area', opacity: 0.2 },
        encoding: {
          x,
          y: { ...y, field: 'low' },
          y2: { field: 'high' },
          color: colour,
        },
      },
      {
        mark: { type: 'line', strokeWidth: 2.5 },
        encoding: { x, y: { ...y, field: 'mean' }, color: colour },
      },
      ...(epochs <= 4 || swaEpochs > 1
        ? [
            {
              // A line through few values, or a single one.
              data: {
                values: points.filter(({ colour }) => epochs <= 4 || colour === COLOURS.swa),
              },
              mark: { type: 'point', filled: true, opacity: 1 } as const,
              encoding: { x, y: { ...y, field: 'mean' }, color: colour },
            },
          ]
        : []),
      endLabels(spreadLabels(ends, (high - low) / 7), x, { ...y, field: 'y' }, epochs),
    ],
  });
}

/** Learning rate by epoch of both runs, with the moments of the method's average. */
export function rateChart(
  { epochs, half, stepsPerEpoch, decayingRate, averagedRate, method, swaEpochs }: Schedule,
  rate: number,
): TopLevelSpec {
  const steps = Array.from({ length: epochs * stepsPerEpoch + 1 }, (_, step) => step);
  const decay = steps.filter((step) => step >= half * stepsPerEpoch);
  // Corners suffice: both rates are straight between them.
  const corners = (rateAt: (step: number) => number, among: number[], colour: string) =>
    among
      .filter(
        (step, i) =>
          i === 0 ||
          i === among.length - 1 ||
          Math.abs(rateAt(step - 1) + rateAt(step + 1) - 2 * rateAt(step)) > 1e-9,
      )
      .map((step) => ({ epoch: step / stepsPerEpoch, rate: rateAt(step), colour }));
  // No step is taken at the end any more: there the rate is still that of the last one.
  const lastStep = epochs * stepsPerEpoch - 1;
  const upToLast = (step: number) => averagedRate(Math.min(step, lastStep));
  const values = [
    ...corners(upToLast, steps, COLOURS.constant),
    ...corners(decayingRate, decay, COLOURS.decay),
  ];
  const moments = Array.from({ length: (epochs - half) / swaEpochs }, (_, i) => {
    const epoch = half + (i + 1) * swaEpochs;
    return { epoch, rate: averagedRate(epoch * stepsPerEpoch - 1) };
  });
  const x = epochAxis(epochs);
  const y = {
    field: 'rate',
    type: 'quantitative',
    scale: { domain: [0, rate * 1.2], nice: false },
    axis: { tickCount: 6, titleX: TITLE_X },
    title: 'learning rate (step size, without unit)',
  } as const;
  const at = (label: string, colour: string, height: number) => ({
    label,
    colour,
    x: epochs,
    y: rate * height,
  });
  const cycle = `${swaEpochs} epoch${swaEpochs === 1 ? '' : 's'}`;
  const ends = [
    ...(method === 'cyclic'
      ? [
          at(`cyclic rate:\n${rate} to ${LOW_RATE} in\n${cycle}`, COLOURS.constant, 0.9),
          at('● SWA averages', COLOURS.swa, 0.68),
        ]
      : [
          at('constant rate', COLOURS.constant, 1),
          method === 'ema'
            ? at('━ EMA averages,\nat every step', COLOURS.swa, 0.9)
            : at('● SWA averages', COLOURS.swa, 0.94),
        ]),
    at('SGD with decay:\nto 1 % at 90 %\nof the run', COLOURS.decay, 0.18),
  ];
  return toVegaLite({
    data: { values },
    layer: [
      ...headingLayers(
        'Learning rate by epoch',
        `one epoch is ${stepsPerEpoch} steps; both runs share the first half`,
      ),
      ...averagingStarts(half, rate * 1.2),
      {
        mark: { type: 'line', strokeWidth: 2.5 },
        encoding: { x, y, color: { field: 'colour', type: 'nominal', scale: null } },
      },
      method === 'ema'
        ? {
            // A dot a step would be a line too, so it is one, from the first step averaged.
            data: {
              values: [half + 1 / stepsPerEpoch, epochs].map((epoch) => ({ epoch, rate })),
            },
            mark: { type: 'line', strokeWidth: 7, color: COLOURS.swa },
            encoding: { x, y },
          }
        : {
            data: { values: moments },
            mark: { type: 'point', filled: true, size: 60, color: COLOURS.swa, opacity: 1 },
            encoding: { x, y },
          },
      endLabels(ends, x, { ...y, field: 'y' }, epochs),
    ],
  });
}

/** Mean, least and greatest test error over seeds, by epoch. */
export function overSeeds(curves: readonly EpochScore[][]) {
  return curves[0]!.map(({ epoch }, i) => {
    const errors = curves.map((curve) => curve[i]!.error);
    return { epoch, mean: mean(errors), low: Math.min(...errors), high: Math.max(...errors) };
  });
}

/** Moves labels up or down, as little as keeps them `gap` apart. */
export function spreadLabels<T extends { y: number }>(labels: readonly T[], gap: number): T[] {
  const sorted = [...labels].sort((a, b) => a.y - b.y).map((label) => ({ ...label }));
  // Neighbours that are too near share the move; some rounds settle chains of them.
  for (let round = 0; round < 100; round++) {
    sorted.forEach((upper, i) => {
      const lower = sorted[i - 1];
      const missing = lower ? gap - (upper.y - lower.y) : 0;
      if (missing <= 0) return;
      lower!.y -= missing / 2;
      upper.y += missing / 2;
    });
  }
  return sorted;
}

function epochAxis(epochs: number) {
  return {
    field: 'epoch',
    type: 'quantitative',
    scale: { domain: [0, epochs], nice: false },
    axis: { tickMinStep: 1, tickCount: 6, format: 'd' },
    title: 'epoch (passes over the 4,000 training images)',
  } as const;
}

function headingLayers(title: string, subtitle: string) {
  return heading(title, [subtitle]).map((text) => ({
    data: { values: [{}] },
    mark: { type: 'text', align: 'left', baseline: 'alphabetic', ...text } as const,
  }));
}

function averagingStarts(half: number, y: number) {
  const data = { values: [{ epoch: half, y }] };
  const x = { field: 'epoch', type: 'quantitative' } as const;
  return [
    { data, mark: { type: 'rule', strokeDash: [4, 4], color: '#666' } as const, encoding: { x } },
    {
      data,
      mark: {
        type: 'text',
        align: 'right',
        baseline: 'top',
        dx: -6,
        dy: 4,
        fontSize: 13,
        color: '#444',
        text: 'averaging starts',
      } as const,
      encoding: { x, y: { field: 'y', type: 'quantitative' } as const },
    },
  ];
}

function endLabels<X extends object, Y extends object>(
  labels: EndLabel[],
  x: X,
  y: Y,
  epochs: number,
) {
  return {
    data: { values: labels.map((label) => ({ ...label, epoch: epochs })) },
    mark: { ...LINE_LABEL, lineBreak: '\n' },
    encoding: {
      x,
      y,
      text: { field: 'label' },
      color: { field: 'colour', type: 'nominal', scale: null } as const,
    },
  };
}

function paddedRange(values: number[]): [number, number] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max((most - least) * 0.06, 0.5);
  return [Math.max(0, least - margin), Math.min(100, most + margin)];
}

function seedsText(seeds: number): string {
  return seeds === 1 ? 'one seed' : `mean of ${seeds} seeds, band from the lowest to the highest`;
}

function toVegaLite(spec: object): TopLevelSpec {
  const full = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    autosize: 'none',
    width: WIDTH - ROOM.left - ROOM.right,
    height: HEIGHT - ROOM.top - ROOM.bottom,
    padding: ROOM,
    config: CONFIG,
    ...spec,
  };
  return full as TopLevelSpec;
}
