/**
 * Draws learning-rate schedules and the moments of averaging: `npm run schedules` writes
 * schedule_phases and schedule_paper_cyclic, as SVG and PNG, to demo-output/ or `--out DIR`.
 */
import { parseArgs } from 'node:util';
import { writeFiles, type Files } from '../demo/output.js';
import { render } from '../demo/render.js';
import { paperChart, phasesChart } from './charts.js';
import { tracePaperCycle, tracePhases } from './traces.js';

const HELP = `Usage: npm run schedules -- [options]

Draws a constant, a cosine and a cyclic phase in sequence, and the cyclic rate of the SWA paper,
with the moments at which an SWA takes the weights into its average.

  --out DIR   folder for the pictures   (default demo-output)
  --help      this text
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: 'demo-output' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const files: Files = {};
  for (const [name, spec] of Object.entries({
    schedule_phases: phasesChart(await tracePhases()),
    schedule_paper_cyclic: paperChart(await tracePaperCycle()),
  })) {
    const { svg, png } = await render(spec);
    files[`${name}.svg`] = svg;
    files[`${name}.png`] = png;
  }
  writeFiles(values.out, files);
  for (const name of Object.keys(files)) process.stdout.write(`${values.out}/${name}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
