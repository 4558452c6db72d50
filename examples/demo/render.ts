/** From a Vega or Vega-Lite specification to SVG and PNG. It knows nothing of what the chart shows. */
import { initWasm, Resvg } from '@resvg/resvg-wasm';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Spec } from 'vega';
import type { TopLevelSpec } from 'vega-lite';

const require = createRequire(import.meta.url);
let started: Promise<Uint8Array[]> | null = null;

/** A picture in both forms; the PNG has `zoom` times the SVG's pixels each way. */
export async function render(
  chart: Spec | TopLevelSpec,
  zoom = 1.5,
): Promise<{ svg: string; png: Uint8Array }> {
  // Loaded here, because Vega waits at its top level: modules that import it cannot be required.
  const vega = await import('vega');
  const { compile } = await import('vega-lite');
  const isLite = chart.$schema?.includes('vega-lite');
  const spec = isLite ? compile(chart as TopLevelSpec).spec : (chart as Spec);
  const view = new vega.View(vega.parse(spec), { renderer: 'none' });
  // Vega logs what goes wrong and draws on.
  const errors: unknown[] = [];
  const logger = vega.logger(vega.Error);
  logger.error = (...args) => (errors.push(...args), logger);
  view.logger(logger);
  try {
    const svg = await view.toSVG();
    if (errors.length > 0) throw new Error(`The chart cannot be drawn: ${String(errors[0])}`);
    const fontBuffers = await (started ??= start());
    const image = new Resvg(svg, {
      fitTo: { mode: 'zoom', value: zoom },
      background: 'white',
      font: { fontBuffers, defaultFontFamily: 'DejaVu Sans' },
    });
    try {
      const rendered = image.render();
      const png = rendered.asPng();
      rendered.free();
      return { svg, png };
    } finally {
      image.free();
    }
  } finally {
    view.finalize();
  }
}

/** Starts the renderer and reads the fonts; no font of the system is used. */
async function start(): Promise<Uint8Array[]> {
  await initWasm(await readFile(require.resolve('@resvg/resvg-wasm/index_bg.wasm')));
  const fonts = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'];
  return Promise.all(
    fonts.map((font) => readFile(require.resolve(`dejavu-fonts-ttf/ttf/${font}`))),
  );
}
