/** Numbers and names for a reader, on a terminal too. */

/** `102.4 MB`. */
export function megabytes(bytes: number): string {
  const [size, unit] = bytes < 1e6 ? [bytes / 1e3, 'kB'] : [bytes / 1e6, 'MB'];
  return bytes < 1e3 ? `${bytes} bytes` : `${size.toFixed(1)} ${unit}`;
}

/** `1 tensor`, `2 tensors`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** A text of a file with its control characters written out, for a terminal would obey them. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, (c) => JSON.stringify(c).slice(1, -1).replace(/\p{C}/gu, codeOf));
}

function codeOf(c: string): string {
  return `\\u{${c.codePointAt(0)!.toString(16)}}`;
}
