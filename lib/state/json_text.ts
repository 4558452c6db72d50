/**
 * A look over a text of JSON before it is parsed, for `JSON.parse` keeps the last of equal keys
 * without a word, and takes memory for any depth. It knows nothing of what the text means.
 */

/**
 * Visits the keys of a text; one that is no JSON is visited as far as it can be.
 *
 * @param maxDepth Levels of lists and records in one another that are allowed.
 * @param visit Receives where a key begins and ends, without its quotes, and where its value begins.
 * @throws Error if there are more levels.
 */
export function visitKeys(
  text: string,
  maxDepth: number,
  visit: (from: number, to: number, value: number) => void = () => {},
): void {
  const skipSpace = (i: number): number => {
    while (i < text.length && ' \t\n\r'.includes(text[i]!)) i += 1;
    return i;
  };
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{' || c === '[') {
      depth += 1;
      if (depth > maxDepth) throw new Error(`it has more than ${maxDepth} levels`);
    } else if (c === '}' || c === ']') {
      depth -= 1;
    } else if (c === '"') {
      const from = i + 1;
      for (i = from; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i += 1;
      const colon = skipSpace(i + 1);
      if (text[colon] === ':') visit(from, i, skipSpace(colon + 1));
    }
  }
}
