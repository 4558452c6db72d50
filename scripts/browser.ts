/**
 * Runs the specs of behaviour, and those of what only a browser has, in headless Chromium on one of
 * tfjs's backends there, and says what mocha says in Node.
 *
 *   npx tsx scripts/browser.ts cpu|wasm|webgl|webgpu [--grep PATTERN]
 */
import { build } from 'esbuild';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { behaviourSpecs, browserSpecs, root } from './behaviour.js';
import { launchChromium } from './chromium.js';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { grep: { type: 'string', default: '' } },
});
const [backend = 'cpu'] = positionals;

/** The specs as one script, after what makes the page ready for them. */
async function bundle(): Promise<string> {
  const files = ['spec/support/browser.ts', ...behaviourSpecs(), ...browserSpecs()];
  const { outputFiles } = await build({
    stdin: { contents: files.map((f) => `import './${f}';`).join('\n'), resolveDir: root },
    bundle: true,
    format: 'esm',
    sourcemap: 'inline',
    write: false,
    alias: { 'node:fs': path.join(root, 'spec/support/browser_fs.ts') },
    ignoreAnnotations: true, // package.json says of the package, not of specs, what has no effect
    logLevel: 'warning',
  });
  return outputFiles[0]!.text;
}

const script = await bundle();
const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="mocha"></div>
<script src="/mocha.js"></script><script type="module" src="/spec/bundle.js"></script>`;
const modules = path.join(root, 'node_modules');

/** What is served: its media type, and its text or the file that holds it. */
function answer(url: string): [string, string | Promise<Buffer>] | undefined {
  const name = path.posix.basename(url);
  if (url === '/') return ['text/html', page];
  if (url === '/spec/bundle.js') return ['text/javascript', script];
  if (url === '/mocha.js') return ['text/javascript', readFile(`${modules}/mocha/mocha.js`)];
  if (url === `/spec/golden/${name}` || url === `/spec/checkpoints/${name}`) {
    return ['application/json', readFile(path.join(root, url))];
  }
  if (url === `/wasm/${name}`) {
    const folder = `${modules}/@tensorflow/tfjs-backend-wasm/dist`;
    return ['application/wasm', readFile(path.join(folder, name))];
  }
  return undefined;
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url!, 'http://localhost');
  const [type, content] = answer(pathname) ?? ['text/plain', Promise.reject(new Error('unknown'))];
  Promise.resolve(content).then(
    (body) => response.writeHead(200, { 'content-type': type }).end(body),
    () => response.writeHead(404).end(),
  );
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const { port } = server.address() as AddressInfo;

const browser = await launchChromium();
const tab = await browser.newPage();
const broken = new Promise<never>((_, reject) => {
  tab.on('crash', () => reject(new Error('the page crashed')));
  tab.on('pageerror', reject);
});
await tab.exposeFunction('print', (line: string) => console.log(line));
const query = new URLSearchParams({ backend, grep: values.grep });
const run = async (): Promise<number> => {
  await tab.goto(`http://127.0.0.1:${port}/?${query}`);
  return tab.evaluate(() => new Promise<number>((resolve) => void mocha.run(resolve)));
};
try {
  process.exitCode = Math.min(await Promise.race([run(), broken]), 1);
} finally {
  await browser.close();
  server.close();
}
