/** Serves a folder's files on localhost, and nothing else. It knows nothing of what they are. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.wasm': 'application/wasm',
};

/**
 * Nothing from elsewhere, and no text that is run as a script. This is why the server is not esbuild's
 * (0.28), which sends no headers of ours; what a worker may do depends on its own response's.
 */
const POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "base-uri 'none'",
].join('; ');

/**
 * Starts a server for this machine alone.
 *
 * @param port 0 for a free one.
 * @param prefix The path below which the files lie, with a slash at both ends.
 * @returns The server, and the address of the files.
 */
export async function serveFolder(
  folder: string,
  port: number,
  prefix = '/',
): Promise<{ server: Server; address: string }> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    const answer = (status: number, type: string, body: string | Uint8Array) => {
      response.writeHead(status, { 'content-type': type, 'content-security-policy': POLICY });
      response.end(body);
    };
    const missing = () => answer(404, 'text/plain', 'Not found\n');
    if (!pathname.startsWith(prefix)) {
      missing();
      return;
    }
    const name = pathname.slice(prefix.length) || 'index.html';
    // The page has no folders, so that a path is a name.
    if (name !== path.basename(name)) {
      missing();
      return;
    }
    const type = TYPES[path.extname(name)] ?? 'application/octet-stream';
    readFile(path.join(folder, name)).then((body) => answer(200, type, body), missing);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return { server, address: `http://localhost:${taken}${prefix}` };
}
