/** The workers of examples/tabs train in Chromium, and the page merges what they made. */
import { assert } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { loadImages } from '../../examples/demo/read_images.js';
import { buildPage } from '../../examples/page/build.js';
import { serveFolder } from '../../examples/page/serve.js';
import { LocalRun, type Task, type WorkerState } from '../../examples/parallel/run.js';
import { launchChromium } from '../../scripts/browsers/chromium.js';
import { assertClose } from '../support/support.js';

describe('examples/tabs', function () {
  this.timeout(240_000);
  let browser: Browser;
  let server: Server;
  let folder: string;
  let address: string;

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-tabs-'));
    await buildPage(folder, path.join(import.meta.dirname, '../../examples/tabs'));
    ({ server, address } = await serveFolder(folder, 0));
    browser = await launchChromium();
  });
  after(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true });
  });

  /** Opens the page and has it train; returns it when all is done. */
  async function trained(
    query: string,
    prepare: (page: Page) => Promise<unknown> = async () => {},
  ): Promise<Page> {
    const page = await browser.newPage();
    page.setDefaultTimeout(200_000);
    await prepare(page);
    await page.goto(`${address}?${query}`);
    await page.getByRole('button', { name: 'Train' }).click();
    await page.locator('body[data-phase=done], body[data-phase=failed]').waitFor();
    return page;
  }

  it('merges what its workers make, as the same runs in Node do', async () => {
    const page = await trained('workers=3&epochs=1&start=1&images=320');
    assert.equal(await page.locator('output').textContent(), 'Merged 3 of 3.');
    const lines = await page.locator('li').allTextContents();
    assert.match(lines[0]!, /^start: epoch 1 of 1, loss \d\.\d{3}$/);
    assert.lengthOf(
      lines.filter((line) => /^worker \d: epoch 1 of 1, loss /.test(line)),
      3,
    );
    assert.match(lines.at(-1)!, /^merged: test error \d\d\.\d\d %$/);

    // The same on this machine's backend, and the mean by hand.
    const { train } = await loadImages();
    const run = async (id: string, order: number, start: WorkerState['model'] | null) => {
      const task: Task = { id, order, seed: 1, part: [0, 320], epochs: 1 };
      const local = new LocalRun(task, train, start);
      await local.advance();
      const state = await local.state();
      local.dispose();
      return state;
    };
    const { model } = await run('start', 0, null);
    const averages: ArrayLike<number>[][] = [];
    for (const order of [1, 2, 3]) {
      const { swa } = await run('worker', order, model);
      averages.push(Object.values(swa.swa_state).map(({ swa_buffer }) => swa_buffer.values));
    }
    const merged = await page.evaluate(() =>
      window.merged!.average!.map(({ values }) => Array.from(values)),
    );
    assert.lengthOf(merged, averages[0]!.length);
    merged.forEach((values, i) => {
      const mean = values.map((_, j) => averages.reduce((sum, list) => sum + list[i]![j]!, 0) / 3);
      assertClose(values, mean, 1e-3, `weight ${i}`);
    });
  });

  it('leaves out a worker that fails, by name', async () => {
    // Of four, the start's first, the third cannot fetch its script.
    let scripts = 0;
    const page = await trained('workers=3&epochs=1&start=1&images=128', (page) =>
      page.route('**/worker.js', (route) => (++scripts === 3 ? route.abort() : route.continue())),
    );
    const lines = await page.locator('li').allTextContents();
    assert.equal(await page.locator('output').textContent(), 'Merged 2 of 3.');
    assert.match(lines.at(-1)!, /^left out worker \d: its script does not load$/);
  });
});
