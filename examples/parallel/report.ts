/** From the scores of all seeds to the table and the last lines. It knows nothing of how they came. */
import { spread, spreadText, type Spread } from '../demo/report.js';
import type { LeftOut } from './merge.js';

/** Test errors in percent. */
export interface Errors {
  /** With the last weights. */
  last: number;
  /** With the average of all steps, batch normalization re-estimated. */
  average: number;
}

/** What one seed gave. */
export interface SeedResult {
  seed: number;
  /** Of each worker of the last round, in order; `null` where it was left out. */
  workers: (Errors | null)[];
  /** Of the workers' last weights merged, statistics re-estimated, and of their averages merged. */
  merged: Errors;
  /** Of one worker that trained as many epochs as all others together. */
  alone: Errors | null;
  /** Seconds from the first job's begin to the last one's end: of all rounds, and of that one worker. */
  seconds: { parallel: number; alone: number | null };
  /** Which workers were merged, of all rounds. */
  members: string[];
  leftOut: LeftOut[];
  /** A digest of the merged weights. */
  digest: string;
}

/** The table for the terminal. */
export function tableOf(
  results: readonly SeedResult[],
  { workers, concurrency }: { workers: number; concurrency: number },
): string {
  const seeds = results.length;
  const line = (label: string, last: string, average: string) =>
    `${label.padEnd(40)}${last.padEnd(18)}${average}`.trimEnd();
  const errors = (label: string, list: readonly (Errors | null)[]) => {
    const there = list.filter((item) => item !== null);
    return line(
      label,
      percent(there.map(({ last }) => last)),
      percent(there.map(({ average }) => average)),
    );
  };
  const alone = results.map((result) => result.alone);
  const rows = Array.from({ length: workers }, (_, k) =>
    errors(
      `worker ${k + 1}`,
      results.map((result) => result.workers[k]!),
    ),
  );
  const shown = workers <= 8 ? rows : [...rows.slice(0, 8), `... and ${workers - 8} more`];
  return [
    line(`test error (%), ${seeds} seed${seeds > 1 ? 's' : ''}`, 'last weights', 'average'),
    '-'.repeat(72),
    ...shown,
    errors(
      `merged, ${workers} workers`,
      results.map(({ merged }) => merged),
    ),
    ...(alone.some((item) => item) ? [errors('one worker, as many epochs', alone), ''] : ['']),
    timeLine(results, concurrency),
  ].join('\n');
}

/** Which workers were left out, a line each. */
export function leftOutLines(results: readonly SeedResult[]): string[] {
  return results.flatMap(({ leftOut }) =>
    leftOut.map(({ id, reason }) => `left out ${id}: ${reason}`),
  );
}

/** `merged 3 of 4`, of all rounds and seeds. */
export function mergedText(results: readonly SeedResult[]): string {
  const merged = results.reduce((sum, { members }) => sum + members.length, 0);
  const left = results.reduce((sum, { leftOut }) => sum + leftOut.length, 0);
  return `merged ${merged} of ${merged + left}`;
}

function timeLine(results: readonly SeedResult[], concurrency: number): string {
  const total = (list: readonly (number | null)[]) =>
    list.reduce<number>((sum, seconds) => sum + (seconds ?? 0), 0);
  const parallel = total(results.map(({ seconds }) => seconds.parallel));
  const alone = total(results.map(({ seconds }) => seconds.alone));
  const time = `training, ${concurrency} at a time: ${parallel.toFixed(1)} s`;
  return alone > 0 ? `${time}; the same epochs one after another: ${alone.toFixed(1)} s` : time;
}

function percent(values: number[]): string {
  if (values.length === 0) return 'left out';
  const all: Spread = spread(values);
  return spreadText(all, 2);
}
