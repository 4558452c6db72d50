/** What specs of files share: numbers saved and read, children that save, a system that fails. */
import { build } from 'esbuild';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import { fileSystem } from 'tfjs-swa/node';

/** What a handler gives for the topology `{n}`. */
export const numberIn = async (file: string): Promise<unknown> =>
  ((await fileSystem(file).load!()).modelTopology as { n: unknown }).n;
export const saveNumber = async (file: string, n: unknown): Promise<unknown> =>
  fileSystem(file).save!({ modelTopology: { n } });

/** Runs `f` while a function of node:fs, or of its promises, is another. */
export async function withFs<M extends typeof fs | typeof fs.promises, K extends keyof M>(
  module: M,
  name: K,
  replacement: (original: M[K]) => unknown,
  f: () => Promise<unknown>,
): Promise<void> {
  const original = module[name];
  module[name] = replacement(original) as M[K];
  syncBuiltinESMExports();
  try {
    await f();
  } finally {
    module[name] = original;
    syncBuiltinESMExports();
  }
}

/** A user who may do little, as an argument of {@link saveInChild}: root becomes nobody. */
export const NOBODY = process.getuid?.() === 0 ? '65534' : '';

/**
 * Saves the number `new` and a mebibyte in a process of its own, bundled so that anyone may read it.
 *
 * @param args The file, and maybe the user to become.
 * @param before Commands of the shell before it.
 * @returns What went wrong, in its words.
 */
export async function saveInChild(folder: string, args: string, before = ''): Promise<string> {
  const script = path.join(folder, 'child.mjs');
  await build({
    stdin: {
      contents: `
        import { fileSystem } from './lib/node.ts';
        const [file, uid] = process.argv.slice(2);
        if (uid) process.setuid(Number(uid));
        const weightData = new ArrayBuffer(2 ** 20);
        const weightSpecs = [{ name: 'x', dtype: 'float32', shape: [2 ** 18] }];
        await fileSystem(file).save({ modelTopology: { n: 'new' }, weightSpecs, weightData })
          .catch((error) => console.log(error.message));
      `,
      resolveDir: path.join(import.meta.dirname, '../..'),
    },
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  });
  const command = `${before} exec '${process.execPath}' '${script}' ${args}`;
  const { stdout } = await promisify(execFile)('sh', ['-c', command]);
  return stdout.trim();
}
