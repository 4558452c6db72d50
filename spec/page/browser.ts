/** What the specs of the page share: Chromium, the built page, and a person's steps on it. */
import { assert } from 'chai';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { setTimeout as pause } from 'node:timers/promises';
import { launchChromium } from '../../scripts/browsers/chromium.js';
import { BROWSERS, type BrowserName, type Tab } from '../../scripts/browsers/tab.js';
import { buildPage } from '../../examples/page/build.js';
import { serveFolder } from '../../examples/page/serve.js';

/** Much is slow where a processor stands in for the GPU and others use it too. */
const PATIENCE = 240_000;

let browser: Browser;
let server: Server;
let folder: string;
let address: string;

/** Builds and serves the page, and starts Chromium; below a path, as many a page is served. */
export async function startBrowser(): Promise<void> {
  folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-page-'));
  await buildPage(folder);
  ({ server, address } = await serveFolder(folder, 0, '/some/where/'));
  browser = await launchChromium();
}

/** Ends all that {@link startBrowser} started. */
export async function stopBrowser(): Promise<void> {
  await browser?.close();
  server?.close();
  if (folder) rmSync(folder, { recursive: true });
}

/** A page that a person has open, and what must not happen on it. */
export interface Opened {
  page: Page;
  /** What went wrong unseen: errors of scripts and requests to anywhere else. */
  wrong: string[];
}

/**
 * Opens the page in a browser with nothing stored, and closes it after `use`.
 *
 * @param query The settings of the run, as in `?epochs=4`.
 * @param prelude A script that the page and its workers run before their own.
 */
export async function withPage(
  query: string,
  use: (opened: Opened) => Promise<void>,
  { prelude = '', ...options }: BrowserContextOptions & { prelude?: string } = {},
): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  try {
    const page = await context.newPage();
    const wrong: string[] = [];
    page.on('pageerror', (error) => wrong.push(String(error)));
    page.on('console', (line) => {
      if (line.type() === 'error') wrong.push(line.text());
    });
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(address) && !/^(data|blob):/.test(url)) wrong.push(url);
    });
    if (prelude) {
      await context.addInitScript(prelude);
      const body = `${prelude}\n${readFileSync(path.join(folder, 'worker.js'), 'utf8')}`;
      await context.route('**/worker.js', (route) =>
        route.fulfill({ contentType: 'text/javascript', body }),
      );
    }
    await page.goto(`${address}?${query}`);
    await use({ page, wrong });
  } finally {
    await context.close();
  }
}

/**
 * Opens the page in any browser, with nothing stored, and closes it after `use`.
 *
 * @param query The settings of the run.
 */
export async function withTab(
  name: BrowserName,
  query: string,
  use: (tab: Tab) => Promise<void>,
): Promise<void> {
  const tab = await BROWSERS[name].open();
  try {
    await tab.goto(`${address}?${query}`);
    await use(tab);
  } finally {
    await tab.close();
  }
}

/** Waits until an expression is true in a tab, and fails if it is not in {@link PATIENCE}. */
export async function until(tab: Tab, expression: string): Promise<void> {
  const start = Date.now();
  while (!(await tab.evaluate(expression))) {
    assert.isBelow(Date.now() - start, PATIENCE, expression);
    await pause(100);
  }
}

/** Waits until the run is in a phase. */
export async function untilPhase(page: Page, phase: string): Promise<void> {
  await page.locator(`body[data-phase=${phase}]`).waitFor();
}

/** Waits until the page says an epoch is trained. */
export async function untilEpoch(page: Page, epoch: number): Promise<void> {
  await page.waitForFunction((least) => {
    const text = document.getElementById('status')!.textContent;
    return Number(/Epoch (\d+) of \d+: /.exec(text)?.[1] ?? 0) >= least;
  }, epoch);
}

/** All that the page said, line by line. */
export async function said(page: Page): Promise<string[]> {
  return page.locator('#said li').allTextContents();
}

/** Waits until the page has said something. */
export async function untilSaid(page: Page, text: string | RegExp): Promise<void> {
  await page.locator('#said li').filter({ hasText: text }).first().waitFor();
}

/** Presses a button and reads the file that is downloaded. */
export async function downloaded(page: Page, button: string): Promise<Buffer> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button }).click(),
  ]);
  return readFileSync(await file.path());
}

/** A class and how sure of it a net is. */
interface Guess {
  class: string;
  probability: number;
}

interface EpochWindow {
  epochs: number;
  error: number;
  heldOut: { nll: number };
  tenImages: Guess[];
}

/** What is downloaded of a run, as far as specs look at it. */
export interface Results {
  settings: Record<string, string | number>;
  curve: {
    epoch: number;
    backend: string;
    error: number;
    nll: number;
    loss: number;
    average: object;
  }[];
  windows: { chosen: number; all: EpochWindow[] };
  uncertainty: { noise: number[]; mean: number[][][]; std: number[][][] } | null;
  averaged: number;
  tenImages: { class: string; weights: Guess; average: Guess }[];
  plane: { errors: number[]; path: unknown[] };
  said: string[];
}

/** The results of a run that is done, as a person would download them. */
export async function resultsOf(page: Page): Promise<Results> {
  await untilPhase(page, 'done');
  return JSON.parse((await downloaded(page, 'Download the results')).toString()) as Results;
}

/** Presses Tab until the focus is on the control with a name. */
export async function tabTo(page: Page, name: string): Promise<void> {
  const target = page.getByRole('main').locator('button, input, select, summary');
  const wanted = target.and(
    page.getByLabel(name, { exact: true }).or(page.getByText(name, { exact: true })),
  );
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    if (await wanted.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`Tab does not lead to ${name}`);
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8');

/** Asserts that axe-core finds nothing to object to. */
export async function assertAccessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const run = (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run();
    return (await run).violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`,
    );
  });
  assert.deepEqual(violations, []);
}

interface AxeResults {
  violations: { id: string; nodes: { html: string }[] }[];
}

/** Asserts that a page is no wider than its window. */
export async function assertFits(page: Page): Promise<void> {
  const [wide, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    innerWidth,
  ]);
  assert.isAtMost(wide!, window!, 'width of the page');
}
