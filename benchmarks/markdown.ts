/** Tables in Markdown, as Prettier would lay them out. It knows nothing of what is in them. */

/**
 * @param cells Rows of as many cells, the heads first.
 * @param right Which columns are numbers, flush right.
 */
export function markdown(cells: readonly (readonly string[])[], right: readonly boolean[]): string {
  const widths = right.map((_, i) => Math.max(1, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    right[i] ? `${'-'.repeat(Math.max(1, width - 1))}:` : '-'.repeat(width),
  );
  return [line(cells[0]!), line(rule), ...cells.slice(1).map(line)].join('\n');
}
