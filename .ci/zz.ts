import { chromium } from 'playwright-core';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
const server = createServer((q, r) => q.url === '/t.js' ? (r.setHeader('content-type','text/javascript'), r.end(readFileSync('/tmp/wg/t.js'))) : (r.setHeader('content-type','text/html'), r.end('<script type=module src=t.js></script>'))).listen(0, '127.0.0.1');
await new Promise((r) => server.once('listening', r));
const port = (server.address() as any).port;
const B=['--no-sandbox','--enable-unsafe-webgpu'];
const C1=['--use-vulkan=swiftshader','--use-angle=swiftshader','--use-webgpu-adapter=swiftshader','--disable-vulkan-surface','--enable-features=Vulkan', '--ignore-gpu-blocklist'];
const variants: any = {
  d1: { args: [...B,...C1,'--disable-accelerated-2d-canvas'] },
  d2: { args: [...B,...C1,'--disable-gpu-compositing'] },
  d3: { args: [...B,...C1,'--disable-features=SkiaGraphite,CanvasOopRasterization'] },
  d4: { args: [...B,'--use-vulkan=swiftshader','--use-webgpu-adapter=swiftshader','--enable-features=Vulkan'] },
  d5: { args: ['--js-flags=--expose-gc', ...B,'--use-vulkan=swiftshader','--use-angle=swiftshader','--use-webgpu-adapter=swiftshader','--enable-features=Vulkan'] },
  d6: { args: [...B,...C1,'--enable-gpu-rasterization','--enable-unsafe-swiftshader'] },
  d7: { args: [...B,...C1,'--in-process-gpu'] },

  c1: { args: [...B,'--use-vulkan=swiftshader','--use-angle=swiftshader','--use-webgpu-adapter=swiftshader','--disable-vulkan-surface','--enable-features=Vulkan', '--ignore-gpu-blocklist'] },
  c2: { args: [...B,'--use-vulkan=swiftshader','--use-gl=angle','--use-angle=vulkan','--disable-vulkan-surface','--enable-features=Vulkan,VulkanFromANGLE,DefaultANGLEVulkan', '--ignore-gpu-blocklist'] },
  c3: { args: [...B,'--use-angle=swiftshader','--use-gl=angle','--enable-unsafe-swiftshader','--ignore-gpu-blocklist','--enable-gpu-rasterization'] },
  c4: { args: [...B,'--use-gl=disabled','--disable-gpu'] },
  c5: { args: [...B,'--enable-skia-graphite','--ignore-gpu-blocklist','--use-webgpu-adapter=swiftshader', '--skia-graphite-backend=dawn-swiftshader'] },
  c6: { args: [...B,'--disable-software-rasterizer'] },
  c7: { args: [...B,'--use-angle=gl','--use-gl=angle', '--ignore-gpu-blocklist', '--use-webgpu-adapter=swiftshader'] },
  c8: { args: [...B,'--enable-features=Vulkan', '--use-vulkan=native', '--ignore-gpu-blocklist'], env: {...process.env, VK_ICD_FILENAMES: '/usr/lib/chromium/vk_swiftshader_icd.json'} },

  log: { args: [...B,'--enable-logging=stderr','--v=0'], env: {...process.env, DEBUG: ''} }, lab: { args: [...B,'--disable-gpu-sandbox','--disable-quic','--no-first-run'] },
  gs: { args: [...B,'--disable-gpu-sandbox'] },
  inproc: { args: [...B,'--in-process-gpu'] },
  sk: { args: [...B,'--disable-features=SkiaGraphite'] },
  no2d: { args: [...B,'--disable-accelerated-2d-canvas'] },
  nocomp: { args: [...B,'--disable-gpu-compositing', '--disable-accelerated-2d-canvas'] },
  vk2: { args: [...B,'--use-vulkan=swiftshader','--enable-features=Vulkan','--use-angle=vulkan', '--ignore-gpu-blocklist'] },
  sw: { args: [...B,'--use-gl=angle','--use-angle=swiftshader-webgl', '--ignore-gpu-blocklist'] },

  plain: { args: ['--headless','--no-sandbox','--enable-unsafe-webgpu'] },
  newheadless: { args: ['--no-sandbox','--enable-unsafe-webgpu'], channel: undefined, ignoreDefaultArgs: ['--headless'], },
  nodefault: { args: ['--headless','--no-sandbox','--enable-unsafe-webgpu','--remote-debugging-pipe','--user-data-dir=/tmp/wg/ud','about:blank'], ignoreDefaultArgs: true },
  uncompositing: { args: ['--enable-unsafe-webgpu','--no-sandbox','--disable-gpu-compositing'] },
  angle: { args: ['--enable-unsafe-webgpu','--no-sandbox','--use-angle=swiftshader', '--enable-unsafe-swiftshader'] },
  vulkan: { args: ['--enable-unsafe-webgpu','--no-sandbox','--enable-features=Vulkan', '--use-vulkan=swiftshader', '--use-webgpu-adapter=swiftshader'] },
  novulkan: { args: ['--enable-unsafe-webgpu','--no-sandbox', '--use-webgpu-adapter=swiftshader'] },
};
for (const [n, v] of Object.entries<any>(variants)) {
  if (process.argv[2] && !process.argv.slice(2).includes(n)) continue;
  try {
  const b = await chromium.launch({ executablePath: '/usr/bin/chromium', ...v, timeout: 20000 });
  const page = await b.newPage();
  page.on('console', (m: any) => console.log(m.text()));page.on('pageerror', (e: any) => console.log('pageerror', e.message));
  await page.goto(`http://127.0.0.1:${port}/${process.env.HASH ?? ""}`);
  await page.waitForFunction('window.done', undefined, {timeout: 200000});
  console.log(n, await page.evaluate('window.done'));
  console.log(await page.evaluate('performance.now()')); await b.close();
  } catch (e: any) { console.log(n, 'ERR', String(e.message).slice(0, 300)); }
}
server.close(); process.exit();
