/** A checkpoint of which one byte is another, or is missing: it is refused, and nothing changes. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { deepStrictEqual } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadStateDict, saveStateDict, SWA, type SWAStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { effort } from '../support/effort.js';
import { inFolder, Memory } from '../support/handlers.js';
import { half, own, variable } from '../support/support.js';

/** What a byte is changed by: every bit of it, or to every other value. */
const changes = Array.from({ length: 255 }, (_, i) => i + 1).filter(
  (change) => effort !== 'quick' || (change & (change - 1)) === 0,
);

describe('a checkpoint of which anything is changed', () => {
  let text: Uint8Array;
  let weights: Uint8Array;
  let swa: SWA;
  let before: SWAStateDict;

  /** Loads what the bytes say into the optimizer. */
  async function resume(json: Uint8Array, bytes: Uint8Array): Promise<void> {
    const parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json)) as object;
    const memory = new Memory();
    memory.artifacts = { ...parsed, weightData: new Uint8Array(bytes).buffer };
    await swa.loadStateDict(await loadStateDict(memory));
  }

  const refused = async (what: string, f: () => Promise<unknown>): Promise<void> => {
    let error: unknown;
    await f().catch((caught: unknown) => (error = caught));
    assert.instanceOf(error, Error, what);
    assert.isAbove((error as Error).message.length, 10, what);
  };

  beforeEach(async () => {
    const x = variable([1, -2]);
    swa = own(new SWA(tf.train.momentum(0.1, 0.9), { swaStart: 0, swaFreq: 1 }));
    swa.minimize(half(x), false, [x]);
    before = await swa.stateDict();
    const memory = new Memory();
    await saveStateDict(memory, before);
    const { modelTopology, weightSpecs, weightData } = memory.artifacts;
    text = new TextEncoder().encode(JSON.stringify({ modelTopology, weightSpecs }));
    weights = new Uint8Array(weightData as ArrayBuffer);
    await resume(text, weights);
    swa.minimize(half(x), false, [x]); // so that a load would show
    before = await swa.stateDict();
  });

  it('every byte, in memory: refused, the optimizer unchanged', async () => {
    for (const bytes of [text, weights]) {
      for (let i = 0; i < bytes.length; i++) {
        const original = bytes[i]!;
        for (const change of changes) {
          bytes[i] = original ^ change;
          await refused(`byte ${i} ^ ${change}`, () => resume(text, weights));
        }
        bytes[i] = original;
      }
    }
    deepStrictEqual(await swa.stateDict(), before);
    await resume(text, weights);
  });

  it('every length cut, and a byte more, in memory: refused, the optimizer unchanged', async () => {
    for (let i = 0; i < text.length; i++) {
      await refused(`${i} of the text`, () => resume(text.subarray(0, i), weights));
    }
    for (let i = 0; i < weights.length; i++) {
      await refused(`${i} of the weights`, () => resume(text, weights.subarray(0, i)));
    }
    await refused('more', () => resume(text, Uint8Array.of(...weights, 0)));
    deepStrictEqual(await swa.stateDict(), before);
  });

  it('every bit, every length cut, and a byte more, in a file: the same', async () => {
    await inFolder(async (folder) => {
      const file = `${folder}/state.safetensors`;
      await saveStateDict(fileSystem(file), before);
      const bytes = readFileSync(file);
      const load = async (what: string, changed: Uint8Array): Promise<void> => {
        writeFileSync(file, changed);
        await refused(what, async () => swa.loadStateDict(await loadStateDict(fileSystem(file))));
      };
      for (let i = 0; i < bytes.length; i++) {
        for (let bit = 1; bit < 256; bit <<= 1) {
          bytes[i]! ^= bit;
          await load(`byte ${i} ^ ${bit}`, bytes);
          bytes[i]! ^= bit;
        }
        await load(`${i} bytes`, bytes.subarray(0, i));
      }
      await load('more', Uint8Array.of(...bytes, 0));
      deepStrictEqual(await swa.stateDict(), before);
      writeFileSync(file, bytes);
      await swa.loadStateDict(await loadStateDict(fileSystem(file)));
    });
  });
});
