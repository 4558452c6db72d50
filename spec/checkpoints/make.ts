/**
 * Writes the checkpoints that every later version has to load: `tsx spec/checkpoints/make.ts`. Run
 * once for a version of the format; never again for a version that has been released.
 */
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { writeFileSync } from 'node:fs';
import { saveStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { JsonAndBytes } from '../support/handlers.js';
import { kept } from './run.js';

await tf.setBackend('cpu');
const { swa, scheduler, variables, steps } = kept();
for (let i = 0; i < 7; i++) steps();
swa.swapSwaSgd();

const state = {
  swa: await swa.stateDict(),
  scheduler: scheduler.stateDict(),
  epoch: 7,
  model: await Promise.all(
    variables.map(async (variable): Promise<TensorData> => {
      const { name, shape } = variable;
      const values = (await variable.data<'float32'>()).slice();
      return { name, dtype: 'float32', shape, values };
    }),
  ),
  odd: [NaN, Infinity, -Infinity, -0, '\u{1F600} "$"', { $: null, $$: true, '': [] }],
};
const here = (name: string): URL => new URL(name, import.meta.url);
await saveStateDict(fileSystem(here('v1.safetensors')), state);
const handler = new JsonAndBytes();
await saveStateDict(handler, state);
writeFileSync(here('v1.json'), `${handler.json}\n`);
writeFileSync(here('v1.weights.bin'), handler.bytes);

// What they hold, in a form that needs no reader, and where the run was three steps later.
const plain = (_: string, value: unknown): unknown =>
  ArrayBuffer.isView(value)
    ? [...(value as Float32Array)]
    : typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
      ? `number ${Object.is(value, -0) ? '-0' : value}`
      : value;
swa.swapSwaSgd();
for (let i = 0; i < 3; i++) steps();
const later = await Promise.all(variables.map(async (variable) => [...(await variable.data())]));
writeFileSync(here('v1.expected.json'), `${JSON.stringify({ state, later }, plain, 2)}\n`);
