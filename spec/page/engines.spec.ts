import { assert } from 'chai';
import type { Tab } from '../../scripts/browsers/tab.js';
import { startBrowser, stopBrowser, until, withTab } from './browser.js';

/** On WebAssembly: the Firefox and the WebKit of the specs have no WebGL. */
const RUN = 'backend=wasm&epochs=16&start=8&images=1000&tests=300&grid=3';

const done = `document.body.dataset.phase === 'done'`;
const said = (text: string) => `document.getElementById('said').textContent.includes('${text}')`;
/** What the three pictures say of the run. */
const pictures = `[...document.querySelectorAll('[role=img]')].map((p) => p.getAttribute('aria-label'))`;

const reached = (epoch: number) =>
  `Number(/Epoch (\\d+) of/.exec(document.getElementById('status').textContent)?.[1]) >= ${epoch}`;

async function picturesOf(tab: Tab): Promise<string[]> {
  await until(tab, done);
  return (await tab.evaluate(pictures)) as string[];
}

describe('page: in every engine', function () {
  this.timeout(300_000);
  before(startBrowser);
  after(stopBrowser);

  for (const browser of ['chromium', 'firefox', 'webkit'] as const) {
    it(`${browser}: trains, and when it is reloaded ends where an unbroken run ends`, async () => {
      let unbroken: string[] = [];
      await withTab(browser, RUN, async (tab) => {
        unbroken = await picturesOf(tab);
        assert.isTrue(await tab.evaluate(said('It trains on WebAssembly.')));
      });
      assert.isAtLeast(unbroken.length, 3);
      assert.match(unbroken.join(' '), /After epoch 16 of 16 .*running average \d+\.\d\s%/);

      await withTab(browser, RUN, async (tab) => {
        await until(tab, reached(2));
        await tab.goto(String(await tab.evaluate('location.href')));
        await until(tab, said('A run was cut short after epoch'));
        await tab.evaluate(
          `[...document.querySelectorAll('button')].find((b) => b.textContent === 'Go on').click()`,
        );
        assert.deepEqual(await picturesOf(tab), unbroken);
        assert.isTrue(await tab.evaluate(said('It goes on after epoch')));
      });
    });
  }
});
