/**
 * A `model.json` with shards that takes weights: the shards have new names, and `model.json` takes its
 * place last. It knows nothing of what is in them.
 */
import { randomBytes } from 'node:crypto';
import { lstatSync } from 'node:fs';
import path from 'node:path';
import { explained } from '../../checkpoint/file_errors.js';
import { FilesAside, type AsideFile } from './aside.js';
import type { Output } from './source.js';

/** What is looked at of a `model.json`. */
export interface ModelJson {
  readonly weightsManifest: readonly {
    readonly paths: readonly string[];
    readonly weights: readonly unknown[];
  }[];
  readonly [key: string]: unknown;
}

/**
 * Begins a model.
 *
 * @param file Its `model.json`; shards lie beside it.
 * @param model The one whose weights are replaced.
 * @param shards The sizes of its shards, which are those of the new ones.
 * @throws Error that says why it cannot be written.
 */
export function createModel(
  file: string,
  model: ModelJson,
  shards: readonly { readonly size: number }[],
): Promise<Output> {
  return explained('save', file, begin(path.resolve(file), file, model, shards));
}

async function begin(
  target: string,
  file: string,
  model: ModelJson,
  shards: readonly { readonly size: number }[],
): Promise<Output> {
  if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink()) {
    // A loader looks for the shards beside the link, or beside the file.
    throw new Error('it is a symbolic link: name the file itself');
  }
  const files = new FilesAside(target);
  const id = randomBytes(8).toString('hex');
  const nameOf = (i: number): string => `averaged-${id}-shard${i + 1}of${shards.length}.bin`;
  let count = 0;
  let shard: AsideFile | undefined;
  let left = 0;
  /** Begins the next shard that takes bytes; one of none is a file too. */
  const next = async (): Promise<void> => {
    while (left === 0 && count < shards.length) {
      await shard?.seal();
      left = shards[count]!.size;
      shard = files.add(nameOf(count));
      count += 1;
    }
  };
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length;) {
      await next();
      const part = bytes.subarray(done, done + left);
      shard!.write(part);
      done += part.length;
      left -= part.length;
    }
  };
  const commit = async (): Promise<void> => {
    await next();
    await shard?.seal();
    let named = 0;
    const weightsManifest = model.weightsManifest.map((group) => {
      return { ...group, paths: group.paths.map(() => nameOf(named++)) };
    });
    // What tfjs makes of the text it makes of this one, too: it parses it.
    files.main.write(new TextEncoder().encode(JSON.stringify({ ...model, weightsManifest })));
    await files.commit();
  };
  return {
    file,
    write: (bytes) => explained('save', file, write(bytes)),
    commit: () => explained('save', file, commit()),
    discard: () => files.discard(),
  };
}
