/** The last files of a folder. It knows nothing of what is in them. */
import { readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { explained } from '../checkpoint/file_errors.js';
import { Refusal } from './refusal.js';
import { isFolder, isThere, MODEL } from './tensors/open.js';

/**
 * The last files in natural order of their names, in which `step-9` is before `step-10`: files that
 * are called `.safetensors`, and folders with a `model.json`.
 *
 * @param out The file that will be written, which is none of them.
 * @throws Refusal if there are fewer.
 */
export async function lastFiles(folder: string, count: number, out: string): Promise<string[]> {
  const names = await explained('load', folder, readdir(folder));
  const written = await realpath(out).catch(() => path.resolve(out));
  const files: string[] = [];
  for (const name of names) {
    const file = path.join(folder, name);
    const model = path.join(file, MODEL);
    const isFile =
      name.endsWith('.safetensors') && !name.startsWith('.') && !(await isFolder(file));
    if (!isFile && !(await isThere(model))) continue;
    const own = await realpath(isFile ? file : model);
    if (own !== written && path.dirname(own) !== written) files.push(file);
  }
  if (files.length < count) {
    throw new Refusal(`--last ${count}: ${folder} has ${files.length} besides ${out}`);
  }
  const order = new Intl.Collator('en', { numeric: true });
  return files.sort((a, b) => order.compare(a, b) || (a < b ? -1 : 1)).slice(-count);
}
