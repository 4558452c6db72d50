/** Builds `dist` from `lib`: ESM file by file, CJS as one file a door, and the types beside each. */
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
process.chdir(root);
rmSync('dist', { recursive: true, force: true });

const target = 'es2022';
const files = readdirSync('lib', { recursive: true, encoding: 'utf8' });
const sources = files.filter((file) => file.endsWith('.ts')).map((file) => `lib/${file}`);
// One file for each of lib: a bundler leaves out the files whose exports nobody uses.
await build({ entryPoints: sources, outdir: 'dist/esm', outbase: 'lib', format: 'esm', target });
chmodSync('dist/esm/cli/main.js', 0o755); // package.json's bin
await build({
  entryPoints: ['index', 'node', 'register', 'wasm_conv_gradient'].map((name) => `lib/${name}.ts`),
  outdir: 'dist/cjs',
  outbase: 'lib',
  format: 'cjs',
  target,
  bundle: true,
  packages: 'external',
  external: ['./index.js'], // of register.ts: one class SWA, not one a door
});

const tsc = path.join('node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [tsc, '-p', 'scripts/tsconfig.build.json', '--outDir', 'dist/esm'], {
  stdio: 'inherit',
});
// TypeScript takes a declaration for CJS or ESM by the package.json above it.
cpSync('dist/esm', 'dist/cjs', {
  recursive: true,
  filter: (source) => !source.endsWith('.js'),
});
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n');
