/** Backends that lack something, for specs of what kernels look for. */

/** An object like another, but for what is at the end of a path; `get()` stands for what `get` returns. */
export function faked<T extends object>(
  object: T,
  [key, ...rest]: readonly string[],
  value: unknown,
): T {
  const at = object as Record<string, unknown>;
  const property = (replaced: unknown): PropertyDescriptor => ({
    value: replaced,
    writable: true,
    configurable: true,
    enumerable: true,
  });
  if (key === 'get()') {
    const get = at['get'] as (id: object) => object;
    const faking = (id: object) => faked(get.call(object, id), rest, value);
    return Object.create(object, { get: property(faking) }) as T;
  }
  const replaced = rest.length > 0 ? faked(at[key!] as object, rest, value) : value;
  return Object.create(object, { [key!]: property(replaced) }) as T;
}
