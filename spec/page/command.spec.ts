import { assert } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(import.meta.dirname, '../..');
const COMMAND = ['--import', 'tsx', 'examples/page/main.ts'];

describe('npm run page', function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const run = (...args: string[]) =>
    spawnSync(process.execPath, [...COMMAND, ...args], { cwd: root, encoding: 'utf8' });

  it('--build writes static files, and only these', () => {
    const { status, stdout } = run('--build', '--out', path.join(folder, 'site'));
    assert.equal(status, 0);
    assert.match(stdout, /any web server can serve it/);
    assert.sameMembers(readdirSync(path.join(folder, 'site')), [
      'images.bin',
      'index.html',
      'page.css',
      'page.js',
      'tfjs-backend-wasm.wasm',
      'tfjs-backend-wasm-simd.wasm',
      'tfjs-backend-wasm-threaded-simd.wasm',
      'worker.js',
      'worker.js.LEGAL.txt',
    ]);
  });

  it('serves the page at the address that it prints', async () => {
    const server = spawn(process.execPath, [...COMMAND, '--port', '0', '--out', folder], {
      cwd: root,
    });
    try {
      const address = await new Promise<string>((resolve, reject) => {
        let text = '';
        server.stdout.on('data', (more) => {
          text += String(more);
          const found = /http:\/\/localhost:\d+\//.exec(text);
          if (found) resolve(found[0]);
        });
        server.once('exit', () => reject(new Error(`It ended: ${text}`)));
      });
      const page = await fetch(address);
      assert.match(await page.text(), /<title>Stochastic Weight Averaging, live/);
      assert.match(page.headers.get('content-security-policy')!, /default-src 'self'/);
      const script = await fetch(`${address}page.js`);
      assert.match(script.headers.get('content-type')!, /^text\/javascript/);
      for (const name of ['none.js', '..%2fpackage.json', '%', '%00']) {
        assert.equal((await fetch(address + name)).status, 404, name);
      }
    } finally {
      server.kill();
    }
  });

  it('says what is wrong with its options', () => {
    for (const [args, message] of [
      [['--port', 'x'], /Invalid port: x \(expected a whole number from 0 to 65535\)/],
      [['--bild'], /Unknown option '--bild'/],
    ] as const) {
      const { status, stderr } = run(...args);
      assert.equal(status, 2);
      assert.match(stderr, message);
    }
  });

  it('removes nothing that it did not write', () => {
    writeFileSync(path.join(folder, 'mine.txt'), 'mine');
    const { status } = run('--build', '--out', folder);
    assert.equal(status, 0);
    assert.include(readdirSync(folder), 'mine.txt');
  });
});
