/** Checkpoints that an earlier version wrote: they load, exactly, and the run goes on. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { deepStrictEqual } from 'node:assert';
import { readFileSync } from 'node:fs';
import {
  loadStateDict,
  type LRSchedulerStateDict,
  type SWAStateDict,
  type TensorData,
} from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { read } from '../checkpoints/reader.js';
import { kept } from '../checkpoints/run.js';
import { JsonAndBytes } from '../support/handlers.js';
import { assertClose, own } from '../support/support.js';

interface Kept {
  swa: SWAStateDict;
  scheduler: LRSchedulerStateDict;
  epoch: number;
  model: TensorData[];
  odd: unknown[];
}

const here = (name: string): URL => new URL(`../checkpoints/${name}`, import.meta.url);

/** The state as `v1.expected.json` has it: lists for values, strings for odd numbers. */
function plain(state: unknown): unknown {
  const text = JSON.stringify(state, (_, value: unknown) => {
    if (ArrayBuffer.isView(value)) return [...(value as Float32Array)];
    if (Object.is(value, -0)) return 'number -0';
    return typeof value === 'number' && !Number.isFinite(value) ? `number ${value}` : value;
  });
  return JSON.parse(text);
}

describe('a checkpoint of version 1', () => {
  const { state, later } = JSON.parse(readFileSync(here('v1.expected.json'), 'utf8'));
  const handler = new JsonAndBytes();
  handler.json = readFileSync(here('v1.json'), 'utf8');
  handler.bytes = readFileSync(here('v1.weights.bin'));
  const sources = { 'the file': fileSystem(here('v1.safetensors')), 'JSON and bytes': handler };

  for (const [name, source] of Object.entries(sources)) {
    it(`loads, value for value: ${name}`, async () => {
      deepStrictEqual(plain(await loadStateDict<unknown>(source)), state);
    });

    it(`goes on where the run was: ${name}`, async () => {
      const loaded = await loadStateDict<Kept>(source);
      const { swa, scheduler, variables, steps } = kept();
      own(swa);
      variables.forEach((variable: tf.Variable, i) => {
        own(variable);
        const { values, shape } = loaded.model[i]!;
        tf.tidy(() => variable.assign(tf.tensor(values.slice(), shape)));
      });
      await swa.loadStateDict(loaded.swa);
      scheduler.loadStateDict(loaded.scheduler);
      assert.isTrue(swa.swapped);
      swa.swapSwaSgd();
      for (let i = 0; i < 3; i++) steps();
      for (const [i, variable] of variables.entries()) {
        const values = await variable.data();
        // Kernels of another backend may round otherwise.
        assertClose(values, later[i], tf.getBackend() === 'cpu' ? 0 : 1e-6);
      }
    });
  }

  it('is read by a second reader, written from the description of the format alone', async () => {
    const file = await loadStateDict<unknown>(sources['the file']);
    deepStrictEqual(read(readFileSync(here('v1.safetensors'))), file);
  });

  it('is the same file in one piece and in two', () => {
    const { modelTopology } = JSON.parse(handler.json) as { modelTopology: { header: string } };
    const header = Buffer.from(modelTopology.header);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const joined = Buffer.concat([length, header, handler.bytes]);
    assert.isTrue(joined.equals(readFileSync(here('v1.safetensors'))));
  });
});
