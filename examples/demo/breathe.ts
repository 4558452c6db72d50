/** A pause between two pieces of work, in which signals arrive. It knows nothing of the work. */

/** Lets Node handle what has come in, such as Ctrl-C: the backends' work itself never yields. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
