/**
 * A checkpoint to a file and back against the same bytes with `fs`: written as one file and synced,
 * read into one buffer. It measures memory too.
 */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadStateDict, saveStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { compare, type Row } from './measure.js';
import { sizeOf } from './shapes.js';

/** What an SWA with Adam has a parameter: two slots and an average. */
const COPIES = ['accumulatedFirstMoment', 'accumulatedSecondMoment', 'swa_buffer'];

/** What it took of memory beyond what was held before, at its highest, in MB. */
async function peakOf<T>(f: () => Promise<T>): Promise<{ result: T; peak: number }> {
  const held = (): number => process.memoryUsage().arrayBuffers / 1e6;
  const before = held();
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, held() - before)), 1);
  try {
    return { result: await f(), peak: Math.max(peak, held() - before) };
  } finally {
    clearInterval(watch);
  }
}

/** Measures `saveStateDict` and `loadStateDict` through `fileSystem` on the state of Adam. */
export async function benchCheckpoint(
  what: string,
  shapes: readonly number[][],
  rounds: number,
): Promise<Row[]> {
  const state = COPIES.map((name) =>
    shapes.map((shape): TensorData => {
      const values = new Float32Array(sizeOf(shape)).map(Math.random);
      return { name, dtype: 'float32', shape, values };
    }),
  );
  const all = state.flat().map(({ values }) => new Uint8Array(values.buffer));
  const bytes = all.reduce((sum, { length }) => sum + length, 0);
  const folder = await mkdtemp(path.join(tmpdir(), 'tfjs-swa-'));
  const checkpoint = fileSystem(path.join(folder, 'state.safetensors'));
  const plain = path.join(folder, 'plain.bin');

  const write = async (): Promise<void> => {
    const handle = await open(plain, 'w');
    await handle.writev(all);
    await handle.sync();
    await handle.close();
  };
  try {
    await write();
    const { peak: saving } = await peakOf(() => saveStateDict(checkpoint, state));
    const { peak: loading, result } = await peakOf(() => loadStateDict<typeof state>(checkpoint));
    const back = result.flat();
    if (!back.every(({ values }, i) => Buffer.from(values.buffer).equals(all[i]!))) {
      throw new Error('Another state came back');
    }
    const rowOf = async (
      subject: string,
      peak: number,
      f: () => Promise<unknown>,
      reference: string,
      g: () => Promise<unknown>,
    ): Promise<Row> => ({
      backend: 'none',
      what: `${subject} ${what}, ${(bytes / 1e6).toFixed(0)} MB (peak + ${peak.toFixed(0)} MB)`,
      against: `fs ${reference}`,
      ...(await compare(f, g, rounds)),
    });
    return [
      await rowOf('save', saving, () => saveStateDict(checkpoint, state), 'write', write),
      await rowOf(
        'load',
        loading,
        () => loadStateDict(checkpoint),
        'read',
        () => readFile(plain),
      ),
    ];
  } finally {
    await rm(folder, { recursive: true });
  }
}
