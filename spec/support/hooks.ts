/**
 * What happens around every spec, on any backend: tensors are counted, and a spec that leaves one
 * behind fails the run; so does one after which a GPU has an error that nobody caught. It does not
 * know how a backend is started.
 */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { disposeOwned } from './support.js';

/** Mocha's root hooks; `start` makes the backend under test the current one. */
export function rootHooks(start: () => Promise<void>) {
  let tensors = 0;
  let bytes = 0;
  /** Specs that passed but left tensors, or took some that were not theirs. */
  const leaks: string[] = [];
  const gpuErrors: string[] = [];

  return {
    async beforeAll(): Promise<void> {
      await start();
      webGpu()?.device.addEventListener('uncapturederror', ({ error }) => {
        gpuErrors.push(error.message);
      });
    },
    beforeEach(this: Mocha.Context): void {
      ({ numTensors: tensors, numBytes: bytes } = tf.memory());
      const backend = webGpu();
      if (backend) failOnGpuErrors(this.currentTest!, backend, gpuErrors);
    },
    afterEach(this: Mocha.Context): void {
      disposeOwned();
      if (this.currentTest?.state !== 'passed') return;
      const now = tf.memory();
      if (now.numTensors === tensors && now.numBytes === bytes) return;
      const more = `${now.numTensors - tensors} tensors, ${now.numBytes - bytes} bytes`;
      leaks.push(`${this.currentTest.fullTitle()}: ${more}`);
    },
    afterAll(): void {
      assert.deepEqual(leaks, [], 'specs that leave tensors');
    },
  };
}

/** What is asked of a WebGPU device and its backend here (the types of WebGPU are no dependency). */
interface Device {
  addEventListener(type: string, listener: (event: { error: Error }) => void): void;
  queue: { onSubmittedWorkDone(): Promise<void> };
}
interface WebGpuBackend {
  device: Device;
  commandEncoder: unknown;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** The current backend, if it is that of WebGPU. */
function webGpu(): WebGpuBackend | null {
  return tf.getBackend() === 'webgpu' ? (tf.backend() as unknown as WebGpuBackend) : null;
}

/** WebGPU tells of a wrong command later, to nobody: has the spec wait for that, and fail. */
function failOnGpuErrors(test: Mocha.Runnable, backend: WebGpuBackend, errors: string[]): void {
  const body = test.fn as ((this: Mocha.Context) => unknown) | undefined;
  if (!body) return;
  test.fn = async function (this: Mocha.Context) {
    errors.length = 0;
    await body.call(this);
    // Up to 15 commands are recorded and not sent yet (tfjs-backend-webgpu 4.22).
    backend.endComputePassEncoder();
    if (backend.commandEncoder) backend.submitQueue();
    await backend.device.queue.onSubmittedWorkDone();
    assert.deepEqual(errors, [], 'uncaptured errors of the GPU');
  };
}
