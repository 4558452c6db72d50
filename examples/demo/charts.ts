/**
 * What the pictures of error and learning rate show, as Vega specifications. It knows nothing of
 * training or files; plane_chart.ts draws the error plane.
 */
import type { TopLevelSpec } from 'vega-lite';
import {
  endLabels,
  errorAxis,
  headingLayers,
  overSeeds,
  paddedRange,
  seedsText,
  spreadLabels,
  toVegaLite,
} from './chart_parts.js';
import { COLOURS, TITLE_X } from './chart_style.js';
import { last } from './report.js';
import { NAMES } from './method.js';
import { LOW_RATE, type Schedule } from './schedule.js';
import type { SeedScores } from './training.js';
import { chosenOf } from './windows.js';

/**
 * Test error by epoch, mean and range over seeds, for three series; with `swa` at the end also that of
 * the chosen average.
 */
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
      label: {
        swa: 'SWA, once\nan epoch',
        ema: 'EMA: running\naverage',
        cyclic: 'SWA at a\ncyclic rate',
      }[method],
      colour: method === 'swa' ? COLOURS.other : COLOURS.swa,
      of: ({ curves }: SeedScores) => curves.average,
    },
    ...(method === 'swa'
      ? [
          {
            label: '● start chosen',
            colour: COLOURS.swa,
            of: ({ windows }: SeedScores) => [{ ...chosenOf(windows).test, epoch: epochs }],
          },
        ]
      : []),
  ].map(({ label, colour, of }) => {
    const spreads = overSeeds(runs.map((run) => of(run).map(({ error }) => error)));
    const points = of(runs[0]!).map(({ epoch }, i) => ({ epoch, ...spreads[i]! }));
    return { label, colour, points };
  });
  const points = series.flatMap(({ label, colour, points }) =>
    points.map((point) => ({ ...point, label, colour })),
  );
  const [low, high] = paddedRange(points.flatMap((point) => [point.low, point.high]));
  const ends = series.map(({ label, colour, points }) => {
    const { epoch, mean } = last(points);
    return { label, colour, x: epoch, y: mean };
  });
  const y = errorAxis(low, high);
  const x = epochAxis(epochs);
  const colour = { field: 'colour', type: 'nominal', scale: null } as const;
  return toVegaLite({
    data: { values: points },
    layer: [
      ...headingLayers('Test error by epoch', `${seedsText(runs.length)}; ${subtitle}`),
      ...averagingStarts(half, high, method === 'swa' ? 'the old start' : undefined),
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
      ...(epochs <= 4 || swaEpochs > 1 || method === 'swa'
        ? [
            {
              // A line through few values, or a single one.
              data: {
                values: points.filter(({ colour }) => epochs <= 4 || colour === COLOURS.swa),
              },
              mark: { type: 'point', filled: true, opacity: 1, size: 60 } as const,
              encoding: { x, y: { ...y, field: 'mean' }, color: colour },
            },
          ]
        : []),
      endLabels(spreadLabels(ends, (high - low) / 7), x, { ...y, field: 'y' }, epochs),
    ],
  });
}

/** Learning rate by epoch of both runs, with the moments that the method averages. */
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
          at(`━ ${NAMES[method].average} averages,\nat every step`, COLOURS.swa, 0.9),
        ]),
    at('SGD with decay:\nto 1 % at 90 %\nof the run', COLOURS.decay, 0.18),
  ];
  const lines = {
    mark: { type: 'line', strokeWidth: 2.5 },
    encoding: { x, y, color: { field: 'colour', type: 'nominal', scale: null } },
  } as const;
  return toVegaLite({
    data: { values },
    layer: [
      ...headingLayers(
        'Learning rate by epoch',
        `one epoch is ${stepsPerEpoch} steps; both runs share the first half`,
      ),
      ...(method === 'swa' ? [] : averagingStarts(half, rate * 1.2)),
      ...(method === 'cyclic'
        ? [
            lines,
            {
              data: { values: moments },
              mark: {
                type: 'point',
                filled: true,
                size: 60,
                color: COLOURS.swa,
                opacity: 1,
              } as const,
              encoding: { x, y },
            },
          ]
        : [
            {
              // A dot a step would be a line too, so it is one, from the first step averaged.
              data: {
                values: [(method === 'ema' ? half : 0) + 1 / stepsPerEpoch, epochs].map(
                  (epoch) => ({ epoch, rate }),
                ),
              },
              mark: { type: 'line', strokeWidth: 9, color: COLOURS.swa } as const,
              encoding: { x, y },
            },
            lines,
          ]),
      endLabels(ends, x, { ...y, field: 'y' }, epochs),
    ],
  });
}

function epochAxis(epochs: number) {
  return {
    field: 'epoch',
    type: 'quantitative',
    scale: { domain: [0, epochs], nice: false },
    axis: { tickMinStep: 1, tickCount: 6, format: 'd' },
    title: 'epoch (passes over the 3,500 training images)',
  } as const;
}

function averagingStarts(half: number, y: number, text = 'averaging starts') {
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
        text,
      } as const,
      encoding: { x, y: { field: 'y', type: 'quantitative' } as const },
    },
  ];
}
