/**
 * The fused update on the wasm backend: a SIMD module of one function (average.wat) that works on
 * the backend's own memory. It knows nothing of averages beyond the weight.
 */
import { MODULE, SHARED_MODULE } from './average_wasm.js';
import type { CountsReferences, Update } from './contract.js';

interface WasmBackend extends CountsReferences {
  /** Where each tensor's data lies (tfjs-backend-wasm 4.22, backend_wasm.ts, `move`). */
  dataIdMap?: { get(dataId: object): { memoryOffset?: number | null } };
  /** The Emscripten module: its memory is an export, or its own where threads share it. */
  wasm?: { asm?: { memory?: unknown }; wasmMemory?: unknown };
}

/** average.wat's function: byte addresses, a number of values, the weight. */
type Average = (average: number, current: number, size: number, share: number) => void;

/** Of each backend that was met, or `null` where the module does not start. */
const instances = new WeakMap<WasmBackend, Average | null>();

export function wasmAverage(backend: WasmBackend, weight: number): Update | null {
  const { dataIdMap } = backend;
  if (!instances.has(backend)) instances.set(backend, instantiate(backend));
  const average = instances.get(backend);
  if (!average || !dataIdMap) return null;
  return (buffer, value) => {
    if (backend.refCount(buffer.dataId) !== 1) return false;
    // The value first: fetching it from another backend allocates. Addresses stay right when the
    // memory grows, unlike typed arrays over it.
    const current = dataIdMap.get(value.dataId).memoryOffset;
    const address = dataIdMap.get(buffer.dataId).memoryOffset;
    if (typeof current !== 'number' || typeof address !== 'number') return false;
    average(address, current, buffer.size, weight);
    return true;
  };
}

function instantiate({ wasm }: WasmBackend): Average | null {
  const memory = [wasm?.asm?.memory, wasm?.wasmMemory].find(
    (candidate) => candidate instanceof WebAssembly.Memory,
  );
  if (!memory) return null;
  const shared =
    typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const bytes = shared ? SHARED_MODULE : MODULE;
  // False on an engine without SIMD.
  if (!WebAssembly.validate(bytes)) return null;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    backend: { memory },
  });
  return exports['average'] as Average;
}
