/** Chromium as the specs run it: where it is, and how it is started. */
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { chromium, type Browser } from 'playwright-core';

/** The file of the browser: CHROMIUM, or a Chromium or Chrome on the PATH; else undefined. */
export function findChromium(): string | undefined {
  const { CHROMIUM, PATH = '' } = process.env;
  if (CHROMIUM) return CHROMIUM;
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const files = PATH.split(path.delimiter).flatMap((at) =>
    names.map((name) => path.join(at, name)),
  );
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Starts it without a window and, so that a run is the same on any machine, with SwiftShader for a
 * GPU. With the first three flags alone WebGPU computes, but its canvases end the GPU's process,
 * and with them `dataSync` does.
 */
export function launchChromium(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error('no Chromium on the PATH (apt-get install -y chromium)');
  const args = [
    '--no-sandbox', // which asks for more than a container may
    '--enable-unsafe-webgpu',
    '--use-webgpu-adapter=swiftshader',
    '--use-angle=swiftshader',
    '--use-vulkan=swiftshader',
    '--enable-features=Vulkan',
  ];
  return chromium.launch({ executablePath, args });
}
