/** Runs the packed package in Node 20, 22 and 24, in Bun and in Deno: its program, and the traces. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { inApp, versionsHere } from './app.js';
import { nodeProgram } from './program.js';
import { REPLAY, writeTraces } from './traces.js';

interface Runtime {
  name: string;
  version: string;
  /** The package of npm that is the runtime itself for this platform, and its program in there. */
  from: string;
  program: string;
  args?: string[];
}

const { platform, arch } = process;
const RUNTIMES: Runtime[] = [
  ...['20.20.2', '22.23.3', '24.21.0'].map((version) => ({
    name: `Node ${version.split('.')[0]!}`,
    version,
    from: `node-${platform}-${arch}`,
    program: 'bin/node',
  })),
  {
    name: 'Bun',
    version: '1.4.5',
    from: `@oven/bun-${platform}-${arch === 'arm64' ? 'aarch64' : arch}`,
    program: 'bin/bun',
  },
  {
    name: 'Deno',
    version: '2.9.6',
    from: `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`,
    program: 'deno',
    args: ['run', '--allow-all'],
  },
];
/** Under which name the app has it. */
const aliasOf = ({ name }: Runtime): string => name.toLowerCase().replace(' ', '-');

await inApp(async (app) => {
  const tfjs = ['core', 'layers', 'data', 'backend-cpu', 'backend-wasm'];
  app.install(
    versionsHere(...tfjs.map((name) => `@tensorflow/tfjs-${name}`)),
    Object.fromEntries(
      RUNTIMES.map((one) => [aliasOf(one), `npm:${one.from}@${one.version}`] as const),
    ),
  );
  app.write('app.mjs', nodeProgram('esm'));
  app.write('app.cjs', nodeProgram('cjs'));
  await writeTraces(app);

  const missing = RUNTIMES.filter((runtime) => {
    const { name, version, program, args = [] } = runtime;
    const file = path.join(app.folder, 'node_modules', aliasOf(runtime), program);
    if (!existsSync(file)) return true;
    for (const script of ['app.mjs', 'app.cjs']) {
      app.run(`${name} (${version}), ${script}`, file, ...args, script);
    }
    for (const backend of ['cpu', 'wasm']) {
      app.runOn(backend, `${name} (${version}), traces`, file, ...args, REPLAY);
    }
    return false;
  });
  if (missing.length === 0) return;
  const message = `left out, as npm has no such package: ${missing
    .map(({ from, version }) => `${from}@${version}`)
    .join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(message);
  console.log(`- ${message}`);
});
