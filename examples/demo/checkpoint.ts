/**
 * The demo's checkpoint: how far a run is, in one file, and whether the file is this run's. It knows
 * nothing of how nets are trained.
 */
import { existsSync } from 'node:fs';
import { loadStateDict, saveStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import type { Landscape } from './landscape.js';
import { UsageError, type DemoOptions } from './options.js';
import type { SeedScores, SeedState, SeedWeights } from './training.js';

/** How far a run is. */
export interface DemoState {
  /** The seeds that are done, in order. */
  finished: SeedScores[];
  /** The first seed's points of weight space, once it is done: the plane is laid through them. */
  weights: SeedWeights | null;
  /** The seed that is being trained; `null`: none, or it has not had an epoch yet. */
  current: SeedState | null;
  /** The error plane, once it was measured. */
  landscape: Landscape | null;
  /** Seconds that all of this took. */
  seconds: number;
}

/** What the numbers of a run depend on. */
export interface Setting extends Omit<DemoOptions, 'out' | 'checkpoint'> {
  /** The backend that runs, which is not the one asked for where that does not start. */
  running: string;
}

/** What the file holds. */
interface Kept {
  kind: string;
  setting: Setting;
  state: unknown;
}

/** What such a file says of itself; the last figure grows when the state's fields change. */
const KIND = 'tfjs-swa demo 3';

/** What a new run begins with. */
export function newState(): DemoState {
  return { finished: [], weights: null, current: null, landscape: null, seconds: 0 };
}

/**
 * Saves how far a run is: a kill at any moment leaves the file as it was before or after.
 *
 * @throws UsageError if the disk is full, say.
 */
export async function saveCheckpoint(
  file: string,
  setting: Setting,
  state: DemoState,
): Promise<void> {
  const kept: Kept = { kind: KIND, setting, state: packed(state) };
  await usage(saveStateDict(fileSystem(file, { createFolder: true }), kept));
}

/**
 * Loads how far a run is, `null` if there is no such file yet.
 *
 * @throws UsageError if the file is damaged, something else, or of a run with another setting.
 */
export async function loadCheckpoint(file: string, setting: Setting): Promise<DemoState | null> {
  if (!existsSync(file)) return null;
  const kept = await usage(loadStateDict<Partial<Kept> | null>(fileSystem(file)));
  if (kept?.kind !== KIND) {
    const is = typeof kept?.kind === 'string' ? kept.kind : 'something else';
    throw new UsageError(`${file} is no checkpoint of this demo (expected ${KIND}, not ${is})`);
  }
  const there: Partial<Setting> = kept.setting ?? {};
  const names = Object.keys(setting) as (keyof Setting)[];
  const different = names.filter((name) => there[name] !== setting[name]);
  if (different.length > 0) {
    const texts = different.map((name) => `${labelOf(name)} ${there[name]}, not ${setting[name]}`);
    throw new UsageError(
      `${file} is the checkpoint of another run: it has ${texts.join('; ')} (give those options, ` +
        'or another --checkpoint, or remove the file)',
    );
  }
  return unpacked(kept.state) as DemoState;
}

function labelOf(name: keyof Setting): string {
  return name === 'running' ? 'run on the backend' : `--${name}`;
}

/** Passes on what a save or load gives; what is wrong with the file is the user's to mend. */
export async function usage<T>(result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

// --- Points of weight space, which a checkpoint takes with their shape ---------------------------

/** The name of a bare array among the checkpoint's tensors. */
const BARE = 'Float32Array';

function packed(value: unknown): unknown {
  if (value instanceof Float32Array) {
    return { name: BARE, dtype: 'float32', shape: [value.length], values: value };
  }
  return isTensorData(value) ? value : mapped(value, packed);
}

function unpacked(value: unknown): unknown {
  if (!isTensorData(value)) return mapped(value, unpacked);
  return value.name === BARE ? value.values : value;
}

function isTensorData(value: unknown): value is TensorData {
  return ArrayBuffer.isView((value as Partial<TensorData> | null)?.values);
}

/** A list or record of what `f` makes of each item; anything else as it is. */
function mapped(value: unknown, f: (item: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(f);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, f(item)]));
}
