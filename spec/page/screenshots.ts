/**
 * Takes the README's pictures of the page: `npx tsx spec/page/screenshots.ts`. It knows nothing of
 * what is on them.
 */
import path from 'node:path';
import { startBrowser, stopBrowser, untilEpoch, untilPhase, withPage } from './browser.js';

const folder = path.join(import.meta.dirname, '../../examples/page/screenshots');
const RUN =
  'backend=wasm&epochs=30&start=10&images=4000&tests=10000&grid=26&schedule=cyclic&every=2';

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
    await page.emulateMedia({ colorScheme: 'dark' });
    const plane = page.getByRole('region', { name: 'The error plane' });
    const { x, y, width, height } = (await plane.boundingBox())!;
    await page.screenshot({
      path: path.join(folder, 'plane.png'),
      fullPage: true,
      clip: { x: x - 16, y: y - 16, width: width + 32, height: height + 32 },
    });
  });
} finally {
  await stopBrowser();
}
