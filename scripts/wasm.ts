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

const module = assembler.parseWat('average.wat', source, { simd: true });
module.resolveNames();
const bytes = module.toBinary({}).buffer;
module.destroy();
if (!WebAssembly.validate(bytes.slice())) throw new Error('average.wat is not valid');

writeFileSync(
  path.join(kernels, 'average_wasm.ts'),
  `/** average.wat, assembled by scripts/wasm.ts, in base64: do not edit. */
export const MODULE =
  '${Buffer.from(bytes).toString('base64')}';
`,
);
