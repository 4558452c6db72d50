/**
 * WebKit, the engine of Safari, as WebKitGTK has it: its driver speaks WebDriver over HTTP, and its
 * browser wants a display, for which Xvfb stands in.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../examples/parallel/free_port.js';
import { isProgram, onPath } from './programs.js';

/** What is wanted of Debian: the packages webkit2gtk-driver and xvfb. */
const driver = () => onPath('WebKitWebDriver');
const display = () => onPath('Xvfb');
const miniBrowser = (): string | undefined => {
  const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const folders = ['4.1', '4.0'].map((v) => `/usr/lib/${arch}-linux-gnu/webkit2gtk-${v}`);
  return folders.map((folder) => `${folder}/MiniBrowser`).find(isProgram);
};

/** Whether it is there. */
export const hasWebkit = (): boolean => Boolean(driver() && display() && miniBrowser());

/** A window of the browser. */
export interface WebkitWindow {
  goto: (url: string) => Promise<unknown>;
  /** The value of a script's `return`, by way of JSON. */
  execute: (script: string) => Promise<unknown>;
  close: () => Promise<void>;
}

export async function launchWebkit(): Promise<WebkitWindow> {
  const binary = miniBrowser();
  if (!hasWebkit()) throw new Error('no WebKit (apt-get install -y webkit2gtk-driver xvfb)');
  const children: ChildProcess[] = [];
  const close = (): void => children.reverse().forEach((child) => child.kill());
  try {
    // It writes the number of a display that is free to file descriptor 3.
    const xvfb = spawn(display()!, ['-displayfd', '3', '-screen', '0', '1280x900x24'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    children.push(xvfb);
    const [number] = (await once(xvfb.stdio[3]!, 'data')) as [Buffer];
    const port = await freePort();
    const env = { ...process.env, DISPLAY: `:${String(number).trim()}` };
    const options = ['--host=127.0.0.1', `--port=${port}`];
    children.push(spawn(driver()!, options, { env, stdio: 'ignore' }));

    const ask = (method: string, path: string, body?: object) =>
      command(`http://127.0.0.1:${port}${path}`, method, body);
    await untilReady(() => ask('GET', '/status'));
    const { sessionId } = (await ask('POST', '/session', {
      capabilities: {
        alwaysMatch: { 'webkitgtk:browserOptions': { binary, args: ['--automation'] } },
      },
    })) as { sessionId: string };
    const session = `/session/${sessionId}`;
    await ask('POST', `${session}/timeouts`, { script: 600_000, pageLoad: 600_000 });
    return {
      goto: (url) => ask('POST', `${session}/url`, { url }),
      execute: (script) => ask('POST', `${session}/execute/sync`, { script, args: [] }),
      close: async () => {
        await ask('DELETE', session).catch(() => {});
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** One command of WebDriver. */
async function command(url: string, method: string, body?: object): Promise<unknown> {
  const response = await fetch(url, { method, ...(body && { body: JSON.stringify(body) }) });
  const { value } = (await response.json()) as { value: unknown };
  if (response.ok) return value;
  const { error, message } = value as { error: string; message: string };
  throw new Error(`WebKit: ${error}: ${message}`);
}

/** The driver listens some time after it is started. */
async function untilReady(ask: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await ask();
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await pause(100);
    }
  }
}
