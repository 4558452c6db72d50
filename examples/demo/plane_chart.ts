/**
 * The test error on a plane of weight space and the path of the weights on it, as a Vega
 * specification. It knows nothing of how either was measured.
 */
import type { Spec } from 'vega';
import { COLOURS, CONFIG, FONT, heading, ROOM, TITLE_X, WIDTH } from './chart_style.js';
import type { Landscape } from './landscape.js';
import { NAMES, type Method } from './method.js';
import type { Point } from './plane.js';

/** Pixels along the grid. */
const ACROSS = 550;

/** Filled contours of the test error, the path, and the three points that span the plane. */
export function planeChart(landscape: Landscape, method: Method, subtitle: string): Spec {
  const { average, rate } = NAMES[method];
  const { grid, errors, path, seed } = landscape;
  const cell = ACROSS / (grid.columns - 1);
  const [width, height] = [ACROSS, (grid.rows - 1) * cell];
  const levels = contourLevels(errors);
  // Contours count rows from the top.
  const values = Array.from({ length: grid.rows }, (_, row) =>
    errors.slice((grid.rows - 1 - row) * grid.columns, (grid.rows - row) * grid.columns),
  ).flat();
  const span = (first: number, count: number) => [first, first + (count - 1) * grid.step];
  const points = labelled(landscape, average);
  const bands = levels.map((level, i) => bandLabel(level, levels[i + 1]));
  const headingMarks = heading('Test error on the plane through the three marked points', [
    `seed ${seed}; ${subtitle}; BN re-estimated at every point`,
    `line with dots: the weights at the ${rate} rate after each epoch, projected onto the plane`,
  ]).map(({ text, x, y, fontSize, fontWeight, color }) => ({
    type: 'text' as const,
    encode: {
      enter: {
        x: { value: x },
        y: { value: y },
        text: { value: text },
        font: { value: FONT },
        fontSize: { value: fontSize },
        fontWeight: { value: fontWeight },
        fill: { value: color },
      },
    },
  }));
  const place = { x: { scale: 'x', field: 'x' }, y: { scale: 'y', field: 'y' } } as const;
  const text = {
    ...place,
    dx: { field: 'dx' },
    dy: { field: 'dy' },
    align: { field: 'align' },
    baseline: { value: 'middle' },
    text: { field: 'label' },
    font: { value: FONT },
    fontSize: { value: 15 },
    fontWeight: { value: 'bold' },
  } as const;
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width,
    height,
    padding: { ...ROOM, top: ROOM.top + 18, right: WIDTH - ROOM.left - width },
    autosize: 'none',
    background: 'white',
    config: CONFIG as object,
    data: [
      {
        name: 'contours',
        // The grid's points are the middles of the contours' cells: half a cell goes on each side,
        // where the contours bend to close.
        values: [{ width: grid.columns, height: grid.rows, values, x1: 0.5, y1: 0.5 }],
        transform: [
          {
            type: 'isocontour',
            thresholds: levels.slice(1),
            scale: cell,
            smooth: true,
            as: null,
          },
        ],
      },
      { name: 'path', values: path },
      { name: 'points', values: points },
    ],
    scales: [
      {
        name: 'x',
        type: 'linear',
        domain: span(grid.x, grid.columns),
        range: [0, width],
        zero: false,
      },
      {
        name: 'y',
        type: 'linear',
        domain: span(grid.y, grid.rows),
        range: [height, 0],
        zero: false,
      },
      {
        name: 'error',
        type: 'threshold',
        domain: levels.slice(1),
        range: { scheme: 'viridis', count: levels.length },
        reverse: true,
      },
      {
        name: 'band',
        type: 'ordinal',
        domain: bands,
        range: { scheme: 'viridis', count: levels.length },
        reverse: true,
      },
    ],
    axes: [
      {
        scale: 'x',
        orient: 'bottom',
        title: `from ${average} towards SGD with decay (distance in weight space)`,
      },
      {
        scale: 'y',
        orient: 'left',
        title: 'at right angles to it (distance in weight space)',
        titleX: TITLE_X,
      },
    ],
    legends: [
      {
        fill: 'band',
        title: ['test error (%)'],
        symbolType: 'square',
        symbolSize: 420,
        symbolStrokeWidth: 0,
        rowPadding: 5,
        offset: 16,
      },
    ],
    marks: [
      ...headingMarks,
      {
        type: 'rect',
        encode: {
          enter: {
            width: { value: width },
            height: { value: height },
            fill: { scale: 'error', value: levels[0]! },
          },
        },
      },
      {
        type: 'path',
        clip: true,
        from: { data: 'contours' },
        encode: { enter: { fill: { scale: 'error', field: 'value' } } },
        transform: [{ type: 'geopath', field: 'datum' }],
      },
      {
        type: 'line',
        from: { data: 'path' },
        encode: { enter: { ...place, stroke: { value: 'black' }, strokeWidth: { value: 1.4 } } },
      },
      {
        type: 'symbol',
        from: { data: 'path' },
        encode: {
          enter: {
            ...place,
            size: { value: 28 },
            fill: { value: 'white' },
            stroke: { value: 'black' },
            strokeWidth: { value: 1 },
          },
        },
      },
      {
        type: 'symbol',
        from: { data: 'points' },
        encode: {
          enter: {
            ...place,
            shape: { field: 'shape' },
            size: { value: 200 },
            fill: { field: 'colour' },
            stroke: { value: 'white' },
            strokeWidth: { value: 2 },
          },
        },
      },
      // Twice, for a white rim that sets the letters off from the map.
      {
        type: 'text',
        from: { data: 'points' },
        encode: {
          enter: {
            ...text,
            stroke: { value: 'white' },
            strokeWidth: { value: 4 },
            strokeJoin: { value: 'round' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'points' },
        encode: { enter: { ...text, fill: { value: 'black' } } },
      },
    ],
  };
}

/**
 * Lower ends of bands of error: the least error, then twice as far above it each time, up to half
 * the range. So the valley shows as well as the slopes. No band but the last is under 0.1 wide.
 */
export function contourLevels(errors: readonly number[]): number[] {
  const [least, most] = [Math.min(...errors), Math.max(...errors)];
  const doublings = Math.min(Math.max(Math.floor(Math.log2((most - least) / 0.1)), 1), 8);
  const above = Array.from({ length: doublings }, (_, k) => (most - least) * 2 ** (k - doublings));
  return [least, ...above.map((height) => least + height)];
}

function bandLabel(level: number, next: number | undefined): string {
  return next === undefined
    ? `over ${level.toFixed(1)}`
    : `${level.toFixed(1)} to ${next.toFixed(1)}`;
}

/** The three points with their marks and labels, each label on the side that the path leaves. */
function labelled({ average, decay, start }: Landscape, name: string) {
  const above = { dx: 0, dy: -20, align: 'center' };
  const left = { dx: -14, dy: 0, align: 'right' };
  const mark = (
    point: Point,
    label: string,
    colour: string,
    shape: string,
    side: typeof above,
  ) => ({
    ...point,
    ...side,
    label,
    colour,
    shape,
  });
  return [
    mark(start, 'where the runs part', COLOURS.constant, 'triangle-up', above),
    mark(decay, 'SGD with decay', COLOURS.decay, 'square', above),
    mark(average, name, COLOURS.swa, 'circle', left),
  ];
}
