/** Firefox, without a window, by WebDriver BiDi. */
import puppeteer, { type Browser } from 'puppeteer-core';
import { onPath } from './programs.js';

/** The file of the browser: FIREFOX, or a Firefox on the PATH; else undefined. */
export function findFirefox(): string | undefined {
  return process.env['FIREFOX'] ?? onPath('firefox', 'firefox-esr');
}

export function launchFirefox(): Promise<Browser> {
  const executablePath = findFirefox();
  if (!executablePath) throw new Error('no Firefox on the PATH (apt-get install -y firefox-esr)');
  // A spec of a page may take minutes in one call.
  return puppeteer.launch({ browser: 'firefox', executablePath, protocolTimeout: 600_000 });
}
