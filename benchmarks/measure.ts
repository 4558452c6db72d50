/** Times alternatives against each other, round by round, and shows the result. Knows no tfjs. */
import { Bench, type Statistics } from 'tinybench';
import { markdown } from './markdown.js';

/** One line of the table. */
export interface Row {
  backend: string;
  what: string;
  /** Of what is measured: milliseconds, a median, or another number in the unit. */
  value: number;
  unit: string;
  /** What it is measured against, and its number. */
  against: string;
  againstValue: number;
  /** The median of the rounds' ratios. */
  ratio: number;
  /** The same of the calls' means, in which collecting garbage counts. Only in the JSON file. */
  ratioOfMeans?: number;
  /** The largest ratio that is good enough; none where the row only informs. */
  goal?: number;
}

/** What {@link compare} finds. */
export type Comparison = Pick<Row, 'value' | 'againstValue' | 'ratio' | 'ratioOfMeans' | 'unit'>;

/** The middle value. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How long either is called in a round, at least once, and before the first, in milliseconds. */
const TIME = 100;
const WARM_UP = 300;

/**
 * Times `subject` against `reference` with tinybench in interleaved rounds, because on a machine that
 * others use, more changes between two long measurements than we measure. Which comes first in a round
 * is drawn. The number of a round is the median of its calls: garbage is collected in lumps. The clock
 * stops when `fence` resolves, which is when a device has done all that it was told; who has timed
 * itself returns tinybench's `{overriddenDuration}`.
 */
export async function compare(
  subject: () => unknown,
  reference: () => unknown,
  rounds: number,
  fence: () => Promise<void> = async () => {},
): Promise<Comparison> {
  const times: { value: number; againstValue: number; ratioOfMeans: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const bench = new Bench({
      time: TIME,
      iterations: 1,
      warmup: round === 0,
      warmupTime: WARM_UP,
      warmupIterations: 3,
      throws: true,
    });
    const inOrder = [subject, reference];
    if (Math.random() < 0.5) inOrder.reverse();
    for (const f of inOrder) {
      bench.add(f === subject ? 'subject' : 'reference', async () => {
        const result = await f();
        await fence();
        return result;
      });
    }
    await bench.run();
    const latency = (name: string): Statistics => {
      const result = bench.getTask(name)?.result;
      if (result?.state !== 'completed') throw new Error(`${name}: ${result?.state}`);
      return result.latency;
    };
    const [of, against] = [latency('subject'), latency('reference')];
    times.push({
      value: of.p50,
      againstValue: against.p50,
      ratioOfMeans: of.mean / against.mean,
    });
  }
  return {
    unit: 'ms',
    value: median(times.map(({ value }) => value)),
    againstValue: median(times.map(({ againstValue }) => againstValue)),
    ratio: median(times.map(({ value, againstValue }) => value / againstValue)),
    ratioOfMeans: median(times.map(({ ratioOfMeans }) => ratioOfMeans)),
  };
}

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const digits = (x: number): string => x.toFixed(x === 0 || x >= 100 ? 0 : x < 1 ? 3 : 1);
  const verdict = ({ ratio, goal }: Row): string[] =>
    goal === undefined ? ['', ''] : [`<= ${goal}`, ratio <= goal ? 'met' : 'NOT met'];
  const cells = [
    ['backend', 'what', 'value', 'unit', 'against', 'value', 'ratio', 'goal', ''],
    ...rows.map((row) => [
      row.backend,
      row.what,
      digits(row.value),
      row.unit,
      row.against,
      digits(row.againstValue),
      row.ratio.toFixed(3),
      ...verdict(row),
    ]),
  ];
  const right = [false, false, true, false, false, true, true, true, false];
  return markdown(cells, right);
}
