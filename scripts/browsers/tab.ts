/** The little that every browser can do alike: open a page, and say what an expression in it gives. */
import { findChromium, launchChromium } from './chromium.js';
import { findFirefox, launchFirefox } from './firefox.js';
import { hasWebkit, launchWebkit } from './webkit.js';

/** A page in a browser of its own. */
export interface Tab {
  goto: (url: string) => Promise<unknown>;
  /** The value of an expression, by way of JSON. */
  evaluate: (expression: string) => Promise<unknown>;
  /** Ends the browser. */
  close: () => Promise<void>;
}

interface Kind {
  /** Why it cannot be opened, and how to get it; else false. */
  missing: () => string | false;
  open: () => Promise<Tab>;
}

export const BROWSERS = {
  chromium: {
    missing: () => !findChromium() && 'no Chromium on the PATH (apt-get install -y chromium)',
    open: async () => {
      const browser = await launchChromium();
      const page = await browser.newPage();
      return {
        goto: (url) => page.goto(url),
        evaluate: (expression) => page.evaluate(expression),
        close: () => browser.close(),
      };
    },
  },
  firefox: {
    missing: () => !findFirefox() && 'no Firefox on the PATH (apt-get install -y firefox-esr)',
    open: async () => {
      const browser = await launchFirefox();
      const page = await browser.newPage();
      return {
        goto: (url) => page.goto(url),
        evaluate: (expression) => page.evaluate(expression),
        close: () => browser.close(),
      };
    },
  },
  webkit: {
    missing: () =>
      !hasWebkit() &&
      'no WebKit (apt-get install -y --no-install-recommends webkit2gtk-driver xvfb)',
    open: async () => {
      const { goto, execute, close } = await launchWebkit();
      return { goto, evaluate: (expression) => execute(`return ${expression};`), close };
    },
  },
} satisfies Record<string, Kind>;

export type BrowserName = keyof typeof BROWSERS;
