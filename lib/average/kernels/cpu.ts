/**
 * The fused update on the cpu backend: one unrolled loop over its typed arrays. It knows nothing of
 * averages beyond the weight.
 */
import type { CountsReferences, Update } from './contract.js';

/** A tensor's data on the cpu backend (tfjs-backend-cpu 4.22, backend_cpu.ts, `write`). */
interface Entry {
  values: unknown;
}

interface CpuBackend extends CountsReferences {
  data?: { get(dataId: object): Entry };
}

/**
 * The arrays of averages that nobody else has seen. The cpu backend keeps the array that
 * `tf.tensor` is handed and hands out its own from `data()` and `dataSync()`, so one owner of the
 * tensor's data is not one owner of the array: only these are written to.
 */
const unseen = new WeakMap<Entry, Float32Array>();

export function cpuAverage(backend: CpuBackend, weight: number): Update | null {
  const { data } = backend;
  if (!data) return null;
  const share = Math.fround(weight); // as the plain ops have it, in a tensor
  return (buffer, value) => {
    if (backend.refCount(buffer.dataId) !== 1) return false;
    const entry = data.get(buffer.dataId);
    const current = data.get(value.dataId).values;
    const own = unseen.get(entry);
    const average = own ?? entry.values;
    if (!(average instanceof Float32Array && current instanceof Float32Array)) return false;
    if (average.length !== current.length) return false;
    const values = own ?? average.slice();
    average16(values, current, share);
    if (!own) hide(entry, values);
    return true;
  };
}

/** Makes `values` the data of the entry, unseen until somebody asks the entry for it. */
function hide(entry: Entry, values: Float32Array): void {
  unseen.set(entry, values);
  const property = { configurable: true, enumerable: true };
  const show = (shown: unknown): void => {
    unseen.delete(entry);
    Object.defineProperty(entry, 'values', { ...property, value: shown, writable: true });
  };
  Object.defineProperty(entry, 'values', {
    ...property,
    get() {
      show(values);
      return values;
    },
    set: show,
  });
}

/**
 * The update in double precision, rounded once, where it is stored: the plain ops round each of
 * their three results. Sixteen values a turn, as the turn itself would cost about as much as one.
 * Each average is read once, as every access is checked: its bounds, and, from the moment when any
 * buffer of the process was detached (the memory of any WebAssembly that grew), whether the array
 * still has its own.
 */
function average16(average: Float32Array, current: Float32Array, share: number): void {
  const size = average.length;
  const whole = size - (size % 16);
  let i = 0;
  let was: number;
  for (; i < whole; i += 16) {
    average[i] = (was = average[i]!) + (current[i]! - was) * share;
    average[i + 1] = (was = average[i + 1]!) + (current[i + 1]! - was) * share;
    average[i + 2] = (was = average[i + 2]!) + (current[i + 2]! - was) * share;
    average[i + 3] = (was = average[i + 3]!) + (current[i + 3]! - was) * share;
    average[i + 4] = (was = average[i + 4]!) + (current[i + 4]! - was) * share;
    average[i + 5] = (was = average[i + 5]!) + (current[i + 5]! - was) * share;
    average[i + 6] = (was = average[i + 6]!) + (current[i + 6]! - was) * share;
    average[i + 7] = (was = average[i + 7]!) + (current[i + 7]! - was) * share;
    average[i + 8] = (was = average[i + 8]!) + (current[i + 8]! - was) * share;
    average[i + 9] = (was = average[i + 9]!) + (current[i + 9]! - was) * share;
    average[i + 10] = (was = average[i + 10]!) + (current[i + 10]! - was) * share;
    average[i + 11] = (was = average[i + 11]!) + (current[i + 11]! - was) * share;
    average[i + 12] = (was = average[i + 12]!) + (current[i + 12]! - was) * share;
    average[i + 13] = (was = average[i + 13]!) + (current[i + 13]! - was) * share;
    average[i + 14] = (was = average[i + 14]!) + (current[i + 14]! - was) * share;
    average[i + 15] = (was = average[i + 15]!) + (current[i + 15]! - was) * share;
  }
  for (; i < size; i++) average[i] = (was = average[i]!) + (current[i]! - was) * share;
}
