/** `npm run page`: builds the page, and serves it unless asked only to build it. */
import { parseArgs } from 'node:util';
import path from 'node:path';
import { buildPage } from './build.js';
import { serveFolder } from './serve.js';

const HELP = `npm run page [-- --port N]          builds the page and serves it on this machine
npm run page -- --build [--out F]   writes it into a folder, for any web server

  --port N   default 8080, or a free one if that is taken
  --out F    default demo-output/page
`;

try {
  const { values } = parseArgs({
    options: {
      build: { type: 'boolean', default: false },
      out: { type: 'string', default: path.join('demo-output', 'page') },
      port: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else await page(values.out, values.build ? null : portOf(values.port));
} catch (error) {
  process.stderr.write(`page: ${(error as Error).message}\n`);
  process.exitCode = 2;
}

/** @param port `null` to build alone, -1 for 8080 or a free one. */
async function page(folder: string, port: number | null): Promise<void> {
  await buildPage(folder);
  if (port === null) {
    process.stdout.write(`The page is in ${folder}: any web server can serve it.\n`);
    return;
  }
  const { address } = await (port === -1
    ? serveFolder(folder, 8080).catch(() => serveFolder(folder, 0))
    : serveFolder(folder, port));
  process.stdout.write(`${address}\nStop with Ctrl-C.\n`);
}

function portOf(text: string | undefined): number {
  if (text === undefined) return -1;
  if (/^\d{1,5}$/.test(text) && Number(text) < 65536) return Number(text);
  throw new Error(`Invalid port: ${text} (expected a whole number from 0 to 65535)`);
}
