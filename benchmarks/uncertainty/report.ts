/** From the studies of seeds to the table. It knows nothing of nets or pictures. */
import { intervalText, paired, signed, spread, type Spread } from '../../examples/demo/report.js';
import type { Difference } from '../../examples/demo/report.js';
import { titleOf, type Experiment } from '../accuracy/experiments.js';
import { markdown } from '../markdown.js';
import { BINS, type Bin, type Quality } from './measures.js';
import { METHODS, UNLIKE, type Method, type SeedStudy, type Unlike } from './study.js';

type Measure = keyof Quality | `AUC, ${Unlike}`;

/** A measure's name, its unit, and the digits that are shown of it. */
const MEASURES: readonly [measure: Measure, head: string, digits: number][] = [
  ['error', 'error, %', 2],
  ['nll', 'NLL, nats', 3],
  ['ece', 'ECE, %', 1],
  ['brier', 'Brier', 3],
  ...UNLIKE.map((unlike): [Measure, string, number] => [`AUC, ${unlike}`, `AUC, ${unlike}`, 3]),
];

export interface MethodReport {
  method: Method;
  measures: Record<string, { spread: Spread; minusSwa: Difference | null }>;
  /** Of all seeds together. */
  bins: Bin[];
  /** Mean over seeds, in nats. */
  entropy: Record<'test' | Unlike, number>;
}

export interface Reported {
  experiment: Experiment;
  /** SWAG's, by seed. */
  scales: number[];
  /** Points that SWAG and the ensemble have. */
  points: number;
  methods: MethodReport[];
}

export function report(experiment: Experiment, studies: readonly SeedStudy[]): Reported {
  const valuesOf = (method: Method, measure: Measure): number[] =>
    studies.map(({ methods }) => {
      const { quality, auc } = methods[method];
      const unlike = UNLIKE.find((each) => measure === `AUC, ${each}`);
      return unlike ? auc[unlike] : quality[measure as keyof Quality];
    });
  return {
    experiment,
    scales: studies.map(({ scale }) => scale),
    points: studies[0]!.points,
    methods: METHODS.map((method) => ({
      method,
      measures: Object.fromEntries(
        MEASURES.map(([measure]) => {
          const values = valuesOf(method, measure);
          const minusSwa = method === 'SWA' ? null : paired(values, valuesOf('SWA', measure));
          return [measure, { spread: spread(values), minusSwa }];
        }),
      ),
      bins: merged(studies.map(({ methods }) => methods[method].bins)),
      entropy: meanOf(studies.map(({ methods }) => methods[method].entropy)),
    })),
  };
}

/** Bins over all images of all seeds. */
export function merged(lists: readonly (readonly Bin[])[]): Bin[] {
  return Array.from({ length: BINS }, (_, i) => {
    const bins = lists.map((list) => list[i]!);
    const count = bins.reduce((sum, bin) => sum + bin.count, 0);
    const mean = (of: (bin: Bin) => number): number =>
      count === 0 ? 0 : bins.reduce((sum, bin) => sum + bin.count * of(bin), 0) / count;
    return { count, confidence: mean((b) => b.confidence), accuracy: mean((b) => b.accuracy) };
  });
}

function meanOf<K extends string>(records: readonly Record<K, number>[]): Record<K, number> {
  const keys = Object.keys(records[0]!) as K[];
  const mean = (key: K): number =>
    records.reduce((sum, record) => sum + record[key], 0) / records.length;
  return Object.fromEntries(keys.map((key) => [key, mean(key)])) as Record<K, number>;
}

/** The reports as one Markdown table: means, and differences to SWA with 95 % intervals. */
export function tableOf(reported: readonly Reported[]): string {
  const heads = ['net and labels', 'method', ...MEASURES.map(([, head]) => head)];
  const rows = reported.flatMap(({ experiment, methods }) =>
    methods.map(({ method, measures }, i) => [
      i === 0 ? titleOf(experiment) : '',
      method,
      ...MEASURES.map(([measure, , digits]) => {
        const { spread: of, minusSwa } = measures[measure]!;
        const mean = of.mean.toFixed(digits);
        if (!minusSwa) return mean;
        const interval = intervalText(minusSwa.interval, digits);
        return `${mean} (${signed(minusSwa.mean, digits)} ${interval})`;
      }),
    ]),
  );
  return markdown(
    [heads, ...rows],
    heads.map(() => false),
  );
}
