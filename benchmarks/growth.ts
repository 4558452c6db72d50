/**
 * How an update of the average grows with parameters, tensors and groups, as log-log pictures with
 * the limit beside: one pass over two arrays of the same size.
 */
import * as tf from '@tensorflow/tfjs-core';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { SWA } from 'tfjs-swa';
import type { TopLevelSpec } from 'vega-lite';
import { CONFIG, heading } from '../examples/demo/chart_style.js';
import { render } from '../examples/demo/render.js';
import { median } from './measure.js';

interface Point {
  x: number;
  ms: number;
  series: string;
}

/** What grows, and how the parameters are cut for a value of it: a list of groups of tensor sizes. */
const GROWTHS: Record<string, { xs: number[]; groups: (x: number) => number[][] }> = {
  parameters: {
    xs: [1e4, 1e5, 1e6, 1e7, 1e8],
    groups: (x) => [new Array<number>(100).fill(x / 100)],
  },
  tensors: {
    xs: [1, 5, 20, 100, 500, 2000],
    groups: (x) => [new Array<number>(x).fill(Math.floor(2e6 / x))],
  },
  groups: {
    xs: [1, 3, 10, 30, 100],
    groups: (x) => new Array<number[]>(x).fill(new Array<number>(Math.floor(300 / x)).fill(1000)),
  },
};

/** Measures on the current backend and draws one picture for each of the three. */
export async function benchGrowth(quick: boolean, out: string): Promise<void> {
  const backend = tf.getBackend();
  for (const [what, { xs, groups }] of Object.entries(GROWTHS)) {
    const points: Point[] = [];
    for (const x of quick ? xs.slice(0, -1) : xs) {
      const { update, limit } = measure(groups(x));
      points.push({ x, ms: update, series: `SWA on ${backend}` });
      points.push({ x, ms: limit, series: 'limit: a loop over two arrays' });
    }
    const { svg, png } = await render(chart(what, backend, points));
    const name = path.join(out, `growth_${what}_${backend}`);
    writeFileSync(`${name}.json`, `${JSON.stringify(points, null, 2)}\n`);
    writeFileSync(`${name}.svg`, svg);
    writeFileSync(`${name}.png`, png);
  }
}

/** Medians of a few rounds, interleaved. */
function measure(groups: readonly number[][]): { update: number; limit: number } {
  const paramGroups = groups.map((sizes) => ({
    params: sizes.map((size) => tf.tidy(() => tf.variable(tf.fill([size], 0.5)))),
  }));
  const swa = new SWA(tf.train.sgd(0.1), { paramGroups });
  swa.updateSwa();
  for (const { params } of paramGroups) {
    for (const param of params) tf.tidy(() => param.assign(tf.mul(param, 0.5)));
  }
  const size = groups.flat().reduce((sum, length) => sum + length, 0);
  const [a, v] = [new Float32Array(size).fill(0.5), new Float32Array(size).fill(0.25)];
  const loop = (): void => {
    for (let i = 0; i < size; i++) a[i]! += (v[i]! - a[i]!) * 0.1;
  };
  const time = (f: () => void, repeats: number): number => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) f();
    return (performance.now() - start) / repeats;
  };
  for (let i = 0; i < 3; i++) [() => swa.updateSwa(), loop].forEach((f) => time(f, 1));
  const repeats = Math.max(1, Math.round(5 / time(() => swa.updateSwa(), 1)));
  const times = Array.from({ length: 7 }, () => [
    time(() => swa.updateSwa(), repeats),
    time(loop, repeats),
  ]);
  swa.dispose();
  for (const { params } of paramGroups) tf.dispose(params);
  return { update: median(times.map(([ms]) => ms!)), limit: median(times.map(([, ms]) => ms!)) };
}

function chart(what: string, backend: string, points: Point[]): TopLevelSpec {
  const log = { type: 'log' } as const;
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    config: CONFIG,
    width: 560,
    height: 380,
    padding: { left: 20, top: 20, right: 20, bottom: 20 },
    title: { text: heading(`One update of the average, by ${what}, on ${backend}`, [])[0]!.text },
    data: { values: points },
    mark: { type: 'line', point: true, strokeWidth: 2.5 },
    encoding: {
      x: { field: 'x', type: 'quantitative', scale: log, title: what },
      y: { field: 'ms', type: 'quantitative', scale: log, title: 'milliseconds' },
      color: {
        field: 'series',
        type: 'nominal',
        title: null,
        scale: { range: ['#D55E00', '#000000'] },
        legend: { orient: 'top', labelLimit: 300 },
      },
    },
  };
}
