/**
 * The picture of what a start of averaging is worth, as a Vega-Lite specification. It knows nothing of
 * training or files.
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
import { COLOURS } from './chart_style.js';
import { NAMES } from './method.js';
import { last } from './report.js';
import type { Schedule } from './schedule.js';
import { mean } from './statistics.js';
import type { SeedScores } from './training.js';
import { chosenOf } from './windows.js';

/**
 * Test error by the epoch after which averaging starts, mean and range over seeds, with what
 * validation chose for each seed, and the average over the second half; SGD with decay as a line.
 */
export function startChart(
  runs: readonly SeedScores[],
  { epochs, half, method }: Schedule,
  subtitle: string,
): TopLevelSpec {
  // The same colour for the method's own average as in the other pictures.
  const [chosenColour, halfColour] =
    method === 'swa' ? [COLOURS.swa, COLOURS.other] : [COLOURS.other, COLOURS.swa];
  const spreads = overSeeds(runs.map(({ windows }) => windows.list.map(({ test }) => test.error)));
  const starts = runs[0]!.windows.list.map(({ start }, i) => ({ start, ...spreads[i]! }));
  const chosen = runs.map(({ windows }) => {
    const { start, test } = chosenOf(windows);
    return { start, error: test.error };
  });
  const overHalf = mean(runs.map(({ curves }) => last(curves.average).error));
  const decay = mean(runs.map(({ curves }) => last(curves.decay).error));
  const [low, high] = paddedRange([
    ...starts.flatMap((point) => [point.low, point.high]),
    ...[overHalf, decay],
  ]);
  const x = {
    field: 'start',
    type: 'quantitative',
    // Room for a dot at the begin of the run.
    scale: { domain: [-epochs / 60, epochs], nice: false },
    axis: { tickMinStep: 1, tickCount: 6, format: 'd' },
    title: `averaging starts after this epoch, and ends with epoch ${epochs}`,
  } as const;
  const y = errorAxis(low, high);
  const at = (label: string, colour: string, y: number) => ({ label, colour, x: epochs, y });
  const ends = [
    at('SGD with decay', COLOURS.decay, decay),
    at('average of\nevery step', chosenColour, last(starts).mean),
    at('● chosen on\nvalidation', chosenColour, mean(chosen.map(({ error }) => error))),
    at(`◆ ${NAMES[method].overHalf.replace(', ', ',\n')}`, halfColour, overHalf),
  ];
  const rule = (text: string) => ({
    data: { values: [{ start: half, y: high }] },
    mark: {
      ...{ type: 'text', align: 'right', baseline: 'top', dx: -6, dy: 4 },
      ...{ fontSize: 13, color: '#444', text },
    } as const,
    encoding: { x, y: { ...y, field: 'y' } },
  });
  return toVegaLite({
    data: { values: starts },
    layer: [
      ...headingLayers(
        'Test error by where averaging starts',
        `${seedsText(runs.length)}; ${subtitle}`,
      ),
      {
        data: { values: [{ start: half }] },
        mark: { type: 'rule', strokeDash: [4, 4], color: '#666' },
        encoding: { x },
      },
      rule('the old default: the second half'),
      {
        data: { values: [{ y: decay }] },
        mark: { type: 'rule', strokeWidth: 2.5, color: COLOURS.decay },
        encoding: { y: { ...y, field: 'y' } },
      },
      {
        mark: { type: 'area', opacity: 0.2, color: chosenColour },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' } },
      },
      {
        mark: { type: 'line', strokeWidth: 2.5, color: chosenColour },
        encoding: { x, y: { ...y, field: 'mean' } },
      },
      {
        data: { values: chosen },
        mark: { type: 'point', filled: true, size: 90, opacity: 1, color: chosenColour },
        encoding: { x, y: { ...y, field: 'error' } },
      },
      {
        data: { values: [{ start: half, error: overHalf }] },
        mark: {
          ...{ type: 'point', shape: 'diamond', filled: true },
          ...{ size: 130, opacity: 1, color: halfColour },
        },
        encoding: { x, y: { ...y, field: 'error' } },
      },
      endLabels(
        spreadLabels(ends, (high - low) / 7),
        { ...x, field: 'epoch' },
        { ...y, field: 'y' },
        epochs,
      ),
    ],
  });
}
