/** Opens whatever holds tensors. It knows nothing of what is in it. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { shown } from '../../check.js';
import { openModel } from './model_source.js';
import { openSafetensors } from './safetensors_source.js';
import type { Source } from './source.js';

/** The name of a model in a folder. */
export const MODEL = 'model.json';

/** Whether a path is called as a tfjs model is. */
export function isModel(file: string): boolean {
  return file.toLowerCase().endsWith('.json');
}

/** Whether a path is a folder. */
export async function isFolder(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null))?.isDirectory() ?? false;
}

/** Whether a path is there. */
export async function isThere(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null)) !== null;
}

/**
 * Opens a file: a tfjs model if it is called `.json`, or is a folder with a `model.json`, else
 * safetensors.
 *
 * @throws Error that says what is wrong with it.
 */
export async function openSource(file: string): Promise<Source> {
  const place = (await isFolder(file)) ? path.join(file, MODEL) : file;
  const source = await (isModel(place) ? openModel(place) : openSafetensors(place));
  const names = new Set<string>();
  for (const { name } of source.tensors) {
    if (names.has(name)) {
      await source.close();
      throw new Error(`Cannot load ${place}: it has two tensors ${shown(name)}`);
    }
    names.add(name);
  }
  return source;
}
