/**
 * Uses the packed package with the oldest tfjs that it takes, one between, the newest: runs a program
 * and the traces, and compiles a program against the declarations of both.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { inApp, root } from './app.js';
import { compile } from './compile.js';
import { nodeProgram, typedProgram } from './program.js';
import { REPLAY, writeTraces } from './traces.js';

const manifest = readFileSync(path.join(root, 'package.json'), 'utf8');
const { peerDependencies } = JSON.parse(manifest) as { peerDependencies: Record<string, string> };
const range = peerDependencies['@tensorflow/tfjs-core']!;
const [oldest] = /\d+\.\d+\.\d+/.exec(range)!;

const TYPED = ['app.mts', 'app.cts'];

await inApp(async (app) => {
  app.write('app.mjs', nodeProgram('esm'));
  for (const file of TYPED) app.write(file, typedProgram());
  await writeTraces(app);
  for (const version of [oldest, '4.10.0', range]) {
    const tfjs = ['core', 'layers', 'data', 'backend-cpu', 'backend-wasm'];
    console.log(`- tfjs ${version}`);
    app.install(Object.fromEntries(tfjs.map((name) => [`@tensorflow/tfjs-${name}`, version])));
    app.run('its version', process.execPath, '-p', "require('@tensorflow/tfjs-core').version_core");
    app.run('program', process.execPath, 'app.mjs');
    for (const file of TYPED) {
      compile(app.folder, 'TypeScript', file, '--module', 'nodenext', '--noEmit');
    }
    for (const backend of ['cpu', 'wasm']) app.runOn(backend, 'traces', process.execPath, REPLAY);
  }
});
