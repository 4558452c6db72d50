/**
 * `npm run bench:uncertainty`: how sure SWAG is, and whether it is right to be, on the nets that
 * `bench:accuracy` has trained; `--help` tells the options. It trains nothing.
 */
import * as tf from '@tensorflow/tfjs-core';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { folder, readArguments, fail, UsageError } from '../examples/demo/options.js';
import { writeFiles } from '../examples/demo/output.js';
import { loadImages } from '../examples/demo/read_images.js';
import { render } from '../examples/demo/render.js';
import type { Comparison } from './accuracy/comparison.js';
import { splitOf, SWA_NAME } from './accuracy/experiments.js';
import { keptIn } from './accuracy/finished.js';
import { NODE_BACKENDS, startBackend } from './backends.js';
import { machine, machineText } from './machine.js';
import { reliabilityChart, entropyChart } from './uncertainty/charts.js';
import { report, tableOf, type Reported } from './uncertainty/report.js';
import { studySeed, type SeedStudy } from './uncertainty/study.js';

const HELP = `Usage: npm run bench:uncertainty -- [options]

Looks at the nets of bench:accuracy: error, likelihood and calibration of SGD, SWA, SWAG and an ensemble of
the last iterates, and the entropy of what they predict for images unlike all that they were trained on.

  --from DIR   folder of bench:accuracy, with accuracy.json and weights  (default reports/bench)
  --out DIR    folder for uncertainty.json and the pictures              (default reports/bench)
  --seeds N    of the seeds there the first so many                      (default all)
  --help       this text
`;

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = error instanceof UsageError ? 2 : 1;
  console.error(error instanceof UsageError ? `uncertainty: ${error.message}` : error);
}

async function main(args: readonly string[]): Promise<void> {
  const reports = path.join('reports', 'bench');
  const values = readArguments(args, {
    from: { type: 'string', default: reports },
    out: { type: 'string', default: reports },
    seeds: { type: 'string', default: '100' },
    help: { type: 'boolean', default: false },
  });
  if (values.help) return void process.stdout.write(HELP);
  const results = path.join(values.from, 'accuracy.json');
  if (!existsSync(results)) fail('from', values.from, 'a folder with accuracy.json');
  const out = folder('out', values.out);
  const { comparisons } = JSON.parse(readFileSync(results, 'utf8')) as {
    comparisons: Comparison[];
  };

  process.env['TF_NUM_INTRAOP_THREADS'] = process.env['TF_NUM_INTEROP_THREADS'] = '1';
  tf.enableProdMode();
  await startBackend(NODE_BACKENDS.includes('tensorflow') ? 'tensorflow' : 'wasm');
  const before = machine();
  console.log(`${machineText(before)}\n`);
  const all = await loadImages();
  const reported: Reported[] = [];
  for (const { experiment, methods } of comparisons) {
    const choiceOf = (name: string) => methods.find(({ method }) => method === name)!;
    const swa = choiceOf(SWA_NAME);
    const sgd = choiceOf('SGD, decayed to zero');
    const studies: SeedStudy[] = [];
    for (let seed = 1; seed <= Math.min(swa.error.values.length, Number(values.seeds)); seed++) {
      const kept = (rate: number, way: 'constant' | 'decayed') =>
        keptIn(values.from, { experiment, seed, way, rate });
      const [averaged, decayed] = [
        await kept(swa.choice.rate, 'constant'),
        await kept(sgd.choice.rate, 'decayed'),
      ];
      const images = splitOf(experiment, seed, all);
      studies.push(await studySeed({ experiment, seed, images, averaged, decayed }));
      console.error(
        `${experiment.net}, noise ${experiment.noise}, ${experiment.epochs}: seed ${seed}`,
      );
    }
    reported.push(report(experiment, studies));
    const pictures = await Promise.all([
      render(reliabilityChart(reported)),
      render(entropyChart(reported)),
    ]);
    writeFiles(out, {
      'uncertainty.json': `${JSON.stringify({ machine: before, tfjs: tf.version_core, reported }, null, 1)}\n`,
      'reliability.png': pictures[0].png,
      'entropy.png': pictures[1].png,
    });
  }
  console.log(tableOf(reported));
}
