/** What is in a file, as text. It knows nothing of the command line. */
import { counted, megabytes, printable } from './text.js';
import type { Source } from './tensors/source.js';

/** Columns of a note that are shown. */
const WIDTH = 100;

/** Lines about a file: what it is, what it says of itself, and a table of its tensors. */
export function info({ path, kind, notes, tensors }: Source): string[] {
  const bytes = tensors.reduce((sum, { size }) => sum + size, 0);
  const size = Number.isNaN(bytes) ? '' : `, ${megabytes(bytes)}`;
  const rows = tensors.map(({ name, dtype, shape, size: own, refusal, ofOptimizer }) => [
    printable(name),
    printable(dtype),
    `[${shape.join(', ')}]`,
    Number.isNaN(own) ? '' : megabytes(own),
    [refusal && `not averaged: ${printable(refusal)}`, ofOptimizer && "the optimizer's"]
      .filter(Boolean)
      .join(', '),
  ]);
  const shown = notes.map(printable).map((note) => {
    return note.length > WIDTH ? `${note.slice(0, WIDTH)}...` : note;
  });
  return [
    `${printable(path)}: ${kind}, ${counted(tensors.length, 'tensor')}${size}`,
    ...shown.map((note) => `  ${note}`),
    ...table(rows),
  ];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) =>
    rows.reduce((widest, row) => Math.max(widest, row[i]!.length), 0),
  );
  return rows.map((row) => {
    const cells = row.map((cell, i) =>
      i === 3 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
    );
    return `  ${cells.join('  ')}`.trimEnd();
  });
}
