/**
 * The specs of behaviour in a page, which .ci/browser.ts bundles, serves and opens as
 * `/?backend=NAME`. What mocha writes goes to `print`, which that defines.
 */
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import { assert } from 'chai';
import { rootHooks } from './hooks.js';

declare const print: (line: string) => void;
declare const specs: string;

const query = new URLSearchParams(location.search);

const name = query.get('backend')!;

Mocha.reporters.Base.consoleLog = (format = '', ...values: unknown[]) =>
  print(String(format).replace(/%[sd]/g, () => String(values.shift())));

mocha.setup({
  ui: 'bdd',
  reporter: Mocha.reporters.Spec,
  timeout: 60_000,
  forbidOnly: true,
  forbidPending: true,
  rootHooks: rootHooks(async () => {
    // Else the two run kernels on small tensors, as most here are, in JavaScript.
    for (const flag of ['WEBGL_CPU_FORWARD', 'WEBGPU_CPU_FORWARD']) tf.env().set(flag, false);
    setWasmPaths('/wasm/');
    assert.isTrue(await tf.setBackend(name), `backend ${name} does not start`);
    await tf.ready();
  }),
});
const grep = query.get('grep');
if (grep) mocha.grep(grep);
Object.assign(window, {
  failures: import('specs').then(() => new Promise((resolve) => mocha.run(resolve))),
});
