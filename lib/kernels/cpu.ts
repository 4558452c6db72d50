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
    averageAll(values, current, share);
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

/** Sixteen values a turn: the turn itself would cost about as much as one. */
function averageAll(average: Float32Array, current: Float32Array, share: number): void {
  const size = average.length;
  const whole = size - (size % 16);
  let i = 0;
  for (; i < whole; i += 16) {
    take(average, current, share, i);
    take(average, current, share, i + 1);
    take(average, current, share, i + 2);
    take(average, current, share, i + 3);
    take(average, current, share, i + 4);
    take(average, current, share, i + 5);
    take(average, current, share, i + 6);
    take(average, current, share, i + 7);
    take(average, current, share, i + 8);
    take(average, current, share, i + 9);
    take(average, current, share, i + 10);
    take(average, current, share, i + 11);
    take(average, current, share, i + 12);
    take(average, current, share, i + 13);
    take(average, current, share, i + 14);
    take(average, current, share, i + 15);
  }
  for (; i < size; i++) take(average, current, share, i);
}

/**
 * The update of one value in double precision, rounded once, where it is stored: the plain ops
 * round each of their three results. The engine puts it in the loop's place. It reads the average
 * once, because each access is checked: its bounds, and, as soon as any buffer of the process was
 * ever detached (the memory of any WebAssembly that grew), that the array still has one.
 */
function take(average: Float32Array, current: Float32Array, share: number, i: number): void {
  const averaged = average[i]!;
  average[i] = averaged + (current[i]! - averaged) * share;
}
