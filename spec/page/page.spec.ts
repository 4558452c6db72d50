import { assert } from 'chai';
import type { Page } from 'playwright-core';
import {
  assertAccessible,
  assertFits,
  downloaded,
  resultsOf,
  type Results,
  said,
  startBrowser,
  stopBrowser,
  tabTo,
  untilEpoch,
  untilPhase,
  untilSaid,
  withPage,
} from './browser.js';

/** A run that is over soon even where a processor stands in for the GPU. */
const TINY = 'epochs=4&start=1&images=128&tests=100&grid=3';
/** A run that on WebAssembly takes some seconds: there is a middle to do something in. */
const LONG = 'backend=wasm&epochs=16&start=8&images=1000&tests=300&grid=3';

/** Keeps the WebGPU device within a worker's reach. */
const KEEP_DEVICE = `
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...all) {
    return (self.keptDevice = await request.apply(this, all));
  };`;
const NO_WEBGPU = `Object.defineProperty(navigator, 'gpu', { value: undefined });`;
const NO_WEBGL = `OffscreenCanvas.prototype.getContext = () => null;`;
const NO_WASM = `
  WebAssembly.instantiate = WebAssembly.instantiateStreaming =
    () => Promise.reject(new Error('no WebAssembly'));`;

/** Keeps the WebGL context within a worker's reach. */
const KEEP_CONTEXT = `
  const context = OffscreenCanvas.prototype.getContext;
  OffscreenCanvas.prototype.getContext = function (...all) {
    return (self.keptContext = context.apply(this, all));
  };`;
const NO_STORAGE = `
  IDBFactory.prototype.open = () => {
    throw new DOMException('The user denied it', 'SecurityError');
  };`;

describe('page', function () {
  this.timeout(300_000);
  before(startBrowser);
  after(stopBrowser);

  it('trains on WebGPU with no further step, and shows what the run gives', async () => {
    await withPage(TINY, async ({ page, wrong }) => {
      await untilPhase(page, 'done');
      assert.equal(await page.locator('#running-on').textContent(), 'WebGPU');
      const [error, rate, plane] = await Promise.all(
        ['Test error by epoch', 'Learning rate by epoch', 'Test error on the plane'].map((name) =>
          page.getByRole('img', { name }).getAttribute('aria-label'),
        ),
      );
      assert.match(error!, /After epoch 4 of 4 .* \d+\.\d\s% .*running average \d+\.\d\s%/);
      assert.match(rate!, /0\.1000 now, after 4\.0 of 4 epochs; 3 of 3 values/);
      assert.match(plane!, /6 of 6 points/);
      const windows = page.locator('#windows .picture');
      assert.match(
        (await windows.getAttribute('aria-label'))!,
        /^Test error by the epochs that are averaged\. It is \d+\.\d\s% for the last weights and \d+/,
      );
      assert.equal(await windows.locator('.average path').count(), 4 + 1, 'with the legend');
      assert.equal(await windows.locator('.ring').count(), 1 + 1);
      assert.equal(await windows.locator('.rule').count(), 1, 'the chosen one');
      const entropy = page.locator('#uncertainty .picture');
      assert.match(
        (await entropy.getAttribute('aria-label'))!,
        /The entropy is \d\.\d\d nats without noise, \d\.\d\d at most and \d\.\d\d for noise alone/,
      );
      assert.equal(await entropy.locator('.average path').count(), 21 + 1);
      assert.equal(await page.locator('#sure .row').count(), 100);
      const curve = page.locator('.picture').first();
      assert.equal(await curve.locator('.weights circle').count(), 4 + 1, 'with the legend');
      assert.equal(await curve.locator('.average path').count(), 3 + 1);
      assert.isAtLeast(await page.locator('#plane rect[fill]').count(), 6);
      assert.equal(await page.locator('#ten li').count(), 10);
      assert.equal(
        await page
          .locator('#ten .what')
          .filter({ hasText: /\d+\s%/ })
          .count(),
        20,
      );
      await assertStill(page);
      ends.set(TINY, numbersOf(await resultsOf(page)));
      assert.deepEqual(wrong, []);
    });
  });

  for (const [backend, query] of [
    ['WebGPU', TINY],
    ['WebGL', `backend=webgl&${TINY}`],
    ['WebAssembly', LONG],
  ] as const) {
    it(`on ${backend}, reloaded in the middle, ends where an unbroken run ends`, async () => {
      const unbroken = await endOf(query);
      await withPage(query, async ({ page, wrong }) => {
        await untilEpoch(page, 2);
        await page.reload();
        await untilSaid(page, /A run was cut short after epoch \d+ of/);
        await page.getByRole('button', { name: 'Go on' }).click();
        await untilSaid(page, new RegExp(`It goes on after epoch \\d+ on ${backend}`));
        assert.deepEqual(numbersOf(await resultsOf(page)), unbroken);
        assert.deepEqual(wrong, []);
        // A run that is over leaves nothing to go on with.
        await page.reload();
        await untilSaid(page, /It trains on/);
      });
    });
  }

  it('draws and answers in the middle of an epoch, as the work is not its own', async () => {
    await withPage(LONG, async ({ page }) => {
      // 16 steps an epoch: a page that is frozen by training would show whole epochs.
      await page.waitForFunction(() => {
        const { value } = document.getElementById('training') as HTMLProgressElement;
        return value % 16 !== 0;
      });
      assert.lengthOf(page.workers(), 1);
    });
  });

  it('is used by keyboard alone', async () => {
    await withPage(`${LONG}&epochs=20`, async ({ page }) => {
      await untilEpoch(page, 1);
      await tabTo(page, 'Pause');
      await page.keyboard.press('Enter');
      await page.getByRole('status').filter({ hasText: 'Paused.' }).waitFor();
      await tabTo(page, 'Learning rate');
      await page.keyboard.type('Cyc');
      for (const [label, text] of [
        ['Averaging starts after epoch', '2'],
        ['Epochs between averages', '2'],
        ['Noise of the labels (%)', '0'],
        ['Epochs', '6'],
        ['Training images', '128'],
      ] as const) {
        await tabTo(page, label);
        await page.keyboard.press('Control+A');
        await page.keyboard.type(text);
      }
      await tabTo(page, 'Start afresh');
      await page.keyboard.press('Space');
      const { settings, curve } = await resultsOf(page);
      assert.deepInclude(settings, { schedule: 'cyclic', start: 2, every: 2, noise: 0 });
      assert.deepInclude(settings, { epochs: 6, images: 128 });
      const averaged = curve.filter(({ average }) => average).map(({ epoch }) => epoch);
      assert.deepEqual(averaged, [4, 6]);
      await tabTo(page, 'Reset');
      await page.keyboard.press('Enter');
      await untilPhase(page, 'idle');
      assert.equal(await page.getByRole('status').textContent(), 'Nothing runs.');
    });
  });

  it('after training the slider picks a window, by keyboard and in words; nothing moves', async () => {
    const slider = 'Averaged over the last … epochs';
    const narrow = { viewport: { width: 360, height: 800 } };
    await withPage(
      LONG,
      async ({ page }) => {
        const value = () => page.getByLabel(slider).getAttribute('aria-valuetext');
        await untilEpoch(page, 1);
        assert.isTrue(await page.getByLabel(slider).isDisabled(), 'until one is chosen');
        assert.match(await textOf(page, '#window-says'), /^Once the net is trained, /);
        const { windows, curve, tenImages } = await resultsOf(page);
        const { chosen, all } = windows;
        const likelihoods = all.map(({ heldOut }) => heldOut.nll);
        assert.equal(chosen, likelihoods.indexOf(Math.min(...likelihoods)) + 1);
        assert.match(
          await textOf(page, '#status'),
          new RegExp(
            `^Done\\. The last ${chosen} epochs averaged: ${errorOf(all[chosen - 1]!)} errors\\.`,
          ),
        );

        await tabTo(page, slider);
        assert.equal(
          await value(),
          `last ${chosen} epochs: ${errorOf(all[chosen - 1]!)} errors, chosen`,
        );
        const places = await placesOf(page);
        const tell = new Set<string>();
        await page.keyboard.press('Home');
        for (const { epochs, error, tenImages: ten } of all) {
          if (epochs > 1) await page.keyboard.press('ArrowRight');
          const name = epochs === 1 ? 'last epoch' : `last ${epochs} epochs`;
          const isChosen = epochs === chosen;
          assert.equal(
            await value(),
            `${name}: ${errorOf({ error })} errors${isChosen ? ', chosen' : ''}`,
          );
          const right = (list: readonly { class: string }[]) =>
            list.filter((guess, i) => guess.class === tenImages[i]!.class).length;
          const says = await textOf(page, '#window-says');
          assert.include(
            says,
            `The average over the ${name} calls ${errorOf({ error })} of the test images wrongly and ` +
              `${right(ten)} of the ten below rightly; the last weights ${errorOf(curve.at(-1)!)} and ` +
              `${right(tenImages.map(({ weights }) => weights))}.`,
          );
          assert.match(
            says,
            isChosen
              ? /Chosen: its likelihood/
              : new RegExp(`that over the last ${chosen} epochs\\.$`),
          );
          const guesses = await page.locator('#ten .what').allTextContents();
          assert.lengthOf(guesses, 20);
          ten.forEach((guess, i) => {
            assert.include(
              guesses[2 * i + 1],
              `${guess.class} ${Math.round(100 * guess.probability)}`,
            );
          });
          assert.include(await textOf(page, '#ten'), name);
          assert.deepEqual(await placesOf(page), places, name);
          tell.add(says);
        }
        assert.lengthOf([...tell], 16);
        assert.equal(await page.locator('#window-says').getAttribute('aria-live'), 'polite');
        await assertStill(page);
        for (const text of ['✓ bag 9\u00a0%', '✗ wrong: ankle boot 100\u00a0%']) {
          await page.evaluate((text) => {
            document.querySelectorAll('#ten .what').forEach((what) => (what.textContent = text));
          }, text);
          assert.deepEqual(await placesOf(page), places, text);
        }
      },
      narrow,
    );
  });

  it('after training the other slider blends in noise, and the uncertainty grows', async () => {
    const slider = 'Blended with … % noise';
    await withPage(
      LONG,
      async ({ page }) => {
        await untilEpoch(page, 1);
        assert.isTrue(await page.getByLabel(slider).isDisabled(), 'until there is any');
        assert.match(await textOf(page, '#noise-says'), /^Once the net is trained, 30 samples/);
        const { noise, mean, std } = (await resultsOf(page)).uncertainty!;
        const entropies = mean.map((rows) => average(rows.map(entropyOf)));
        assert.isAbove(entropies[10]! - entropies[0]!, 0.2, 'nats, at half noise');
        const right = mean.map((rows) => rows.filter((row, i) => likeliest(row) === i).length);
        const spread = std.map((rows, share) =>
          average(rows.map((row, i) => 100 * row[likeliest(mean[share]![i]!)]!)),
        );

        await tabTo(page, slider);
        const places = await placesOf(page);
        const pictures = new Set<string>();
        for (const [share, percent] of noise.entries()) {
          if (share > 0) await page.keyboard.press('ArrowRight');
          const entropy = entropies[share]!.toFixed(2);
          assert.equal(
            await page.getByLabel(slider).getAttribute('aria-valuetext'),
            `${percent}\u00a0% noise: entropy ${entropy} nats, ${right[share]} of ten right`,
          );
          const says = await textOf(page, '#noise-says');
          assert.include(
            says,
            `With ${percent}\u00a0% noise, ${right[share]} of the ten are called`,
          );
          assert.include(says, `interval is ±\u00a0${errorOf({ error: spread[share]! })}`);
          if (share > 0) assert.include(says, `(without ${entropies[0]!.toFixed(2)})`);
          assert.deepEqual(await placesOf(page), places, `${percent} %`);
          pictures.add(await page.locator('#sure canvas').first().evaluate(pixelsOf));
        }
        assert.equal(pictures.size, 21, 'the images follow');
        assert.equal(await page.locator('#noise-says').getAttribute('aria-live'), 'polite');

        await page.keyboard.press('Home');
        await page.keyboard.press('ArrowRight');
        const bars = await page.locator('#sure .bar').evaluateAll((bars) =>
          bars.map((bar) => {
            const { width } = bar.getBoundingClientRect();
            const [whole, line] = ['::before', '::after'].map((part) =>
              getComputedStyle(bar, part),
            );
            return [whole!.width, line!.left, line!.width].map((text) => parseFloat(text) / width);
          }),
        );
        assert.lengthOf(bars, 100);
        bars.forEach((bar, i) => {
          const [image, label] = [Math.floor(i / 10), i % 10];
          const [middle, half] = [mean[1]![image]![label]!, std[1]![image]![label]!];
          const [low, high] = [Math.max(0, middle - half), Math.min(1, middle + half)];
          // Browsers round to a sixty-fourth of a pixel.
          [middle, low, high - low].forEach((value, k) => assert.closeTo(bar[k]!, value, 1e-3));
        });
        const label = await page.locator('#sure .bars').nth(3).getAttribute('aria-label');
        const first = likeliest(mean[1]![3]!);
        assert.include(
          label,
          `${Math.round(100 * mean[1]![3]![first]!)} % ± ${Math.round(100 * std[1]![3]![first]!)}, `,
        );
        assert.lengthOf(label!.split(', '), 3);
      },
      { viewport: { width: 360, height: 800 } },
    );
  });

  it('says so where there is nothing to sample from', async () => {
    await withPage('backend=wasm&epochs=2&start=1&images=64&tests=100&grid=3', async ({ page }) => {
      const { uncertainty } = await resultsOf(page);
      assert.isNull(uncertainty);
      await untilSaid(page, /^There are no samples of the weights: of one step/);
      assert.isTrue(await page.getByLabel('Blended with … % noise').isDisabled());
    });
  });

  it('stands still while paused, and goes on to the same end', async () => {
    const unbroken = await endOf(LONG);
    await withPage(LONG, async ({ page }) => {
      await untilEpoch(page, 1);
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.getByRole('status').filter({ hasText: 'Paused.' }).waitFor();
      const bar = page.locator('#training');
      // The step that it was in may come to its end; then a run that does not stand still moves on.
      await bar.evaluate(
        (bar) =>
          new Promise<void>((resolve) => {
            let before = NaN;
            const look = setInterval(() => {
              const { value } = bar as HTMLProgressElement;
              if (value === before) {
                clearInterval(look);
                resolve();
              }
              before = value;
            }, 1000);
          }),
      );
      const [value, max] = await bar.evaluate((bar) => {
        const { value, max } = bar as HTMLProgressElement;
        return [value, max] as const;
      });
      assert.isBelow(value, max);
      await page.getByRole('button', { name: 'Go on' }).click();
      assert.deepEqual(numbersOf(await resultsOf(page)), unbroken);
    });
  });

  it('fits 360 and 1280 pixels in light and dark, and axe-core objects to nothing', async () => {
    const look = async (page: Page) => {
      await page.evaluate(() =>
        document.querySelectorAll('details').forEach((d) => (d.open = true)),
      );
      for (const width of [360, 1280]) {
        await page.setViewportSize({ width, height: 900 });
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme });
          const background = await page.evaluate(
            () => getComputedStyle(document.body).backgroundColor,
          );
          assert.equal(background === 'rgb(255, 255, 255)', colorScheme === 'light');
          await assertFits(page);
          await assertAccessible(page);
        }
      }
    };
    await withPage(`${LONG}&start=2`, async ({ page }) => {
      await untilEpoch(page, 4);
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.getByRole('button', { name: 'Go on' }).waitFor();
      await look(page);
      await page.getByRole('button', { name: 'Go on' }).click();
      await untilPhase(page, 'done');
      await look(page);
    });
  });

  it('labels and explains every control', async () => {
    await withPage(`backend=wasm&${TINY}`, async ({ page }) => {
      const controls = page.locator('form').locator('input, select');
      assert.equal(await controls.count(), 10);
      for (const control of await controls.all()) {
        const [labels, help] = await control.evaluate((element) => [
          (element as HTMLInputElement).labels!.length,
          document.getElementById(element.getAttribute('aria-describedby')!)!.textContent,
        ]);
        assert.equal(labels, 1);
        assert.match(help as string, /^[A-Z].{20,}\.$/);
      }
      assert.deepEqual(await repeatedIds(page), []);
    });
  });

  it('says what is wrong with settings, in the address and in the form', async () => {
    await withPage(`backend=wasm&${TINY}&noise=200&schedule=up`, async ({ page }) => {
      assert.deepEqual((await said(page)).slice(0, 2), [
        'Invalid schedule: up (expected one of decay, constant, cyclic); constant is used.',
        'Invalid noise: 200 (expected a whole number from 0 to 100); 20 is used.',
      ]);
      await untilPhase(page, 'done');
      await page.getByLabel('Averaging starts after epoch').fill('4');
      await page.getByRole('button', { name: 'Start afresh' }).click();
      const message = await page
        .getByLabel('Averaging starts after epoch')
        .evaluate((input) => (input as HTMLInputElement).validationMessage);
      assert.equal(
        message,
        'Averaging after epoch 4, every 1 epochs, takes no average in 4 epochs.',
      );
      await untilPhase(page, 'done');
    });
  });

  it('goes on without storage that is refused, and says so', async () => {
    await withPage(
      `backend=wasm&${TINY}`,
      async ({ page }) => {
        await untilPhase(page, 'done');
        const told = (await said(page)).filter((line) => line.includes('keeps no checkpoint'));
        assert.lengthOf(told, 1, 'once');
        assert.match(
          told[0]!,
          /The user denied it.*the run goes on, but a reload loses what it has learnt/,
        );
      },
      { prelude: NO_STORAGE },
    );
  });

  it('goes on when the storage is full, and says so', async () => {
    await withPage(LONG, async ({ page }) => {
      const devtools = await page.context().newCDPSession(page);
      const { origin } = new URL(page.url());
      await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1000 });
      await untilSaid(page, /keeps no checkpoint \(.*[Qq]uota/);
      await untilPhase(page, 'done');
    });
  });

  it('goes on with WebGL from the last checkpoint when the WebGPU device is destroyed', async () => {
    await withPage(
      TINY,
      async ({ page }) => {
        await untilEpoch(page, 1);
        await page.workers()[0]!.evaluate('self.keptDevice.destroy()');
        await untilSaid(page, /WebGPU stopped: the GPU was lost .*WebGL is next\./);
        await untilSaid(page, /It goes on after epoch \d on WebGL\./);
        const { curve } = await resultsOf(page);
        const backends = curve.map(({ backend }) => backend);
        assert.deepEqual(
          curve.map(({ epoch }) => epoch),
          [1, 2, 3, 4],
        );
        assert.equal(backends[0], 'webgpu');
        assert.equal(backends[3], 'webgl');
      },
      { prelude: KEEP_DEVICE },
    );
  });

  it('goes on with WebAssembly when the WebGL context is lost', async () => {
    await withPage(
      `backend=webgl&${TINY}`,
      async ({ page }) => {
        await untilEpoch(page, 1);
        const lose = `self.keptContext.getExtension('WEBGL_lose_context').loseContext()`;
        await page.workers()[0]!.evaluate(lose);
        await untilSaid(page, /WebGL stopped: the GPU was lost\. WebAssembly is next\./);
        const { curve } = await resultsOf(page);
        assert.equal(curve[0]!.backend, 'webgl');
        assert.equal(curve[3]!.backend, 'wasm');
      },
      { prelude: KEEP_CONTEXT },
    );
  });

  it('says which backends do not start, and trains on the next one that does', async () => {
    await withPage(
      TINY,
      async ({ page }) => {
        await untilPhase(page, 'done');
        const lines = await said(page);
        assert.match(lines[0]!, /^WebGPU does not start: .*WebGL is next\.$/);
        assert.match(lines[1]!, /^WebGL does not start: .*WebAssembly is next\.$/);
        assert.match(lines[2]!, /^WebAssembly does not start: .*plain JavaScript is next\.$/);
        assert.equal(lines[3], 'It trains on plain JavaScript.');
      },
      { prelude: NO_WEBGPU + NO_WEBGL + NO_WASM },
    );
  });

  it('says so when no backend is left', async () => {
    await withPage(
      `backend=cpu&${TINY}`,
      async ({ page }) => {
        await untilPhase(page, 'failed');
        await untilSaid(page, 'plain JavaScript stopped: broken. No other backend is left.');
        assert.match((await page.getByRole('status').textContent())!, /^Stopped; /);
      },
      { prelude: `self.MessageChannel = function () { throw new Error('broken'); };` },
    );
  });

  it('says so when the images do not load, and starts when they do', async () => {
    await withPage(`backend=wasm&${TINY}`, async ({ page }) => {
      await untilPhase(page, 'done');
      await page.context().route('**/images.bin', (route) => route.fulfill({ status: 503 }));
      await page.getByRole('button', { name: 'Start afresh' }).click();
      await untilPhase(page, 'failed');
      await untilSaid(page, 'The images do not load: images.bin: the server answers 503.');
      await page.context().unroute('**/images.bin');
      await page.getByRole('button', { name: 'Start afresh' }).click();
      await untilPhase(page, 'done');
    });
  });

  it('reloaded while the plane is measured, offers to measure it', async () => {
    await withPage(`backend=wasm&grid=30&${TINY}`, async ({ page }) => {
      await untilPhase(page, 'measuring');
      await page.reload();
      await untilSaid(page, /A run was cut short after epoch 4 of 4/);
      await page.getByRole('button', { name: 'Go on' }).click();
      const { curve, plane } = await resultsOf(page);
      assert.lengthOf(curve, 4);
      assert.lengthOf(plane.errors, 30 * 21);
    });
  });

  it('keeps the checkpoints of one tab alone', async () => {
    await withPage(LONG, async ({ page }) => {
      await untilEpoch(page, 2);
      const other = await page.context().newPage();
      await other.goto(page.url());
      await untilSaid(other, /Another tab has this page open: this one keeps no checkpoints\./);
      await untilSaid(other, /It trains on WebAssembly\./);
    });
  });

  it('downloads the results as JSON and the pictures as PNG', async () => {
    await withPage(`backend=wasm&${TINY}`, async ({ page, wrong }) => {
      const results = await resultsOf(page);
      assert.deepInclude(results.settings, { backend: 'wasm', epochs: 4, images: 128, noise: 20 });
      assert.lengthOf(results.curve, 4);
      for (const { error, nll, loss } of results.curve) {
        assert.isTrue(error >= 0 && error <= 100 && nll > 0 && loss > 0);
      }
      assert.equal(results.averaged, 3);
      assert.lengthOf(results.tenImages, 10);
      assert.lengthOf(results.plane.errors, 6);
      assert.lengthOf(results.plane.path, results.windows.chosen + 1, 'its start and its epochs');
      assert.isNotEmpty(results.said);

      const png = await downloaded(page, 'Download the picture');
      assert.equal(png.subarray(1, 4).toString(), 'PNG');
      const source = `data:image/png;base64,${png.toString('base64')}`;
      const colours = await page.evaluate(async (source) => {
        const image = new Image();
        image.src = source;
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext('2d')!;
        context.drawImage(image, 0, 0);
        const { data } = context.getImageData(0, 0, image.width, image.height);
        const pixels = new Uint32Array(data.buffer);
        const counts = new Map<string, number>();
        for (const pixel of pixels) {
          const name = (pixel & 0xffffff).toString(16).padStart(6, '0');
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
        return Object.fromEntries(counts);
      }, source);
      // Blue and green swapped: bytes from the left are red, green, blue.
      assert.isAbove(colours['b27200']!, 100, 'the weights are blue');
      assert.isAbove(colours['005ed5']!, 100, 'the average is vermilion');
      assert.isAbove(colours['25e7fd']!, 1000, 'the least error is yellow');
      assert.deepEqual(wrong, []);
    });
  });
});

/** The ends of unbroken runs, by query. */
const ends = new Map<string, unknown>();

/** Where an unbroken run ends. */
async function endOf(query: string): Promise<unknown> {
  if (!ends.has(query)) {
    await withPage(query, async ({ page }) => {
      ends.set(query, numbersOf(await resultsOf(page)));
    });
  }
  return ends.get(query);
}

/** All that two runs with the same settings share. */
function numbersOf({ said: _, ...numbers }: Results): unknown {
  return numbers;
}

function textOf(page: Page, place: string): Promise<string> {
  return page.locator(place).innerText();
}

/** Percent as the page writes them. */
function errorOf({ error }: { error: number }): string {
  return `${error.toFixed(1)}\u00a0%`;
}

function likeliest(row: readonly number[]): number {
  return row.indexOf(Math.max(...row));
}

/** In nats. */
function entropyOf(row: readonly number[]): number {
  return -row.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function pixelsOf(canvas: SVGElement | HTMLElement): string {
  return (canvas as HTMLCanvasElement).toDataURL();
}

/** Where all that a person sees begins. */
function placesOf(page: Page): Promise<number[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('section, figure, li, footer')].map(
      (element) => element.getBoundingClientRect().top + scrollY,
    ),
  );
}

/** Asserts that what a person sees stays in its place, by Chromium's Cumulative Layout Shift. */
async function assertStill(page: Page): Promise<void> {
  const shift = await page.evaluate(async () => {
    let sum = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { value, hadRecentInput } = entry as unknown as {
          value: number;
          hadRecentInput: boolean;
        };
        if (!hadRecentInput) sum += value;
      }
    }).observe({ type: 'layout-shift', buffered: true });
    await new Promise((resolve) => setTimeout(resolve, 500)); // the entries so far come at once
    return sum;
  });
  assert.isBelow(shift, 0.05);
}

function repeatedIds(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
    return ids.filter((id, i) => ids.indexOf(id) !== i);
  });
}
