/** Pictures of calibration and of entropy, as Vega-Lite specifications. They measure nothing. */
import type { TopLevelSpec } from 'vega-lite';
import { CONFIG, FONT } from '../../examples/demo/chart_style.js';
import { titleOf } from '../accuracy/experiments.js';
import type { Reported } from './report.js';
import { METHODS } from './study.js';

/** By method: colours of Okabe and Ito, which colour-blind people can tell apart. */
const COLOURS = { SGD: '#0072B2', SWA: '#D55E00', SWAG: '#009E73', ensemble: '#000000' };

const colour = {
  field: 'method',
  type: 'nominal',
  scale: { domain: METHODS, range: METHODS.map((method) => COLOURS[method]) },
  title: null,
} as const;

/** A plot for each experiment, two in a row. */
function facets(title: string, lines: string[], plot: object, values: object[]): TopLevelSpec {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    config: { ...CONFIG, header: { labelFont: FONT, labelFontSize: 14, title: null } },
    title: { text: title, subtitle: lines, font: FONT, subtitleFont: FONT, anchor: 'start' },
    padding: 16,
    data: { values },
    columns: 2,
    facet: { field: 'experiment', type: 'nominal', sort: null, title: null },
    spec: plot,
  } as unknown as TopLevelSpec;
}

/** Bins with fewer images than this are noise, and left out. */
const LEAST = 50;

/** How often the answers are right, by how sure the method is: on the dashed line where it keeps its word. */
export function reliabilityChart(reported: readonly Reported[]): TopLevelSpec {
  const values = reported.flatMap(({ experiment, methods }) =>
    methods.flatMap(({ method, bins }) =>
      bins
        .filter(({ count }) => count >= LEAST)
        .map((bin) => ({ ...bin, method, experiment: titleOf(experiment) })),
    ),
  );
  const axis = (field: string, title: string) => {
    return { field, type: 'quantitative', title, scale: { domain: [0, 1] }, axis: { format: '%' } };
  };
  const [x, y] = [
    axis('confidence', 'probability of the answer'),
    axis('accuracy', 'answers that are right'),
  ];
  const diagonal = [
    { confidence: 0, accuracy: 0 },
    { confidence: 1, accuracy: 1 },
  ];
  const lines = [
    'The 10,000 test images in 15 bins by the probability of the answer, all seeds together.',
    'Below the dashed line: surer than right.',
  ];
  const plot = {
    width: 320,
    height: 300,
    layer: [
      {
        data: { values: diagonal },
        mark: { type: 'line', strokeDash: [6, 4], color: '#888' },
        encoding: { x, y },
      },
      { mark: { type: 'line', point: { size: 40 } }, encoding: { x, y, color: colour } },
    ],
  };
  return facets('Does it keep its word?', lines, plot, values);
}

/** The mean entropy of what is predicted for known and for unknown images. */
export function entropyChart(reported: readonly Reported[]): TopLevelSpec {
  const names = { test: 'test images', turned: 'turned by 90°', noise: 'noise' };
  const values = reported.flatMap(({ experiment, methods }) =>
    methods.flatMap(({ method, entropy }) =>
      (['test', 'turned', 'noise'] as const).map((of) => {
        return { images: names[of], nats: entropy[of], method, experiment: titleOf(experiment) };
      }),
    ),
  );
  const lines = [
    'Mean entropy of the predicted probabilities, in nats: 0 is sure, 2.3 knows nothing.',
    'For images unlike all training images it should be high.',
  ];
  const plot = {
    width: 320,
    height: 240,
    mark: 'bar',
    encoding: {
      x: { field: 'images', type: 'nominal', sort: null, title: null, axis: { labelAngle: 0 } },
      xOffset: { field: 'method', sort: METHODS },
      y: {
        field: 'nats',
        type: 'quantitative',
        title: 'entropy (nats)',
        scale: { domain: [0, 2.4] },
      },
      color: colour,
    },
  };
  return facets('How unsure of the unknown?', lines, plot, values);
}
