/** Loads a file, whatever comes of it; says how much memory the process took at most, in MB. */
import { fileSystem } from '../../lib/node.js';

const [file = ''] = process.argv.slice(2);
const handler = fileSystem(file) as unknown as { loadFile(): Promise<unknown> };
await handler.loadFile().catch(() => {});
await fileSystem(file).load!().catch(() => {});
console.log(process.resourceUsage().maxRSS / 1e3);
