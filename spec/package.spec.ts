/** What `lib` may import, and what that makes of the package; .ci/package.ts installs and runs it. */
import { assert } from 'chai';
import { build } from 'esbuild';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const root = path.dirname(import.meta.dirname);
const lib = path.join(root, 'lib');

const files = readdirSync(lib, { recursive: true, encoding: 'utf8' });

/** What each file of lib imports, types included, `import()` and `require()` too. */
const imports = new Map(
  files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const text = readFileSync(path.join(lib, file), 'utf8');
      const { importedFiles, referencedFiles, typeReferenceDirectives } = ts.preProcessFile(text);
      const all = [...importedFiles, ...referencedFiles, ...typeReferenceDirectives];
      return [file, all.map(({ fileName }) => fileName)];
    }),
);

describe('the package', () => {
  it('imports tfjs-core and itself, and nothing else', () => {
    const found = new Set([...imports.values()].flat().filter((name) => !name.startsWith('.')));
    assert.deepEqual([...found], ['@tensorflow/tfjs-core']);
  });

  it('has no imports that run in a circle, types included', () => {
    const done = new Set<string>();
    const visit = (file: string, above: readonly string[]): void => {
      const start = above.indexOf(file);
      assert.equal(start, -1, [...above.slice(start), file].join(' -> '));
      if (done.has(file)) return;
      for (const name of imports.get(file) ?? []) {
        if (!name.startsWith('.')) continue;
        visit(path.join(path.dirname(file), name).replace(/\.js$/, '.ts'), [...above, file]);
      }
      done.add(file);
    };
    for (const file of imports.keys()) visit(file, []);
  });

  it('lists its exports by name', () => {
    assert.notMatch(readFileSync(path.join(lib, 'index.ts'), 'utf8'), /export\s*\*/);
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

  it('names no machine and no registry in its lock file', () => {
    const lock = readFileSync(path.join(root, 'package-lock.json'), 'utf8');
    assert.notMatch(lock, /"resolved"|\.tgz"/);
  });
});
