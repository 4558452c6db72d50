/**
 * Compares what a state holds with what is wanted of it, part by part. It knows nothing of what the
 * parts are.
 */

/**
 * Refuses a state unless it holds what is wanted, all of it and nothing else.
 *
 * @param wanted By name of the part what it has to be, in words: `float32 [2,3]`.
 * @param found The same of the state.
 * @throws Error that lists what is missing, unexpected and of the wrong shape or value.
 */
export function checkFit(
  message: string,
  wanted: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): void {
  const problems = {
    missing: [...wanted.keys()].filter((part) => !found.has(part)),
    unexpected: [...found.keys()].filter((part) => !wanted.has(part)),
    'of the wrong shape or value': [...wanted].flatMap(([part, kind]) => {
      const is = found.get(part) ?? kind;
      return is === kind ? [] : `${part} (${is}, not ${kind})`;
    }),
  };
  const lists = Object.entries(problems)
    .filter(([, parts]) => parts.length > 0)
    .map(([problem, parts]) => `; ${problem}: ${parts.join(', ')}`);
  if (lists.length > 0) throw new Error(message + lists.join(''));
}
