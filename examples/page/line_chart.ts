/** Draws lines and dots over epochs. It knows nothing of what they mean. */
import { axes, linearScale, type Range } from './axes.js';
import { svg } from './dom.js';

/** A ring goes around another dot. */
export type Dot = 'circle' | 'diamond' | 'ring';

/** One line, with dots, or without, or dots alone. */
export interface Series {
  name: string;
  /** Its class in the style sheet, which has its colour. */
  kind: string;
  points: readonly { x: number; y: number }[];
  line: boolean;
  dots: Dot | null;
  /** Not in the legend. */
  silent?: boolean;
}

export interface LineChart {
  xRange: Range;
  xTitle: string;
  yRange: Range;
  yTitle: string;
  series: readonly Series[];
  /** A vertical line with words beside it. */
  rule: { x: number; text: string } | null;
}

const HEIGHT = 280;

/** The content of a picture of some width, in pixels. */
export function drawLines(width: number, chart: LineChart): { height: number; content: Node[] } {
  const box = { left: 44, top: 48, width: width - 44 - 14, height: HEIGHT - 48 - 46 };
  const atX = linearScale(chart.xRange, box.left, box.left + box.width);
  const atY = linearScale(chart.yRange, box.top + box.height, box.top);
  const content: Node[] = [
    axes(
      box,
      { range: chart.xRange, title: chart.xTitle, whole: true },
      { range: chart.yRange, title: chart.yTitle },
    ),
  ];
  if (chart.rule) {
    const x = atX(chart.rule.x);
    // The words stand on the side that has more room.
    const right = x < box.left + box.width / 2;
    content.push(
      svg('line', { class: 'rule', x1: x, x2: x, y1: box.top, y2: box.top + box.height }),
      svg(
        'text',
        {
          class: 'note',
          x: x + (right ? 6 : -6),
          y: box.top + 12,
          'text-anchor': right ? 'start' : 'end',
        },
        chart.rule.text,
      ),
    );
  }
  for (const { kind, points, line, dots } of chart.series) {
    const places = points.map(({ x, y }): [number, number] => [atX(x), atY(y)]);
    const group = svg('g', { class: `series ${kind}` });
    if (line && places.length > 1) {
      group.append(svg('polyline', { points: places.map(String).join(' ') }));
    }
    if (dots) group.append(...places.map(([x, y]) => dot(dots, x, y)));
    content.push(group);
  }
  content.push(legend(chart.series.filter(({ silent }) => !silent)));
  return { height: HEIGHT, content };
}

function legend(series: readonly Series[]): SVGGElement {
  let x = 0;
  const entries = series.map(({ name, kind, line, dots }) => {
    const entry = svg('g', { class: `series ${kind}` });
    if (line) entry.append(svg('line', { x1: x, x2: x + 22, y1: 30, y2: 30 }));
    if (dots) entry.append(dot(dots, x + 11, 30));
    entry.append(svg('text', { x: x + 28, y: 34 }, name));
    x += 28 + name.length * 7 + 18; // the mean width of a letter, and a gap
    return entry;
  });
  return svg('g', { class: 'legend' }, ...entries);
}

function dot(shape: Dot, x: number, y: number): SVGElement {
  if (shape === 'circle') return svg('circle', { cx: x, cy: y, r: 3.5 });
  if (shape === 'ring') return svg('circle', { class: 'ring', cx: x, cy: y, r: 9 });
  return svg('path', { d: `M${x} ${y - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z` });
}
