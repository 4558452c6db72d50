/**
 * What the package is made of: its exports, what it bundles, its lock file. What `lib` may import is
 * in .dependency-cruiser.js; scripts/apps/package.ts installs and runs the package.
 */
import { assert } from 'chai';
import { build } from 'esbuild';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(import.meta.dirname, '../..');
const lib = path.join(root, 'lib');

describe('the package', () => {
  it('lists its exports by name', () => {
    for (const door of ['index.ts', 'node.ts']) {
      assert.notMatch(readFileSync(path.join(lib, door), 'utf8'), /export\s*\*/, door);
    }
  });

  it('bundles for a browser, with tfjs-core outside', async () => {
    const { metafile } = await build({
      entryPoints: [path.join(lib, 'index.ts')],
      bundle: true,
      platform: 'browser',
      format: 'esm',
      packages: 'external',
      metafile: true,
      write: false,
      logLevel: 'silent',
    });
    const outside = Object.values(metafile.outputs).flatMap((output) =>
      output.imports.map((item) => item.path),
    );
    assert.deepEqual([...new Set(outside)], ['@tensorflow/tfjs-core']);
  });

  it('leaves what only Node has a use for out of a bundle for a browser', () => {
    const text = readFileSync(path.join(root, 'package.json'), 'utf8');
    const { browser } = JSON.parse(text) as { browser: Record<string, string> };
    const replaced = Object.entries(browser).map((paths) =>
      paths.map((file) => {
        const source = file.replace('./dist/esm', lib).replace(/\.js$/, '.ts');
        return Array.from(
          readFileSync(source, 'utf8').matchAll(/^export \w+ (\w+)/gm),
          ([, n]) => n,
        );
      }),
    );
    // What stands for a file exports as much.
    assert.deepEqual(replaced, [[['nodeAverage'], ['nodeAverage']]]);
  });

  it('names no machine and no registry in its lock file', () => {
    const lock = readFileSync(path.join(root, 'package-lock.json'), 'utf8');
    assert.notMatch(lock, /"resolved"|\.tgz"/);
  });
});
