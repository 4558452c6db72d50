/**
 * Assembles the kernels of the wasm backend into modules of TypeScript beside them, which git ignores;
 * npm runs it after `npm ci` and before a package is made (`prepare`).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import wabt from 'wabt';

const lib = path.join(path.dirname(import.meta.dirname), 'lib');
const assembler = await wabt();

/** A text of WebAssembly as a module, in base64. */
function assemble(name: string, source: string): string {
  const module = assembler.parseWat(name, source, { simd: true, threads: true });
  module.resolveNames();
  const bytes = module.toBinary({}).buffer;
  module.destroy();
  if (!WebAssembly.validate(bytes.slice())) throw new Error(`${name} is not valid`);
  return Buffer.from(bytes).toString('base64');
}

/** Writes the constants, in base64, beside the file that they are made of. */
function write(file: string, constants: Record<string, string>): void {
  const { dir, base, name } = path.parse(file);
  const lines = Object.entries(constants).map(
    ([constant, base64]) => `export const ${constant} =\n  '${base64}';\n`,
  );
  const header = `/** ${base}, assembled by scripts/wasm.ts, in base64: do not edit. */\n`;
  writeFileSync(path.join(lib, dir, `${name}_wasm.ts`), header + lines.join(''));
}

const sourceOf = (file: string): string => readFileSync(path.join(lib, file), 'utf8');

const average = 'average/kernels/average.wat';
write(average, { MODULE: assemble(average, sourceOf(average)) });

const moment = 'swag/kernels/second_moment.wat';
const source = sourceOf(moment);
write(moment, {
  MODULE: assemble(moment, source),
  // Where threads share the memory, who imports it has to say so.
  SHARED_MODULE: assemble(moment, source.replace('(memory 0)', '(memory 0 65536 shared)')),
});
