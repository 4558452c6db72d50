/** Replays the traces on the packed package with the oldest tfjs that it takes, one between, the newest. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { inApp, root } from './app.js';
import { nodeProgram } from './program.js';
import { REPLAY, writeTraces } from './traces.js';

const manifest = readFileSync(path.join(root, 'package.json'), 'utf8');
const { peerDependencies } = JSON.parse(manifest) as { peerDependencies: Record<string, string> };
const range = peerDependencies['@tensorflow/tfjs-core']!;
const [oldest] = /\d+\.\d+\.\d+/.exec(range)!;

await inApp(async (app) => {
  app.write('app.mjs', nodeProgram('esm'));
  await writeTraces(app);
  for (const version of [oldest, '4.10.0', range]) {
    const tfjs = ['core', 'layers', 'data', 'backend-cpu', 'backend-wasm'];
    console.log(`- tfjs ${version}`);
    app.install(Object.fromEntries(tfjs.map((name) => [`@tensorflow/tfjs-${name}`, version])));
    app.run('its version', process.execPath, '-p', "require('@tensorflow/tfjs-core').version_core");
    app.run('program', process.execPath, 'app.mjs');
    for (const backend of ['cpu', 'wasm']) app.runOn(backend, 'traces', process.execPath, REPLAY);
  }
});
