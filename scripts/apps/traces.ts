/**
 * The specs that replay recorded traces (spec/golden), made into an app's: they try the package and
 * the tfjs that are installed there. It does not know which these are, nor what runs them.
 */
import * as esbuild from 'esbuild';
import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { behaviourSpecs } from '../tests/suites.js';
import { root, type App } from './app.js';
import { CHECK_FUSED, SIDE_EFFECTS } from './program.js';

/** The script that replays them, on the backend that BACKEND names. */
export const REPLAY = 'replay.mjs';

/** Writes the specs into the app, and {@link REPLAY} beside them. */
export async function writeTraces({ folder, write }: App): Promise<void> {
  const specs = behaviourSpecs().filter((file) =>
    readFileSync(path.join(root, file), 'utf8').includes('golden('),
  );
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['spec/support/setup.ts', ...specs],
    outbase: 'spec',
    outdir: path.join(folder, 'traces'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true, // all share one list of what a spec owns
    platform: 'node',
    format: 'esm',
    external: ['@tensorflow/*'],
    plugins: [fromThePackage],
    logLevel: 'warning',
  });
  cpSync(path.join(root, 'spec/golden'), path.join(folder, 'golden'), { recursive: true });
  const files = specs.map((file) => file.replace(/^spec\/(.*)\.ts$/, './traces/$1.mjs'));
  write(REPLAY, replay(files));
}

/** Mocha by its functions: its command knows the options of Node alone. */
const replay = (
  files: readonly string[],
): string => `import Mocha from '${import.meta.resolve('mocha')}';
import * as tf from '@tensorflow/tfjs-core';
import { SWA } from 'tfjs-swa';
import { mochaHooks } from './traces/support/setup.mjs';
${SIDE_EFFECTS.map((door) => `import '${door}';\n`).join('')}${CHECK_FUSED}
const mocha = new Mocha({
  reporter: 'dot',
  grep: /traces|recorded/,
  timeout: 60_000,
  forbidPending: true,
  rootHooks: mochaHooks,
});
for (const file of ${JSON.stringify(files)}) mocha.addFile(file);
await mocha.loadFilesAsync();
let runner;
const failures = await new Promise((resolve) => (runner = mocha.run(resolve)));
if (failures > 0 || runner.stats.passes === 0) process.exit(1);
const params = tf.variable(tf.ones([100]));
await checkFused(new SWA(tf.train.sgd(0.1), { paramGroups: [{ params }] }));
process.exit();
`;

/**
 * What a spec imports of `lib` comes out of the package, as far as that exports it; what is inside
 * (`interpolate`, say) is bundled.
 */
const fromThePackage: esbuild.Plugin = {
  name: 'from the package',
  setup(build) {
    const namespace = 'lib';
    build.onResolve({ filter: /^tfjs-swa/ }, ({ path: name }) => ({ path: name, external: true }));
    build.onResolve({ filter: /\/lib\/.*\.js$/ }, ({ path: name, resolveDir, namespace: from }) =>
      from === namespace ? null : { path: path.resolve(resolveDir, name), namespace },
    );
    build.onLoad({ filter: /.*/, namespace }, async ({ path: file }) => {
      const names = await namesOf(file);
      const exported = await namesOf(path.join(root, 'lib/index.js'));
      const both = names.filter((name) => exported.includes(name));
      const contents = `export * from '${file}'; export { ${both.join(', ')} } from 'tfjs-swa';`;
      return { contents, loader: 'ts', resolveDir: root };
    });
  },
};

/** What a module exports. */
async function namesOf(file: string): Promise<string[]> {
  return Object.keys((await import(file)) as object);
}
