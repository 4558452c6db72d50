/**
 * `npm run bench:browser`: the averages on WebGPU and WebGL, in Chromium.
 *
 *   --quick         few rounds and a model of a sixteenth of the size
 *   --backend NAME  webgpu or webgl; default: both
 *   --rounds N      rounds of each comparison; default: 15
 *   --out FOLDER    where the JSON file goes; default: reports/bench
 *
 * SwiftShader does the work of a GPU, as in the specs.
 */
import { build } from 'esbuild';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { launchChromium } from '../scripts/browsers/chromium.js';
import { serve } from '../scripts/browsers/serve.js';
import { machine, machineText } from './machine.js';
import { table, type Row } from './measure.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    backend: { type: 'string', multiple: true, default: ['webgpu', 'webgl'] },
    rounds: { type: 'string' },
    out: { type: 'string', default: path.join('reports', 'bench') },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 3 : 15));
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`Invalid --rounds: ${values.rounds}`);

const folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-bench-'));
await build({
  entryPoints: [path.join(import.meta.dirname, 'page.ts')],
  outdir: folder,
  bundle: true,
  format: 'esm',
  logLevel: 'error',
  // package.json says which files of dist have side effects; here they are bundled from lib.
  ignoreAnnotations: true,
});
writeFileSync(
  path.join(folder, 'index.html'),
  '<!doctype html><link rel="icon" href="data:," /><script type="module" src="page.js"></script>',
);
const server = await serve(folder);
const browser = await launchChromium();
try {
  const before = machine();
  const version = browser.version();
  console.log(
    `Chromium ${version}, SwiftShader, ${machineText(before)}; medians of ${rounds} rounds\n`,
  );
  const rows: Row[] = [];
  for (const backend of values.backend) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(server.address);
    await page.waitForFunction('window.bench');
    const call = `bench(${JSON.stringify(backend)}, ${rounds}, ${values.quick})`;
    rows.push(...(await page.evaluate<Row[]>(call)));
    await page.close();
  }
  console.log(table(rows));
  mkdirSync(values.out, { recursive: true });
  const file = path.join(values.out, 'browser.json');
  const results = { machine: before, chromium: version, loadAfter: machine().load, rounds, rows };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  console.log(`\n${file}; load at the end ${results.loadAfter}`);
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
