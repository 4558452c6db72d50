/** Times alternatives against each other, round by round, and shows the result. Knows no tfjs. */

/** One line of the table. */
export interface Row {
  backend: string;
  what: string;
  /** Milliseconds of what is measured, a median. */
  ms: number;
  /** What it is measured against, and its milliseconds. */
  against: string;
  againstMs: number;
  /** The median of the rounds' ratios. */
  ratio: number;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Times `subject` against `reference` in interleaved rounds, so that both meet the same machine,
 * and each goes first in every other round. Both are warmed up before, and are repeated within a
 * round until `reference` takes about 20 ms. Both must be done when they return: cpu and wasm are.
 */
export function compare(
  subject: () => void,
  reference: () => void,
  rounds: number,
): { ms: number; againstMs: number; ratio: number } {
  const time = (f: () => void, repeats: number): number => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) f();
    return (performance.now() - start) / repeats;
  };
  for (let i = 0; i < 3; i++) {
    subject();
    reference();
  }
  const repeats = Math.max(1, Math.round(20 / time(reference, 3)));
  time(subject, 3); // as often as the reference
  const times = Array.from({ length: rounds }, (_, round) => {
    if (round % 2) {
      const ms = time(subject, repeats);
      return { ms, againstMs: time(reference, repeats) };
    }
    const againstMs = time(reference, repeats);
    return { ms: time(subject, repeats), againstMs };
  });
  return {
    ms: median(times.map(({ ms }) => ms)),
    againstMs: median(times.map(({ againstMs }) => againstMs)),
    ratio: median(times.map(({ ms, againstMs }) => ms / againstMs)),
  };
}

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const digits = (ms: number): string => ms.toFixed(ms < 1 ? 3 : ms < 100 ? 1 : 0);
  const cells = [
    ['backend', 'what', 'ms', 'against', 'ms', 'ratio'],
    ...rows.map(({ backend, what, ms, against, againstMs, ratio }) => [
      backend,
      what,
      digits(ms),
      against,
      digits(againstMs),
      ratio.toFixed(2),
    ]),
  ];
  const right = [false, false, true, false, true, true];
  const widths = right.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    right[i] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  );
  return [line(cells[0]!), line(rule), ...cells.slice(1).map(line)].join('\n');
}
