/**
 * The fused update on the cpu backend: one unrolled loop over its typed arrays. It knows nothing of
 * averages beyond the weight. As it rounds otherwise than the plain ops, it refuses nothing that occurs:
 * the result must not depend on who else holds the data, or a resumed run would be another one.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods, type CountsReferences, type Update } from './contract.js';
import { untilAsked } from './patches.js';

/** A tensor's data on the cpu backend (tfjs-backend-cpu 4.22, backend_cpu.ts, `write`). */
interface Entry {
  values?: unknown;
}

interface CpuBackend extends CountsReferences {
  data?: { get(dataId: object): Entry | undefined };
}

/**
 * The arrays of averages that nobody else has seen. The cpu backend keeps the array that
 * `tf.tensor` is handed, hands out its own from `data()` and `dataSync()`, and cuts slices from it
 * that share its memory, so one owner of the tensor's data is not one owner of the array: only these
 * are written to.
 */
const unseen = new WeakMap<Entry, Float32Array>();

export function cpuAverage(backend: CpuBackend, weight: number): Update | null {
  const { data } = backend;
  if (!hasMethods(backend, 'refCount') || !hasMethods(data, 'get')) return null;
  const share = Math.fround(weight); // as the plain ops have it, in a tensor
  return (average, value) => {
    const entry = data.get(average.dataId);
    const current = data.get(value.dataId)?.values;
    const own = entry && unseen.get(entry);
    const seen = own ?? entry?.values;
    if (!(seen instanceof Float32Array && current instanceof Float32Array)) return false;
    if (seen.length !== current.length) return false;
    const isAlone = backend.refCount(average.dataId) === 1;
    const values = own && isAlone ? own : seen.slice();
    average16(values, current, share);
    if (!isAlone) {
      const next = tf.tensor(values, average.shape);
      average.assign(next);
      next.dispose();
    } else if (!own) {
      unseen.set(entry!, values);
      untilAsked(
        entry!,
        'values',
        () => values,
        () => unseen.delete(entry!),
      );
    }
    return true;
  };
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
