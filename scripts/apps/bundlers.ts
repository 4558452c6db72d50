/**
 * Uses the packed package as an app in a browser does, in headless Chromium: in a page and in a
 * module worker, bundled by esbuild, Vite and webpack; in a page with an import map; and in
 * examples/vite_page.
 */
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { launchChromium } from '../browsers/chromium.js';
import { serve } from '../browsers/serve.js';
import { bin, inApp, root, versionsHere, type App } from './app.js';
import { browserProgram } from './program.js';

/** Installed in the app alone, so that `npm ci` stays quick; Vite's version is the example's. */
const WEBPACK = '5.112.2';

const EXAMPLE = path.join(root, 'examples', 'vite_page');
const example = JSON.parse(readFileSync(path.join(EXAMPLE, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

function installAll(app: App): void {
  const tfjs = ['core', 'layers', 'backend-cpu', 'backend-webgl'];
  app.install({
    ...example.dependencies,
    ...example.devDependencies,
    ...versionsHere(...tfjs.map((name) => `@tensorflow/tfjs-${name}`)),
    webpack: WEBPACK,
  });
}

/** A page whose `outcome` is that of the program in it and in a worker. */
function writePage({ write }: App): void {
  const script = '<script type="module" src="./main.js"></script>';
  write('web/index.html', `<!doctype html><link rel="icon" href="data:," />${script}\n`);
  write('web/program.js', browserProgram());
  write(
    'web/worker.js',
    `import { train } from './program.js';
train().then(() => postMessage('done'), (error) => postMessage('in a worker: ' + error));
`,
  );
  write(
    'web/main.js',
    `import { train } from './program.js';
const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
const inWorker = new Promise((resolve, reject) => {
  worker.onmessage = ({ data }) => (data === 'done' ? resolve() : reject(new Error(data)));
  worker.onerror = ({ message }) => reject(new Error('in a worker: ' + message));
});
window.outcome = Promise.all([train(), inWorker]).then(() => 'done');
`,
  );
}

/** Each writes the page's files to the folder `to`. */
const BUNDLERS: Record<string, (app: App, to: string) => void> = {
  esbuild({ folder, run }, to) {
    const options = ['--bundle', '--minify', '--format=esm', '--log-level=error', `--outdir=${to}`];
    run('esbuild', bin('esbuild'), 'web/main.js', 'web/worker.js', ...options);
    cpSync(path.join(folder, 'web/index.html'), path.join(folder, to, 'index.html'));
  },
  vite({ folder, run }, to) {
    run(
      'Vite',
      viteIn(folder),
      'build',
      'web',
      `--outDir=../${to}`,
      '--base=./',
      '--logLevel=error',
    );
  },
  webpack({ folder, write, run }, to) {
    const config = `{
  mode: 'production',
  performance: { hints: false },
  entry: './web/main.js',
  output: { path: path.resolve('${to}'), filename: 'main.js' },
}`;
    write(
      'webpack.mjs',
      `import path from 'node:path';
import webpack from 'webpack';
webpack(${config}, (error, stats) => {
  if (!error && !stats.hasErrors() && !stats.hasWarnings()) return;
  console.error(error ?? stats.toString('errors-warnings'));
  process.exit(1);
});
`,
    );
    run('webpack', process.execPath, 'webpack.mjs');
    cpSync(path.join(folder, 'web/index.html'), path.join(folder, to, 'index.html'));
  },
};

const viteIn = (folder: string): string => path.join(folder, 'node_modules', '.bin', 'vite');

/** An entry of `exports` in package.json; what is no module has no `import`. */
interface Door {
  import?: { default: string };
}

/** No bundler, but the ES modules as they lie in node_modules. */
function writeImportMap({ folder, write }: App): void {
  const manifest = readFileSync(path.join(folder, 'node_modules/tfjs-swa/package.json'), 'utf8');
  const { exports } = JSON.parse(manifest) as { exports: Record<string, Door> };
  const doors = Object.entries(exports).filter(([, door]) => door.import);
  const tfjs = (name: string, file: string) => [
    `@tensorflow/tfjs-${name}`,
    `/node_modules/@tensorflow/tfjs-${name}/dist/tf-${file}.fesm.min.js`,
  ];
  const imports = Object.fromEntries([
    ...['core', 'layers', 'backend-webgl'].map((name) => tfjs(name, name)),
    ...doors.map(([door, { import: esm }]) => [
      path.posix.join('tfjs-swa', door),
      path.posix.join('/node_modules/tfjs-swa', esm!.default),
    ]),
  ]) as Record<string, string>;
  write('map/program.js', browserProgram('webgl'));
  write(
    'map/index.html',
    `<!doctype html>
<link rel="icon" href="data:," />
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
  import { train } from './program.js';
  window.outcome = train().then(() => 'done');
</script>
`,
  );
}

/** Fails if a script that is made for a browser imports from Node. */
function checkScripts(folder: string): void {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const scripts = files.filter((file) => file.endsWith('.js'));
  if (scripts.length === 0) throw new Error(`No script in ${folder}`);
  for (const file of scripts) {
    const text = readFileSync(path.join(folder, file), 'utf8');
    if (/["'`]node:/.test(text)) throw new Error(`${file} imports from Node`);
  }
}

/** Opens a page and waits for the value of an expression in it, or for an error. */
async function open(browser: Browser, url: string, expression: string): Promise<unknown> {
  const page = await browser.newPage();
  try {
    const failed = new Promise<never>((_, reject) => {
      page.on('pageerror', reject);
      page.on('requestfailed', (request) => reject(new Error(`${request.url()} fails`)));
      page.on('response', (response) => {
        if (!response.ok()) reject(new Error(`${response.url()}: ${response.status()}`));
      });
    });
    const told = async () => {
      await page.goto(url);
      await page.waitForFunction(expression, null, { timeout: 120_000 });
      return page.evaluate(expression);
    };
    return await Promise.race([told(), failed]);
  } finally {
    await page.close();
  }
}

await inApp(async (app) => {
  installAll(app);

  writePage(app);
  for (const [name, bundle] of Object.entries(BUNDLERS)) {
    bundle(app, `built/${name}`);
    checkScripts(path.join(app.folder, 'built', name));
  }
  writeImportMap(app);
  cpSync(EXAMPLE, path.join(app.folder, 'vite_page'), { recursive: true });
  app.run(
    'Vite, examples/vite_page',
    viteIn(app.folder),
    'build',
    'vite_page',
    '--base=./',
    '--logLevel=error',
  );

  const server = await serve(app.folder);
  const browser = await launchChromium();
  try {
    const at = (folder: string) => `${server.address}${folder}/`;
    for (const folder of [...Object.keys(BUNDLERS).map((name) => `built/${name}`), 'map']) {
      console.log(`- Chromium, ${folder}`);
      const outcome = await open(browser, at(folder), 'window.outcome');
      if (outcome !== 'done') throw new Error(`${folder}: ${String(outcome)}`);
    }

    console.log('- Chromium, examples/vite_page');
    const errors = `(() => {
  const texts = [...document.querySelectorAll('output')].map(({ textContent }) => textContent);
  return texts[1].startsWith('mean') && texts.map((text) => Number(text.split(' ').at(-1)));
})()`;
    const [last, averages] = (await open(browser, at('vite_page/dist'), errors)) as number[];
    console.log(`  mean square error of the last weights ${last}, of the averages ${averages}`);
    if (!(averages! < last!)) throw new Error('The averages are no better');
  } finally {
    await browser.close();
    await server.close();
  }
});
