/** Starts a tfjs backend, wasm if it can. It knows nothing of what will run on it. */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core, before any backend
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { BackendName } from './options.js';
import { useFasterKernels } from './wasm_kernels.js';

/**
 * Starts the backend asked for, or cpu where wasm does not start.
 *
 * @param notice Told in one line if it is not the backend asked for.
 * @param wasmFolder Where the .wasm files lie; default: in the installed package.
 * @returns The backend that runs.
 */
export async function startBackend(
  wanted: BackendName,
  notice: (line: string) => void,
  wasmFolder = installedWasm(),
): Promise<BackendName> {
  tf.enableProdMode(); // else tfjs prints an advertisement on cpu and stack traces without wasm
  if (wanted === 'wasm') {
    setWasmPaths(wasmFolder);
    useFasterKernels();
    if (await tf.setBackend('wasm').catch(() => false)) return 'wasm';
    notice('Notice: the wasm backend does not start here; running on cpu, several times slower.');
  }
  if (!(await tf.setBackend('cpu'))) throw new Error('The cpu backend does not start');
  return 'cpu';
}

function installedWasm(): string {
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  return `${path.dirname(main)}${path.sep}`; // tfjs wants the trailing separator
}
