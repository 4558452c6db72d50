/**
 * Workers of a page train, and the page merges what they made: builds the page, and serves it on this
 * machine. `npx tsx examples/tabs/main.ts`
 */
import path from 'node:path';
import { buildPage } from '../page/build.js';
import { serveFolder } from '../page/serve.js';

const folder = path.join('demo-output', 'tabs');
await buildPage(folder, import.meta.dirname);
const { address } = await serveFolder(folder, 0);
process.stdout.write(`${address}\nStop with Ctrl-C.\n`);
