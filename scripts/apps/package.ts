/**
 * Packs the package, lints it (publint, attw), installs it in an empty app from the registry and
 * runs it there from ESM, CJS and TypeScript, as a user would.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { bin, inApp, versionsHere } from './app.js';
import { compile } from './compile.js';
import { nodeProgram, typedProgram } from './program.js';

await inApp(({ folder, tarball, write, run, install }) => {
  run('publint', bin('publint'), 'run', '--strict', tarball);
  run('are the types wrong', bin('attw'), '--quiet', tarball);

  const tfjs = ['core', 'layers', 'backend-cpu'].map((name) => `@tensorflow/tfjs-${name}`);
  install(versionsHere(...tfjs, '@types/node'));

  write('app.mjs', nodeProgram('esm'));
  run('ESM', process.execPath, 'app.mjs');
  write('app.cjs', nodeProgram('cjs'));
  run('CJS', process.execPath, 'app.cjs');

  for (const extension of ['mts', 'cts']) {
    const file = `nodenext/app.${extension}`;
    write(file, typedProgram());
    compile(
      folder,
      'TypeScript, nodenext',
      file,
      '--module',
      'nodenext',
      '--outDir',
      'nodenext/out',
    );
    run('  and run', process.execPath, `nodenext/out/app.${extension.replace('ts', 'js')}`);
  }
  write('bundler/app.ts', typedProgram());
  const bundler = ['--module', 'esnext', '--moduleResolution', 'bundler', '--noEmit'];
  compile(folder, 'TypeScript, bundler', 'bundler/app.ts', ...bundler);
  const bundle = ['--bundle', '--log-level=error', '--main-fields=module,main'];
  const forNode = [...bundle, '--platform=node', '--outfile=bundler/out.cjs'];
  run('  and bundle', bin('esbuild'), 'bundler/app.ts', ...forNode);
  run('  and run', process.execPath, 'bundler/out.cjs');

  // The command, as one runs it who installed the package.
  for (const value of [1, 4]) {
    const header = Buffer.from('{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}');
    const length = Buffer.from(BigUint64Array.of(BigInt(header.length)).buffer);
    const bytes = Buffer.from(Float32Array.of(value).buffer);
    writeFileSync(
      path.join(folder, `${value}.safetensors`),
      Buffer.concat([length, header, bytes]),
    );
  }
  run('npx tfjs-swa', 'npx', 'tfjs-swa', '--help');
  const two = ['1.safetensors', '4.safetensors'];
  run('  average', 'npx', 'tfjs-swa', 'average', ...two, '--out', 'mean.safetensors');
  run('  info', 'npx', 'tfjs-swa', 'info', 'mean.safetensors');
  const written = readFileSync(path.join(folder, 'mean.safetensors'));
  const mean = written.readFloatLE(written.length - 4);
  if (mean !== 2.5) throw new Error(`tfjs-swa average 1 4 is ${mean}`);

  // The class has to be known to tf.serialization after a bare import.
  write('bare.mjs', "import 'tfjs-swa/register';\n");
  run('bare import', bin('esbuild'), 'bare.mjs', ...bundle, '--outfile=bare.out.js');
  if (!readFileSync(path.join(folder, 'bare.out.js'), 'utf8').includes('registerClass(SWA)')) {
    throw new Error("A bundler drops the registration of SWA from import 'tfjs-swa/register'");
  }
});
