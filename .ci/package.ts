/**
 * Packs the package, lints it (publint, attw), installs it in an empty app from the registry and
 * runs it there from ESM, CJS and TypeScript, as a user would.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const bin = (name: string): string => path.join(root, 'node_modules', '.bin', name);
const app = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));

function run(what: string, command: string, ...args: string[]): void {
  console.log(`- ${what}`);
  execFileSync(command, args, { cwd: app, stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Compiles strictly, our declarations included; the errors in tfjs's own are not ours. */
function compile(what: string, file: string, ...options: string[]): void {
  console.log(`- ${what}, ${path.extname(file)}`);
  const strict = ['--strict', '--target', 'es2022', '--skipLibCheck', 'false', '--pretty', 'false'];
  const { stdout } = spawnSync(bin('tsc'), [...options, ...strict, file], {
    cwd: app,
    encoding: 'utf8',
  });
  const errors = stdout
    .split('\n')
    .filter((line) => line.includes('error TS') && !/node_modules.(?!tfjs-swa.)/.test(line));
  if (errors.length > 0) throw new Error(errors.join('\n'));
}

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(app, name)), { recursive: true });
  writeFileSync(path.join(app, name), text);
}

const use = `
async function main() {
  const x = tf.variable(tf.tensor1d([4, -2]));
  const swa = new SWA(tf.train.sgd(0.1), { swaStart: 1, swaFreq: 1 });
  for (let i = 0; i < 3; i++) swa.minimize(() => tf.sum(tf.square(x)), false, [x]);
  swa.swapSwaSgd();
  // x falls by the factor 1 - 0.1 * 2 = 0.8 a step; the average of steps 2 and 3 from 4:
  const expected = (4 * 0.8 ** 2 + 4 * 0.8 ** 3) / 2;
  const [value] = await x.data();
  if (!(Math.abs(value - expected) < 1e-5)) throw new Error(value + ', not ' + expected);
  const model = tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: new SWA(tf.train.adam()), loss: 'meanSquaredError' });
  await model.fit(tf.ones([4, 1]), tf.ones([4, 1]), { epochs: 1, verbose: 0 });
  await updateBn([tf.ones([1, 1])], model);
  const file = fileSystem('app.swa');
  await saveStateDict(file, await swa.stateDict());
  await swa.loadStateDict(await loadStateDict(file));
}
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
`;
const packages = {
  tfl: '@tensorflow/tfjs-layers',
  tf: '@tensorflow/tfjs-core',
};
const esm = `${Object.entries(packages)
  .map(([name, from]) => `import * as ${name} from '${from}';`)
  .join('\n')}
import '@tensorflow/tfjs-backend-cpu';
import { loadStateDict, saveStateDict, SWA, updateBn } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
`;
const cjs = `${Object.entries(packages)
  .map(([name, from]) => `const ${name} = require('${from}');`)
  .join('\n')}
require('@tensorflow/tfjs-backend-cpu');
const { loadStateDict, saveStateDict, SWA, updateBn } = require('tfjs-swa');
const { fileSystem } = require('tfjs-swa/node');
`;
const typed = use
  .replace('[value]', '[value = NaN]')
  .replace('(error)', '(error: unknown)')
  .replace(
    'main() {',
    'main(): Promise<void> {\n  const options: SWAOptions = { swaStart: 1 };\n  void options;',
  );
const types =
  "import type { SWAOptions } from 'tfjs-swa';\ndeclare const process: { exit(code: number): never };\n";

try {
  console.log('- pack');
  execFileSync('npm', ['pack', '--pack-destination', app], { cwd: root, stdio: 'ignore' });
  const [tarball] = readdirSync(app);
  if (tarball === undefined) throw new Error('npm pack gave nothing');
  const version = (name: string): string => {
    const text = readFileSync(path.join(root, 'node_modules', name, 'package.json'), 'utf8');
    return `${name}@${(JSON.parse(text) as { version: string }).version}`;
  };

  run('publint', bin('publint'), 'run', '--strict', tarball);
  run('are the types wrong', bin('attw'), '--quiet', tarball);

  write('package.json', '{ "name": "app", "private": true }\n');
  const needed = ['core', 'layers', 'backend-cpu'].map((name) =>
    version(`@tensorflow/tfjs-${name}`),
  );
  run(
    'install',
    'npm',
    'install',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    tarball,
    ...needed,
  );

  write('app.mjs', esm + use);
  run('ESM', process.execPath, 'app.mjs');
  write('app.cjs', cjs + use);
  run('CJS', process.execPath, 'app.cjs');

  for (const extension of ['mts', 'cts']) {
    const file = `nodenext/app.${extension}`;
    write(file, types + esm + typed);
    compile('TypeScript, nodenext', file, '--module', 'nodenext', '--outDir', 'nodenext/out');
    run('  and run', process.execPath, `nodenext/out/app.${extension.replace('ts', 'js')}`);
  }
  write('bundler/app.ts', types + esm + typed);
  const bundler = ['--module', 'esnext', '--moduleResolution', 'bundler', '--noEmit'];
  compile('TypeScript, bundler', 'bundler/app.ts', ...bundler);
  const bundle = ['--bundle', '--log-level=error', '--main-fields=module,main'];
  const forNode = [...bundle, '--platform=node', '--outfile=bundler/out.cjs'];
  run('  and bundle', bin('esbuild'), 'bundler/app.ts', ...forNode);
  run('  and run', process.execPath, 'bundler/out.cjs');

  // The class has to be known to tf.serialization after a bare import.
  write('bare.mjs', "import 'tfjs-swa';\n");
  run('bare import', bin('esbuild'), 'bare.mjs', ...bundle, '--outfile=bare.out.js');
  if (!readFileSync(path.join(app, 'bare.out.js'), 'utf8').includes('registerClass(SWA)')) {
    throw new Error("A bundler drops the registration of SWA from import 'tfjs-swa'");
  }
} finally {
  rmSync(app, { recursive: true, force: true });
}
