/** Reads the images from the repository's file, in Node. It knows nothing of their layout. */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { decodeImages, type Images } from './data.js';

/** Reads examples/data/fashion-mnist-14x14.bin.gz. */
export async function loadImages(): Promise<{ train: Images; test: Images }> {
  const file = new URL('../data/fashion-mnist-14x14.bin.gz', import.meta.url);
  return decodeImages(await promisify(gunzip)(await readFile(file)));
}
