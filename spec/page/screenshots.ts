/**
 * Takes the README's pictures of the page: `npx tsx spec/page/screenshots.ts`. It knows nothing of
 * what is on them.
 */
import path from 'node:path';
import type { Page } from 'playwright-core';
import { startBrowser, stopBrowser, untilEpoch, untilPhase, withPage } from './browser.js';

const folder = path.join(import.meta.dirname, '../../examples/page/screenshots');
const RUN =
  'backend=wasm&epochs=30&start=10&images=3500&tests=10000&grid=26&schedule=cyclic&every=2';

await startBrowser();
try {
  await withPage(RUN, async ({ page }) => {
    await page.getByText('Settings, for the next start').click();
    await untilEpoch(page, 24);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('status').filter({ hasText: 'Paused.' }).waitFor();
    await page.screenshot({ path: path.join(folder, 'training.png') });
    await page.getByRole('button', { name: 'Go on' }).click();
    await untilPhase(page, 'done');
    await page.getByLabel('Averaged over the last').fill('10');
    await page.getByLabel('Averaged over the last').blur();
    await take(page, 'window.png', 'Where averaging starts', 'Ten test images');
    await page.getByLabel('Blended with').fill('45');
    await page.getByLabel('Blended with').blur();
    await take(page, 'uncertainty.png', 'How sure it is');
    await page.emulateMedia({ colorScheme: 'dark' });
    await take(page, 'plane.png', 'The error plane');
  });
} finally {
  await stopBrowser();
}

/** Takes a picture of some parts of the page, which lie below each other. */
async function take(page: Page, file: string, ...names: string[]): Promise<void> {
  await page.evaluate('scrollTo(0, 0)'); // boxes are told from where the window begins
  const boxes = await Promise.all(
    names.map(async (name) => (await page.getByRole('region', { name }).boundingBox())!),
  );
  const [x, y] = [boxes[0]!.x, boxes[0]!.y];
  const width = Math.max(...boxes.map((box) => box.width));
  const height = boxes.at(-1)!.y + boxes.at(-1)!.height - y;
  await page.screenshot({
    path: path.join(folder, file),
    fullPage: true,
    clip: { x: x - 16, y: y - 16, width: width + 32, height: height + 32 },
  });
}
