/**
 * All that the fused kernels change in tfjs's own objects, beside the values of an average. It knows
 * neither averages nor weights. There are two kinds:
 *
 * 1. {@link untilAsked}: an average lies where only its kernel writes, until somebody asks tfjs's
 *    record of the tensor for it. On cpu the record's field is `values` (tfjs-backend-cpu 4.22,
 *    backend_cpu.ts, `TensorData`; all kernels, `read` and `readSync` go through it), in tfjs-node `id`
 *    (tfjs-node 4.22, nodejs_kernel_backend.ts, `TensorData`). Without it every update on cpu would
 *    need a new array (for who called `data()` may hold the old one), which takes 1.4 times as long
 *    for large tensors and several times for small ones; in tfjs-node it would be the plain ops.
 * 2. {@link renewal}: tfjs-wasm's record of a tensor gets a new `id`.
 *
 * Each kernel looks for the fields first, and refuses where one is missing or of another kind
 * (3.21 to 4.22 have them all): the plain ops average then.
 */
import { hasMethods } from './contract.js';

/**
 * Makes a field of a record one that is formed when somebody first reads it, and an ordinary one
 * again from then on, as it is when somebody writes to it.
 *
 * @param form Makes the field's value.
 * @param end Called once, as the field becomes ordinary: what was kept for it may go.
 */
export function untilAsked<T extends object, K extends keyof T>(
  record: T,
  field: K,
  form: () => T[K],
  end: () => void,
): void {
  const attributes = { configurable: true, enumerable: true };
  const set = (value: T[K]): void => {
    Object.defineProperty(record, field, { ...attributes, value, writable: true });
    end();
  };
  Object.defineProperty(record, field, {
    ...attributes,
    get() {
      const value = form();
      set(value);
      return value;
    },
    set,
  });
}

/** tfjs-wasm's record of a tensor (tfjs-backend-wasm 4.22, backend_wasm.ts, `TensorData`). */
export interface WasmEntry {
  /** The tensor's number in the C++ half, which `write` and `move` count up. */
  id?: number;
  /** Where its data lies, in bytes. */
  memoryOffset?: number | null;
}

/** What of that backend is used: its counter of ids and the C++ half's list of tensors. */
export interface WasmTensors {
  dataIdNextNumber?: number;
  wasm?: {
    tfjs?: {
      registerTensor?: (id: number, size: number, memoryOffset: number) => void;
      disposeData?: (id: number) => void;
    };
  };
}

/**
 * What puts a tensor's data under a new id; `null` where a field for it is missing. The C++ half keeps
 * packed copies of filters and their biases, of the second operands of products and of PReLU's slopes
 * by that id until it is disposed of (tfjs-backend-wasm 4.22, src/cc: conv2d_impl.cc,
 * batch_mat_mul_impl.cc, prelu_impl.cc): who has written to the data calls this, and the next product
 * packs what is there now. `disposeData` leaves the memory alone, which JavaScript frees (backend.cc,
 * `dispose_data`).
 */
export function renewal(backend: WasmTensors): ((entry: WasmEntry, size: number) => void) | null {
  const tensors = backend.wasm?.tfjs;
  if (!hasMethods(tensors, 'registerTensor', 'disposeData')) return null;
  if (typeof backend.dataIdNextNumber !== 'number') return null;
  return (entry, size) => {
    const old = entry.id!;
    entry.id = backend.dataIdNextNumber!++;
    tensors.registerTensor(entry.id, size, entry.memoryOffset!);
    tensors.disposeData(old);
  };
}
