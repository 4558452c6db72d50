/** Draws the error plane: a heat map with the path on it. It knows nothing of how it was measured. */
import { contourLevels } from '../demo/plane_chart.js';
import type { Point } from '../demo/plane.js';
import { axes, linearScale, type Range } from './axes.js';
import { svg } from './dom.js';
import type { ErrorPlane } from './error_plane.js';

/** Viridis, from its dark end: lightness alone tells its colours apart, whatever eyes see them. */
const VIRIDIS = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 73, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [110, 206, 88],
  [181, 222, 43],
  [253, 231, 37],
] as const;

/** The content of a picture of some width, in pixels. */
export function drawPlane(width: number, plane: ErrorPlane): { height: number; content: Node[] } {
  const { grid, errors, path, start, last, average } = plane;
  const left = 44;
  const cell = (width - left - 14) / grid.columns;
  const box = { left, top: 26, width: cell * grid.columns, height: cell * grid.rows };
  // A cell lies around its point.
  const xRange: Range = [grid.x - grid.step / 2, grid.x + (grid.columns - 0.5) * grid.step];
  const yRange: Range = [grid.y - grid.step / 2, grid.y + (grid.rows - 0.5) * grid.step];
  const atX = linearScale(xRange, left, left + box.width);
  const atY = linearScale(yRange, box.top + box.height, box.top);
  const place = ({ x, y }: Point): [number, number] => [atX(x), atY(y)];

  const levels = contourLevels(errors);
  const cells = errors.map((error, i) => {
    const band = levels.filter((level) => error >= level).length - 1;
    return svg('rect', {
      x: left + (i % grid.columns) * cell,
      y: box.top + (grid.rows - 1 - Math.floor(i / grid.columns)) * cell,
      width: cell + 0.5, // no seams
      height: cell + 0.5,
      fill: colourOf(band, levels.length),
    });
  });
  const line = path.map(place);
  const mark = (point: Point, kind: string, name: string, below: boolean) => {
    const [x, y] = place(point);
    const across = (x - left) / box.width;
    const anchor = across < 0.25 ? 'start' : across > 0.75 ? 'end' : 'middle';
    const text = { x, y: y + (below ? 26 : -14), 'text-anchor': anchor };
    return svg('g', { class: `mark ${kind}` }, shape(kind, x, y), svg('text', text, name));
  };
  const bands = legend(levels, left, box.top + box.height + 56, box.width);
  return {
    height: box.top + box.height + 104,
    content: [
      axes(
        box,
        { range: xRange, title: 'towards the last weights (distance)' },
        { range: yRange, title: 'at right angles to it (distance)' },
      ),
      svg('g', { 'shape-rendering': 'crispEdges' }, ...cells),
      svg('polyline', { class: 'path casing', points: line.map(String).join(' ') }),
      svg('polyline', { class: 'path', points: line.map(String).join(' ') }),
      svg('g', { class: 'path' }, ...line.map(([x, y]) => svg('circle', { cx: x, cy: y, r: 2.6 }))),
      mark(start, 'start', 'start of averaging', false),
      mark(last, 'weights', 'last weights', false),
      mark(average, 'average', 'average', true),
      bands,
    ],
  };
}

function legend(levels: readonly number[], left: number, top: number, width: number): SVGGElement {
  const step = width / levels.length;
  return svg(
    'g',
    { class: 'legend' },
    svg('text', { x: left, y: top }, 'test error (%), from'),
    ...levels.flatMap((level, i) => [
      svg('rect', {
        x: left + i * step,
        y: top + 8,
        width: step,
        height: 14,
        fill: colourOf(i, levels.length),
      }),
      svg('text', { x: left + i * step, y: top + 38 }, level.toFixed(1)),
    ]),
  );
}

/** The least error is the lightest. */
function colourOf(band: number, bands: number): string {
  const at = (1 - band / Math.max(1, bands - 1)) * (VIRIDIS.length - 1);
  const [low, high] = [VIRIDIS[Math.floor(at)]!, VIRIDIS[Math.ceil(at)]!];
  const mixed = low.map((value, i) => Math.round(value + (high[i]! - value) * (at % 1)));
  return `rgb(${mixed.join(' ')})`;
}

function shape(kind: string, x: number, y: number): SVGElement {
  if (kind === 'average') return svg('path', { d: `M${x} ${y - 8}l8 8l-8 8l-8 -8z` });
  if (kind === 'weights') return svg('circle', { cx: x, cy: y, r: 6 });
  return svg('path', { d: `M${x} ${y - 7}l7 13h-14z` });
}
