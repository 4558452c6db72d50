/** What specs read with `node:fs`, in a page: scripts/tests/browser.ts serves the same files to it. */
export function readFileSync(url: URL): string {
  const request = new XMLHttpRequest();
  request.open('GET', url, false);
  request.send();
  if (request.status !== 200) throw new Error(`${url.pathname}: ${request.status}`);
  return request.responseText;
}
