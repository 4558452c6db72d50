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
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { launchChromium } from '../scripts/browsers/chromium.js';
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

const { outputFiles } = await build({
  entryPoints: [path.join(import.meta.dirname, 'page.ts')],
  bundle: true,
  format: 'esm',
  write: false,
  logLevel: 'error',
  // package.json says which files of dist have side effects; here they are bundled from lib.
  ignoreAnnotations: true,
});
// WebGPU wants a secure context, which this address is.
const server = createServer((request, response) => {
  const script = request.url === '/page.js';
  response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' });
  response.end(
    script
      ? outputFiles[0]!.contents
      : '<!doctype html><script type="module" src="/page.js"></script>',
  );
}).listen(0, '127.0.0.1');
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
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
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
  server.close();
}
