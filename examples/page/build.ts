/** Writes the page as static files that work from any web server and folder. */
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);

/**
 * Writes the page into a folder, beside whatever else is there.
 *
 * @param source Where its page.ts, worker.ts, HTML and CSS lie.
 */
export async function buildPage(folder: string, source = here): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: ['page.ts', 'worker.ts'].map((file) => path.join(source, file)),
    outdir: folder,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    legalComments: 'linked',
    // The wasm backend's script for Node is in its bundle too, behind a test for Node.
    external: ['fs', 'path', 'worker_threads', 'perf_hooks', 'os', 'crypto', 'util'],
    logLevel: 'error',
  });
  for (const file of readdirSync(source).filter((name) => /\.(html|css)$/.test(name))) {
    copyFileSync(path.join(source, file), path.join(folder, file));
  }
  // Not named .gz, which some servers unpack on the way.
  copyFileSync(
    path.join(here, '../data/fashion-mnist-14x14.bin.gz'),
    path.join(folder, 'images.bin'),
  );
  const wasm = path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
  for (const kind of ['', '-simd', '-threaded-simd']) {
    const file = `tfjs-backend-wasm${kind}.wasm`;
    copyFileSync(path.join(wasm, file), path.join(folder, file));
  }
}
