/** Starts one tfjs backend in a browser and tells when it is lost. It knows nothing of its work. */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core, before any backend
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { useFasterKernels } from '../demo/wasm_kernels.js';
import { BACKEND_NAMES, type BackendName } from './settings.js';

/** A backend that runs. */
export interface RunningBackend {
  name: BackendName;
  /** Never resolved as long as the GPU is there and all it is told is valid, else to the reason. */
  lost: Promise<string>;
}

/**
 * Starts a backend; the .wasm files lie beside this script.
 *
 * @throws Error that says why it does not start.
 */
export async function startBackend(name: BackendName): Promise<RunningBackend> {
  setWasmPaths(new URL('./', import.meta.url).href);
  useFasterKernels();
  if (name === 'webgpu' && !(await navigator.gpu?.requestAdapter())) {
    throw new Error('this browser has none');
  }
  if (!(await tf.setBackend(name))) throw new Error(`${BACKEND_NAMES[name]} does not start here`);
  return { name, lost: lossOf(tf.backend() as unknown as Internals) };
}

/** What the GPU backends keep; neither has a public way to watch for its loss. */
interface Internals {
  device?: GPUDevice;
  gpgpu?: { gl: WebGLRenderingContext };
}

function lossOf({ device, gpgpu }: Internals): Promise<string> {
  return new Promise((resolve) => {
    if (device) {
      void device.lost.then(({ message }) => resolve(`the GPU was lost (${message})`));
      // What fails on the GPU throws nothing, and what it would have written stays as it was.
      device.addEventListener('uncapturederror', ({ error }) => resolve(error.message));
    }
    gpgpu?.gl.canvas.addEventListener('webglcontextlost', () => resolve('the GPU was lost'));
  });
}
