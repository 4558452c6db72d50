/**
 * Assembles lib/average/kernels/average.wat into a module of TypeScript beside it, average_wasm.ts, which
 * git ignores; npm runs it after `npm ci` and before a package is made (`prepare`).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import wabt from 'wabt';

const kernels = path.join(path.dirname(import.meta.dirname), 'lib', 'average', 'kernels');
const source = readFileSync(path.join(kernels, 'average.wat'), 'utf8');
const assembler = await wabt();

/** The bytes, of the module as it stands or with a memory that threads share. */
function assemble(text: string): string {
  const module = assembler.parseWat('average.wat', text, { simd: true, threads: true });
  try {
    module.resolveNames();
    const { buffer } = module.toBinary({});
    // Not by wabt, whose `validate` takes no features (1.0.39) and so knows no shared memory.
    if (!WebAssembly.validate(buffer.slice())) throw new Error('average.wat is not valid');
    return buffer.join(', ');
  } finally {
    module.destroy();
  }
}

const memory = '(memory 0)';
if (!source.includes(memory)) throw new Error(`average.wat does not import ${memory}`);
const shared = source.replace(memory, '(memory 0 65536 shared)');

writeFileSync(
  path.join(kernels, 'average_wasm.ts'),
  `/** average.wat, assembled by scripts/wasm.ts: do not edit. */

/** On a memory of one thread. */
export const MODULE = Uint8Array.of(${assemble(source)});

/** On a memory that threads share. */
export const SHARED_MODULE = Uint8Array.of(${assemble(shared)});
`,
);
