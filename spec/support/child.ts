/** Scripts that specs run in processes of their own. */
import { build } from 'esbuild';
import path from 'node:path';

/** Bundles a script of spec/node into another folder, for a child that starts with tsx spends its time there. */
export async function bundleChild(name: string, folder: string): Promise<string> {
  const outfile = path.join(folder, `${name}.mjs`);
  await build({
    entryPoints: [path.join(import.meta.dirname, '../node', `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'silent',
  });
  return outfile;
}
