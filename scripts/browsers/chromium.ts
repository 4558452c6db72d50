/** Chromium as the specs run it: where it is, and how it is started. */
import { chromium, type Browser } from 'playwright-core';
import { onPath } from './programs.js';

/** The file of the browser: CHROMIUM, or a Chromium or Chrome on the PATH; else undefined. */
export function findChromium(): string | undefined {
  return process.env['CHROMIUM'] ?? onPath('chromium', 'chromium-browser', 'google-chrome');
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
