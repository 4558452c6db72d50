/**
 * `npm run bench`: what averaging costs and earns by its kernels, what the wrapper costs a step and a whole training, and what a
 * checkpoint and the command cost, with the goals beside.
 *
 *   --quick         few rounds and a model of a sixteenth of the size
 *   --backend NAME  cpu, wasm or tensorflow; default: all that are there
 *   --rounds N      rounds of each comparison; default: 15
 *   --torch         the same average in PyTorch, if `python3 -c 'import torch'` works
 *   --growth        how the average grows with parameters, tensors and groups, as pictures
 *   --out FOLDER    where the JSON file and the pictures go; default: reports/bench
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { NODE_BACKENDS, startBackend } from './backends.js';
import { benchCheckpoint } from './checkpoint.js';
import { benchCommand } from './command.js';
import { render } from '../examples/demo/render.js';
import { benchGrowth, type Growth, type GrowthPoint } from './growth.js';
import { growthChart } from './growth_chart.js';
import { machine, machineText } from './machine.js';
import { table, type Row } from './measure.js';
import { resnet50Shapes } from './shapes.js';
import { runSuite } from './suite.js';
import { hasTorch, startTorch } from './torch.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    backend: { type: 'string', multiple: true, default: NODE_BACKENDS },
    rounds: { type: 'string' },
    torch: { type: 'boolean', default: false },
    growth: { type: 'boolean', default: false },
    out: { type: 'string', default: path.join('reports', 'bench') },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 3 : 15));
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`Invalid --rounds: ${values.rounds}`);
const torch = values.torch && hasTorch();
if (values.torch && !torch) console.warn('torch cannot be imported: its rows are left out');

try {
  const before = machine();
  console.log(`${machineText(before)}; medians of ${rounds} rounds\n`);
  mkdirSync(values.out, { recursive: true });
  const rows: Row[] = [];
  const growth: Record<Growth, GrowthPoint[]> = { parameters: [], tensors: [], groups: [] };
  for (const backend of values.backend) {
    await startBackend(backend);
    const onRow = (row: Row): void => {
      rows.push(row);
      console.error(`${row.backend}: ${row.what}, ${row.ratio.toFixed(3)} of ${row.against}`);
    };
    await runSuite(rounds, values.quick, onRow, torch ? startTorch : undefined);
    if (values.growth) await benchGrowth(rounds, values.quick, growth);
  }
  const [name, width] = values.quick ? ['ResNet-50 / 16', 16] : ['ResNet-50', 64];
  rows.push(...(await benchCheckpoint(`${name} with Adam`, resnet50Shapes(width), rounds)));
  rows.push(...(await benchCommand(values.quick ? 4 : 100, rounds)));
  console.log(table(rows));
  if (values.growth) await drawGrowth(growth);
  const grown = values.growth ? { growth } : {};
  const results = { machine: before, loadAfter: machine().load, rounds, rows, ...grown };
  const file = path.join(values.out, 'bench.json');
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  console.log(`\n${file}; load at the end ${results.loadAfter}`);
} catch (error) {
  // Uncaught, it would have the wasm backend throw it again and Node print all of that file.
  console.error(error);
  process.exitCode = 1;
}

/** Draws a picture of what was measured of each growth. */
async function drawGrowth(growth: Record<Growth, GrowthPoint[]>): Promise<void> {
  for (const [what, points] of Object.entries(growth)) {
    const { svg, png } = await render(growthChart(what as Growth, points), 1);
    writeFileSync(path.join(values.out, `growth_${what}.svg`), svg);
    writeFileSync(path.join(values.out, `growth_${what}.png`), png);
  }
}
