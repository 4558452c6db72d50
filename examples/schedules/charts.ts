/** What the pictures of the schedules show, as Vega specifications. It runs nothing. */
import type { TopLevelSpec } from 'vega-lite';
import { CONFIG, FONT, WIDTH } from '../demo/chart_style.js';
import { PAPER, PHASES, type Step } from './traces.js';

const HEIGHT = 420;

/** Colours of Okabe and Ito, which colour-blind people can tell apart. */
const COLOURS = {
  constant: '#000000',
  cosine: '#0072B2',
  cyclic: '#009E73',
  average: '#D55E00',
};

const RATE_TITLE = 'learning rate (step size, without unit)';

/** The rate of each epoch in three phases, and the epochs after which was averaged. */
export function phasesChart(steps: readonly Step[]): TopLevelSpec {
  const { constant, cosine, cyclic, epochs } = PHASES;
  const [first, second] = [constant.epochs, constant.epochs + cosine.epochs];
  const phases = [
    {
      name: 'constant',
      detail: `${constant.rate} for ${constant.epochs} epochs`,
      colour: COLOURS.constant,
      start: 0,
      end: first,
    },
    {
      name: 'cosine annealing',
      detail: `${constant.rate} to ${cosine.to} in ${cosine.epochs} epochs`,
      colour: COLOURS.cosine,
      start: first,
      end: second,
    },
    {
      name: 'cyclic',
      detail: `${cyclic.high} to ${cyclic.low} every ${cyclic.cycle} epochs`,
      colour: COLOURS.cyclic,
      start: second,
      end: epochs,
    },
  ];
  const top = constant.rate * 1.28;
  // The rate of an epoch holds from its start to its end.
  const lines = phases.flatMap(({ colour, start, end }) => [
    ...steps.slice(start, end).map(({ step, rate }) => ({ x: step, rate, colour })),
    { x: end, rate: steps[end - 1]!.rate, colour },
  ]);
  const x = {
    field: 'x',
    type: 'quantitative',
    scale: { domain: [0, epochs], nice: false },
    axis: { tickCount: 10, format: 'd', grid: false },
    title: 'epoch (passes over the training data)',
  } as const;
  const y = rateAxis(constant.rate, top);
  const colour = { field: 'colour', type: 'nominal', scale: null } as const;
  const labels = phases.map(({ name, detail, colour, start, end }) => ({
    x: (start + end) / 2,
    name,
    detail,
    colour,
  }));
  return toVegaLite({
    title: {
      text: 'Three phases of a learning rate',
      subtitle: ['one rate for each epoch; averages are taken where a cycle ends'],
    },
    data: { values: lines },
    layer: [
      {
        data: { values: [first, second].map((epoch) => ({ x: epoch })) },
        mark: { type: 'rule', strokeDash: [4, 4], color: '#666' },
        encoding: { x },
      },
      {
        mark: { type: 'line', interpolate: 'step-after', strokeWidth: 2.5 },
        encoding: { x, y, color: colour },
      },
      averages(
        steps.map((step) => ({ ...step, x: step.step + 1 })),
        x,
        y,
      ),
      averagesLabel('epoch', (second + epochs) / 2, cyclic.high * 1.1, x, y),
      ...[
        { field: 'name', dy: 14, fontSize: 15, fontWeight: 'bold' },
        { field: 'detail', dy: 33, fontSize: 13, fontWeight: 'normal' },
      ].map(({ field, ...look }) => ({
        data: { values: labels },
        mark: { type: 'text', align: 'center', baseline: 'middle', y: 0, ...look },
        encoding: { x, text: { field }, color: field === 'name' ? colour : { value: '#333' } },
      })),
    ],
  });
}

/** The paper's cyclic rate by step, and the steps after which was averaged. */
export function paperChart(steps: readonly Step[]): TopLevelSpec {
  const { high, low, cycle } = PAPER;
  const values = steps.map(({ step, rate, averaged }) => ({ x: step + 1, rate, averaged }));
  const x = {
    field: 'x',
    type: 'quantitative',
    scale: { domain: [0, steps.length + 1], nice: false },
    axis: { values: [1, ...multiples(cycle, steps.length)], format: 'd', grid: false },
    title: 'step i (batches, counted from 1)',
  } as const;
  const y = rateAxis(high, high * 1.24);
  const bounds = [
    { rate: high, label: `high, α₁ = ${high}` },
    { rate: low, label: `low, α₂ = ${low}` },
  ];
  return toVegaLite({
    title: {
      text: 'The cyclic learning rate of the SWA paper',
      subtitle: [
        `(1 − t) α₁ + t α₂,  t = (mod(i − 1, c) + 1) / c,  c = ${cycle} steps`,
        'Izmailov et al. 2018, section 3.1',
      ],
    },
    data: { values },
    layer: [
      {
        data: { values: bounds },
        mark: { type: 'rule', strokeDash: [4, 4], color: '#666' },
        encoding: { y },
      },
      {
        data: { values: bounds },
        mark: { type: 'text', align: 'left', baseline: 'bottom', x: 6, dy: -4, fontSize: 13 },
        encoding: { y, text: { field: 'label' }, color: { value: '#333' } },
      },
      {
        mark: { type: 'line', strokeWidth: 1.5, color: COLOURS.cyclic },
        encoding: { x, y },
      },
      {
        mark: { type: 'point', filled: true, size: 30, opacity: 1, color: COLOURS.cyclic },
        encoding: { x, y },
      },
      averages(values, x, y),
      averagesLabel('step', steps.length / 2, high * 1.15, x, y),
    ],
  });
}

/** The axis of rates, marked up to the greatest of them, with room above for words. */
function rateAxis(greatest: number, top: number) {
  return {
    field: 'rate',
    type: 'quantitative',
    scale: { domain: [0, top], nice: false },
    axis: { values: [0, 1, 2, 3, 4, 5].map((i) => (i * greatest) / 5), format: '.2f' },
    title: RATE_TITLE,
  } as const;
}

function averages<P extends { averaged: boolean }>(points: readonly P[], x: object, y: object) {
  return {
    data: { values: points.filter(({ averaged }) => averaged) },
    mark: {
      type: 'point',
      filled: true,
      size: 110,
      color: COLOURS.average,
      opacity: 1,
      stroke: 'white',
      strokeWidth: 1,
    },
    encoding: { x, y },
  };
}

function averagesLabel(what: string, at: number, rate: number, x: object, y: object) {
  return {
    data: { values: [{ x: at, rate }] },
    mark: {
      type: 'text',
      align: 'center',
      baseline: 'middle',
      fontSize: 13,
      lineBreak: '\n',
      text: `● the weights after this ${what}\ngo into the SWA average`,
      color: COLOURS.average,
    },
    encoding: { x, y },
  };
}

function multiples(of: number, most: number): number[] {
  return Array.from({ length: Math.floor(most / of) }, (_, i) => (i + 1) * of);
}

function toVegaLite(spec: object): TopLevelSpec {
  const full = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: WIDTH - 120,
    height: HEIGHT,
    autosize: 'pad',
    padding: 12,
    config: {
      ...CONFIG,
      title: {
        font: FONT,
        subtitleFont: FONT,
        fontSize: 18,
        subtitleFontSize: 13,
        anchor: 'start',
      },
    },
    ...spec,
  };
  return full as TopLevelSpec;
}
