/** Draws how the average grows, log-log, as Vega-Lite specifications. It measures nothing. */
import type { TopLevelSpec } from 'vega-lite';
import {
  CONFIG,
  heading,
  HEIGHT,
  ROOM,
  TITLE_X,
  WIDTH,
  LINE_LABEL,
} from '../examples/demo/chart_style.js';
import { spreadLabels } from '../examples/demo/chart_parts.js';
import type { Growth, GrowthPoint } from './growth.js';

interface Look {
  label: string;
  colour: string;
  /** Of the points; a limit has none, and is dashed. */
  shape?: string;
  dash?: number[];
}

/** By series. Colours of Okabe and Ito, which colour-blind people can tell apart. */
const LOOKS: Record<string, Look> = {
  cpu: { label: 'cpu', colour: '#D55E00', shape: 'circle' },
  wasm: { label: 'wasm', colour: '#0072B2', shape: 'square' },
  tensorflow: { label: 'tfjs-node', colour: '#009E73', shape: 'triangle-up' },
  'unrolled loop, two arrays': { label: 'limit, JavaScript', colour: 'black', dash: [8, 5] },
  'SIMD loop, two arrays': { label: 'limit, SIMD', colour: 'black', dash: [2, 4] },
};

const TEXTS: Record<Growth, { x: string; fixed: string }> = {
  parameters: { x: 'parameters (float32 values)', fixed: '100 tensors in one group' },
  tensors: { x: 'tensors', fixed: '2,000,000 parameters in one group' },
  groups: { x: 'parameter groups', fixed: '300,000 parameters in 300 tensors' },
};

const PLOT = {
  width: WIDTH - ROOM.left - ROOM.right,
  height: HEIGHT - ROOM.top - ROOM.bottom,
};

type Range = [number, number];
const rangeOf = (values: readonly number[]): Range => [Math.min(...values), Math.max(...values)];

/** The powers of ten in a range, its ends included. */
function decades([low, high]: Range): number[] {
  const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(`1e${first + i}`));
}

/** One line a series. A limit does not depend on how its values are cut: the least for as many. */
function linesOf(points: readonly GrowthPoint[]) {
  return [...new Set(points.map(({ series }) => series))].map((series) => {
    const own = points.filter((point) => point.series === series);
    const { dash } = LOOKS[series]!;
    const least = (size: number) =>
      Math.min(...own.filter((point) => point.size === size).map(({ ms }) => ms));
    // A limit may have been measured beside several backends.
    const times = new Map(own.map(({ x, size, ms }) => [x, dash ? least(size) : ms]));
    return { ...LOOKS[series]!, values: [...times].map(([x, ms]) => ({ x, ms })) };
  });
}

/** The picture of one growth, all backends in it. */
export function growthChart(what: Growth, points: readonly GrowthPoint[]): TopLevelSpec {
  const lines = linesOf(points);
  const xs = rangeOf(points.map(({ x }) => x));
  const [low, high] = rangeOf(points.map(({ ms }) => ms));
  const ys: Range = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
  const { x: title, fixed } = TEXTS[what];
  const x = {
    field: 'x',
    type: 'quantitative',
    scale: { type: 'log', domain: xs, nice: false },
    axis: { format: '~s', values: [...new Set([...decades(xs), xs[1]])] },
    title,
  } as const;
  const y = {
    field: 'ms',
    type: 'quantitative',
    scale: { type: 'log', domain: ys, nice: false },
    axis: { format: '~g', values: decades(ys), titleX: TITLE_X },
    title: 'time of one update (milliseconds)',
  } as const;
  // The labels' lines are 18 pixels high.
  const gap = (18 / PLOT.height) * Math.log10(ys[1] / ys[0]);
  const ends = lines.map(({ label, colour, values }) => {
    const end = values.at(-1)!;
    return { label, colour, x: end.x, y: Math.log10(end.ms) };
  });
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    autosize: 'none',
    ...PLOT,
    padding: ROOM,
    config: CONFIG,
    data: { values: [{}] },
    layer: [
      ...heading(`One update of the average, by number of ${what}`, [
        `${fixed}; dashed: the limit, a loop over two flat arrays of the same size`,
      ]).map((text) => ({
        mark: { type: 'text', align: 'left', baseline: 'alphabetic', ...text },
      })),
      ...lines.map(({ values, colour, dash, shape }) => ({
        data: { values },
        mark: {
          type: 'line',
          color: colour,
          strokeWidth: 2.5,
          strokeDash: dash ?? [1, 0],
          ...(shape && { point: { shape, size: 60, color: colour, filled: true } }),
        },
        encoding: { x, y },
      })),
      {
        data: { values: spreadLabels(ends, gap).map((end) => ({ ...end, ms: 10 ** end.y })) },
        mark: LINE_LABEL,
        encoding: {
          x,
          y,
          text: { field: 'label' },
          color: { field: 'colour', type: 'nominal', scale: null },
        },
      },
    ],
  };
  return spec as unknown as TopLevelSpec;
}
