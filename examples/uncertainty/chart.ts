/** The picture of a band around a curve through points, as a Vega-Lite specification. It runs nothing. */
import type { TopLevelSpec } from 'vega-lite';
import { COLOURS, CONFIG, HEIGHT, WIDTH } from '../demo/chart_style.js';

/** A training point. */
export interface Point {
  x: number;
  y: number;
}

/** What is predicted at a place, and what is true there. */
export interface Prediction {
  x: number;
  mean: number;
  /** The standard deviation over the samples. */
  std: number;
  truth: number;
}

export function bandChart(points: readonly Point[], band: readonly Prediction[]): TopLevelSpec {
  const names = ['mean ± 2 standard deviations', 'mean of the samples', 'true curve', 'data'];
  const range = ['#f6c9a8', COLOURS.swa, COLOURS.decay, COLOURS.constant];
  const color = (name: string) =>
    ({
      datum: name,
      type: 'nominal',
      scale: { domain: names, range },
      legend: { title: null, orient: 'top', columns: 4, symbolSize: 160, labelLimit: 300 },
    }) as const;
  const ticks = [-1, -0.5, 0, 0.5, 1];
  const x = {
    field: 'x',
    type: 'quantitative',
    title: 'input x',
    scale: { nice: false },
    axis: { grid: false, values: ticks },
  } as const;
  const y = (field: string) => ({ field, type: 'quantitative', title: 'output y' }) as const;
  const line = (field: string, name: string, strokeDash: number[]) => ({
    mark: { type: 'line' as const, strokeWidth: 2, strokeDash },
    encoding: { x, y: y(field), color: color(name) },
  });
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: WIDTH - 100,
    height: HEIGHT - 120,
    padding: 16,
    title: { text: 'Sure where the data are, less so between', fontSize: 18, anchor: 'start' },
    data: {
      values: band.map((at) => ({
        ...at,
        low: at.mean - 2 * at.std,
        high: at.mean + 2 * at.std,
      })),
    },
    layer: [
      {
        mark: { type: 'area', opacity: 1 },
        encoding: { x, y: y('low'), y2: { field: 'high' }, color: color(names[0]!) },
      },
      line('truth', names[2]!, [6, 4]),
      line('mean', names[1]!, []),
      {
        data: { values: [...points] },
        mark: { type: 'point', filled: true, size: 36, opacity: 0.8 },
        encoding: { x, y: y('y'), color: color(names[3]!) },
      },
    ],
    config: CONFIG,
  };
}
