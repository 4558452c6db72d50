/** What `lib` may import, and what that makes of the package; scripts/package.ts installs and runs it. */
import { assert } from 'chai';
import { build } from 'esbuild';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const root = path.join(import.meta.dirname, '../..');
const lib = path.join(root, 'lib');

const files = readdirSync(lib, { recursive: true, encoding: 'utf8' });

/** A file of lib that another imports, by its path in lib; other packages as they are. */
const resolve = (file: string, name: string): string =>
  name.startsWith('.') ? path.join(path.dirname(file), name).replace(/\.js$/, '.ts') : name;

/** What each file of lib imports, types included, `import()` and `require()` too. */
const imports = new Map(
  files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const text = readFileSync(path.join(lib, file), 'utf8');
      const { importedFiles, referencedFiles, typeReferenceDirectives } = ts.preProcessFile(text);
      const all = [...importedFiles, ...referencedFiles, ...typeReferenceDirectives];
      return [file, all.map(({ fileName }) => resolve(file, fileName))];
    }),
);

describe('the package', () => {
  /** What files import of other packages. */
  const outside = (files: readonly string[]): string[] => {
    const names = files.flatMap((file) => imports.get(file)!);
    return [...new Set(names)].filter((name) => !imports.has(name));
  };

  /** The files that need Node. */
  const ofNode = ['atomic_write', 'file_errors', 'file_system', 'temporary_files'].map(
    (name) => `checkpoint/${name}.ts`,
  );

  it('imports tfjs-core and itself, and nothing else, but for the door for Node', () => {
    const files = [...imports.keys()].filter((file) => !ofNode.includes(file));
    assert.deepEqual(outside(files), ['@tensorflow/tfjs-core']);
    const others = outside(ofNode).filter((name) => !name.startsWith('node:'));
    assert.deepEqual(others, ['@tensorflow/tfjs-core']);
  });

  it('has one door to what needs Node, which nothing else goes through', () => {
    const importing = (names: string[]): string[] =>
      [...imports].filter(([, all]) => all.some((name) => names.includes(name))).map(([f]) => f);
    const inside = importing(ofNode).filter((file) => !ofNode.includes(file));
    assert.deepEqual(inside, ['node.ts']);
    assert.deepEqual(importing(['node.ts']), []);
  });

  it('has no imports that run in a circle, types included', () => {
    const done = new Set<string>();
    const visit = (file: string, above: readonly string[]): void => {
      const start = above.indexOf(file);
      assert.equal(start, -1, [...above.slice(start), file].join(' -> '));
      if (done.has(file)) return;
      for (const name of imports.get(file) ?? []) {
        if (imports.has(name)) visit(name, [...above, file]);
      }
      done.add(file);
    };
    for (const file of imports.keys()) visit(file, []);
  });

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

  it('names no machine and no registry in its lock file', () => {
    const lock = readFileSync(path.join(root, 'package-lock.json'), 'utf8');
    assert.notMatch(lock, /"resolved"|\.tgz"/);
  });
});
