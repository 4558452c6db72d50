/**
 * The fused update on the wasm backend: a SIMD module of one function (average.wat) that works on
 * the backend's own memory. It knows nothing of averages beyond the weight.
 */
import { MODULE } from './average_wasm.js';
import { hasMethods, type CountsReferences, type Update } from './contract.js';
import { renewal, type WasmEntry, type WasmTensors } from './patches.js';

interface WasmBackend extends CountsReferences, WasmTensors {
  /** Where each tensor's data lies (tfjs-backend-wasm 4.22, backend_wasm.ts, `move`). */
  dataIdMap?: { get(dataId: object): WasmEntry | undefined };
  wasm?: WasmTensors['wasm'] & WasmModule;
}

/** The Emscripten module: its memory is an export, or its own where threads share it. */
export interface WasmModule {
  asm?: { memory?: unknown };
  wasmMemory?: unknown;
}

/** average.wat's function: byte addresses, a number of values, the weight. */
type Average = (average: number, current: number, size: number, share: number) => void;

/** Of each memory that was met, or `null` where the module does not start. */
const instances = new WeakMap<WebAssembly.Memory, Average | null>();

export function wasmAverage(backend: WasmBackend, weight: number): Update | null {
  const { dataIdMap, wasm } = backend;
  if (!hasMethods(backend, 'refCount') || !hasMethods(dataIdMap, 'get')) return null;
  const run = averageOn(wasm);
  const renew = renewal(backend);
  if (!run || !renew) return null;
  return (average, value) => {
    if (backend.refCount(average.dataId) !== 1) return false;
    // The value first: fetching it from another backend allocates. Addresses stay right when the
    // memory grows, unlike typed arrays over it.
    const current = dataIdMap.get(value.dataId)?.memoryOffset;
    const entry = dataIdMap.get(average.dataId);
    if (!entry || typeof entry.memoryOffset !== 'number' || typeof current !== 'number')
      return false;
    if (typeof entry.id !== 'number') return false;
    run(entry.memoryOffset, current, average.size, weight);
    renew(entry, average.size);
    return true;
  };
}

/** The memory in which the backend keeps its tensors. */
export function memoryOf(wasm: WasmModule | undefined): WebAssembly.Memory | undefined {
  return [wasm?.asm?.memory, wasm?.wasmMemory].find(
    (candidate) => candidate instanceof WebAssembly.Memory,
  );
}

function averageOn(wasm: WasmBackend['wasm']): Average | null {
  const memory = memoryOf(wasm);
  if (!memory) return null;
  let average = instances.get(memory);
  if (average === undefined) instances.set(memory, (average = instantiate(memory)));
  return average;
}

function instantiate(memory: WebAssembly.Memory): Average | null {
  const shared =
    typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const bytes = moduleFor(shared);
  // False on an engine without SIMD.
  if (!WebAssembly.validate(bytes)) return null;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    backend: { memory },
  });
  return exports['average'] as Average;
}

/** The module that imports a memory of one thread, or one that threads share. */
export function moduleFor(shared: boolean): Uint8Array<ArrayBuffer> {
  const bytes = Array.from(atob(MODULE), (byte) => byte.charCodeAt(0));
  if (shared) {
    // The section of imports has its length at 19; it ends at 39 with the limits of the memory: no
    // flags and 0 pages, which become `shared` with a maximum, from 0 to 65,536.
    bytes.splice(37, 2, 3, 0, 128, 128, 4);
    bytes[19]! += 3;
  }
  return Uint8Array.from(bytes);
}
