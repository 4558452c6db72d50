/** Times alternatives against each other, round by round, and shows the result. Knows no tfjs. */
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
  /** The largest ratio that is good enough; none where the row only informs. */
  goal?: number;
}

/** What {@link compare} finds. */
export type Comparison = Pick<Row, 'value' | 'againstValue' | 'ratio' | 'unit'>;

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How long a round lasts, and both take to get warm, in milliseconds. */
const ROUND = 200;
const WARM_UP = 500;

/**
 * Times `subject` against `reference` in interleaved rounds, so that both meet the same machine.
 * Within a round of about 200 ms their calls alternate, one by one, so that short disturbances meet
 * both; which of a pair goes first is drawn, because garbage is collected at even intervals, and a
 * regular order had it fall to the same one always. Both are called as often, and are warmed up
 * before. The clock stops when `fence` resolves, which is when a device has done all that it was
 * told.
 *
 * A loop of our own, because tinybench and mitata time one task after the other: on a machine that
 * others use, what changes between two tasks is more than what we measure.
 */
export async function compare(
  subject: () => unknown,
  reference: () => unknown,
  rounds: number,
  fence: () => Promise<void> = async () => {},
): Promise<Comparison> {
  const time = async (f: () => unknown): Promise<number> => {
    const start = performance.now();
    const result = f();
    if (result instanceof Promise) await result;
    await fence();
    return performance.now() - start;
  };
  const pair = async (): Promise<[number, number]> => {
    if (Math.random() < 0.5) {
      const value = await time(subject);
      return [value, await time(reference)];
    }
    const againstValue = await time(reference);
    return [await time(subject), againstValue];
  };
  const start = performance.now();
  const warm: number[] = [];
  while (warm.length < 6 || performance.now() - start < WARM_UP) {
    const [of, against] = await pair();
    warm.push(of + against);
  }
  const repeats = Math.max(1, Math.round(ROUND / median(warm.slice(-6))));
  const times: { value: number; againstValue: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const pairs: [number, number][] = [];
    for (let i = 0; i < repeats; i++) pairs.push(await pair());
    times.push({
      value: median(pairs.map(([of]) => of)),
      againstValue: median(pairs.map(([, against]) => against)),
    });
  }
  return {
    unit: 'ms',
    value: median(times.map(({ value }) => value)),
    againstValue: median(times.map(({ againstValue }) => againstValue)),
    ratio: median(times.map(({ value, againstValue }) => value / againstValue)),
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
