/**
 * What spec/support/setup.ts is in Node, in a page: scripts/tests/browser.ts bundles this before the
 * specs, opens browser.html with `?backend=NAME&grep=PATTERN`, and asks for news until all have run.
 */
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import { assert } from 'chai';
import { rootHooks } from './hooks.js';

/** See browser.html. */
declare const news: { lines: string[]; failures: number | null };

const query = new URLSearchParams(location.search);

async function startBackend(): Promise<void> {
  const name = query.get('backend')!;
  setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  // Else both run their kernels in JavaScript where tensors are small, as most are here.
  for (const flag of ['WEBGL_CPU_FORWARD', 'WEBGPU_CPU_FORWARD']) tf.env().set(flag, false);
  assert.isTrue(await tf.setBackend(name), `backend ${name} does not start`);
  await tf.ready();
  if (name === 'webgl') assert.isTrue(tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED'));
}

Mocha.reporters.Base.consoleLog = (format = '', ...values: unknown[]) => {
  news.lines.push(String(format).replace(/%[sd]/g, () => String(values.shift())));
};
mocha.setup({
  ui: 'bdd',
  reporter: Mocha.reporters.Spec,
  timeout: 60_000,
  forbidOnly: true,
  forbidPending: true,
  grep: query.get('grep') ?? '',
  rootHooks: rootHooks(startBackend),
});
// After the specs, which the bundle has below this file.
addEventListener('load', () => mocha.run((count) => (news.failures = count)));
