/** Scales, ticks and axes of a plot. It knows nothing of what is plotted. */
import { svg } from './dom.js';

/** From a number to pixels. */
export type Scale = (value: number) => number;

/** The place of a plot in its picture, in pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export type Range = readonly [low: number, high: number];

/** A straight scale; `from` and `to` are the pixels of the range's ends. */
export function linearScale([low, high]: Range, from: number, to: number): Scale {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

/** Round numbers within a range, some `count` of them. */
export function ticks([low, high]: Range, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((step) => step >= rough)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** Lines and labels at round numbers, and the titles; the vertical axis has its title above. */
export function axes(
  box: Box,
  x: { range: Range; title: string; whole?: boolean },
  y: { range: Range; title: string },
): SVGGElement {
  const { left, top, width, height } = box;
  const atX = linearScale(x.range, left, left + width);
  const atY = linearScale(y.range, top + height, top);
  const text = (content: string, at: object, anchor = 'middle') =>
    svg('text', { ...at, 'text-anchor': anchor }, content);
  const xTicks = ticks(x.range, Math.min(8, width / 50)).filter(
    (tick) => !x.whole || Number.isInteger(tick),
  );
  return svg(
    'g',
    { class: 'axes' },
    ...ticks(y.range, 5).flatMap((tick) => [
      svg('line', { x1: left, x2: left + width, y1: atY(tick), y2: atY(tick) }),
      text(tickText(tick), { x: left - 8, y: atY(tick) + 4 }, 'end'),
    ]),
    ...xTicks.map((tick) => text(tickText(tick), { x: atX(tick), y: top + height + 18 })),
    text(x.title, { x: left + width / 2, y: top + height + 38 }),
    text(y.title, { x: 0, y: 12 }, 'start'),
  );
}

function tickText(tick: number): string {
  return String(Number(tick.toPrecision(6)));
}
