/**
 * The fused second moment on the wasm backend: a SIMD module of one function (second_moment.wat) that
 * works on the backend's own memory.
 */
import { hasMethods, type CountsReferences } from '../../average/kernels/contract.js';
import { memoryOf, type WasmModule } from '../../average/kernels/wasm.js';
import type { AddSquares } from './contract.js';
import { MODULE, SHARED_MODULE } from './second_moment_wasm.js';

interface WasmBackend extends CountsReferences {
  /** Where each tensor's data lies (tfjs-backend-wasm 4.22, backend_wasm.ts, `move`). */
  dataIdMap?: { get(dataId: object): { memoryOffset?: number | null } | undefined };
  wasm?: WasmModule;
}

/** second_moment.wat's function: byte addresses, a number of values, the share. */
type Run = (sum: number, mean: number, value: number, size: number, share: number) => void;

/** Of each memory that was met, or `null` where the module does not start. */
const instances = new WeakMap<WebAssembly.Memory, Run | null>();

export function wasmSquares(backend: WasmBackend, share: number): AddSquares | null {
  const { dataIdMap, wasm } = backend;
  if (!hasMethods(backend, 'refCount') || !hasMethods(dataIdMap, 'get')) return null;
  const run = runOn(wasm);
  if (!run) return null;
  return (sum, mean, value) => {
    if (backend.refCount(sum.dataId) !== 1) return false;
    // All before the first address is used: fetching one from another backend allocates.
    const places = [sum, mean, value].map(({ dataId }) => dataIdMap.get(dataId)?.memoryOffset);
    if (!places.every((place) => typeof place === 'number')) return false;
    const [at, means, values] = places as [number, number, number];
    run(at, means, values, sum.size, share);
    return true;
  };
}

function runOn(wasm: WasmModule | undefined): Run | null {
  const memory = memoryOf(wasm);
  if (!memory) return null;
  let run = instances.get(memory);
  if (run === undefined) instances.set(memory, (run = instantiate(memory)));
  return run;
}

function instantiate(memory: WebAssembly.Memory): Run | null {
  const shared =
    typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const bytes = Uint8Array.from(atob(shared ? SHARED_MODULE : MODULE), (c) => c.charCodeAt(0));
  // False on an engine without SIMD.
  if (!WebAssembly.validate(bytes)) return null;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    backend: { memory },
  });
  return exports['secondMoment'] as Run;
}
