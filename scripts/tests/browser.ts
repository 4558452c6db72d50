/**
 * Runs specs in a browser without a window, on one of tfjs's backends there, and says what mocha
 * says in Node.
 *
 *   npx tsx scripts/tests/browser.ts chromium|firefox|webkit cpu|wasm|webgl|webgpu [SPEC...]
 *       [--grep PATTERN]
 */
import { build } from 'esbuild';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { serve } from '../browsers/serve.js';
import { BROWSERS, type BrowserName } from '../browsers/tab.js';
import { behaviourSpecs, root, specsIn } from './suites.js';

/** What the page has to tell, see spec/support/browser.html. */
interface News {
  lines: string[];
  broken: string | null;
  failures: number | null;
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { grep: { type: 'string', default: '' } },
});
const [name = 'chromium', backend = 'cpu', ...asked] = positionals;
if (!(name in BROWSERS)) throw new Error(`Invalid browser: ${name}`);
const specs = asked.length > 0 ? asked : [...behaviourSpecs(), ...specsIn('spec/browser')];

/** Runs the specs of a script, and returns how many fail. */
async function run(script: string): Promise<number> {
  const server = await serve(root);
  try {
    const tab = await BROWSERS[name as BrowserName].open();
    try {
      const query = new URLSearchParams({ backend, script, grep: values.grep });
      await tab.goto(`${server.address}spec/support/browser.html?${query}`);
      for (;;) {
        const { lines, broken, failures } = (await tab.evaluate('takeNews()')) as News;
        for (const line of lines) console.log(line);
        if (broken !== null) throw new Error(broken);
        if (failures !== null) return failures;
        await pause(250);
      }
    } finally {
      await tab.close();
    }
  } finally {
    await server.close();
  }
}

// One folder below spec, as support.ts is, for the addresses of what it reads.
const script = `spec/.tmp/browser-${process.pid}.js`;
try {
  await build({
    absWorkingDir: root,
    stdin: {
      // What makes the page ready for the specs stands before them.
      contents: ['spec/support/browser.ts', ...specs].map((f) => `import './${f}';`).join('\n'),
      resolveDir: root,
    },
    outfile: script,
    bundle: true,
    format: 'esm',
    sourcemap: 'inline',
    alias: { 'node:fs': path.join(root, 'spec/support/browser_fs.ts') },
    ignoreAnnotations: true, // package.json says of the package, not of specs, what has no effect
    logLevel: 'warning',
  });
  process.exitCode = Math.min(await run(`/${script}`), 1);
} finally {
  rmSync(path.join(root, script), { force: true });
}
