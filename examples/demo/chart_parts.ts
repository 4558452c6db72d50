/**
 * What the charts of lines have in common: headings, labels at the ends of lines, numbers over seeds.
 * It knows nothing of what is drawn.
 */
import type { TopLevelSpec } from 'vega-lite';
import { CONFIG, heading, HEIGHT, LINE_LABEL, ROOM, TITLE_X, WIDTH } from './chart_style.js';
import { mean } from './statistics.js';

/** The axis of test errors. */
export function errorAxis(low: number, high: number) {
  return {
    type: 'quantitative',
    scale: { domain: [low, high], nice: false, zero: false },
    axis: { titleX: TITLE_X },
    title: 'test error (% of the 10,000 test images)',
  } as const;
}

/** A place for a line's label: where the line ends, and where the label goes. */
export interface EndLabel {
  label: string;
  colour: string;
  x: number;
  y: number;
}

/** Mean, least and greatest of numbers over seeds, place by place. */
export function overSeeds(curves: readonly (readonly number[])[]) {
  return curves[0]!.map((_, i) => {
    const values = curves.map((curve) => curve[i]!);
    return { mean: mean(values), low: Math.min(...values), high: Math.max(...values) };
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

/** Title and subtitle above the plot. */
export function headingLayers(title: string, subtitle: string) {
  return heading(title, [subtitle]).map((text) => ({
    data: { values: [{}] },
    mark: { type: 'text', align: 'left', baseline: 'alphabetic', ...text } as const,
  }));
}

/** The names of lines, to the right of the plot. */
export function endLabels<X extends object, Y extends object>(
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

/** The range of percentages, with room around. */
export function paddedRange(values: number[]): [number, number] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max((most - least) * 0.06, 0.5);
  return [Math.max(0, least - margin), Math.min(100, most + margin)];
}

/** What a mean over seeds and the band around it are. */
export function seedsText(seeds: number): string {
  return seeds === 1 ? 'one seed' : `mean of ${seeds} seeds, band from the lowest to the highest`;
}

/** A specification in the size and the look of all charts. */
export function toVegaLite(spec: object): TopLevelSpec {
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
