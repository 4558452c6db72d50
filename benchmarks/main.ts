/**
 * `npm run bench`: what averaging costs, what the wrapper costs a step, and a checkpoint.
 *
 *   --quick         few rounds and a model of a sixteenth of the size
 *   --backend NAME  cpu or wasm; default: both
 *   --rounds N      rounds of each comparison; default: 9
 */
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { benchAverage } from './average.js';
import { benchCheckpoint } from './checkpoint.js';
import { table, type Row } from './measure.js';
import { resnet50Shapes, sizeOf } from './shapes.js';
import { benchMinimize, benchStep } from './step.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    backend: { type: 'string', multiple: true, default: ['cpu', 'wasm'] },
    rounds: { type: 'string' },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 3 : 9));
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`Invalid --rounds: ${values.rounds}`);

const whole = resnet50Shapes();
const count = whole.reduce((sum, shape) => sum + sizeOf(shape), 0);
if (whole.length !== 161 || count !== 25_557_032) {
  throw new Error(`Not ResNet-50: ${whole.length} tensors, ${count} values`);
}
const shapes = values.quick ? resnet50Shapes(16, 250) : whole;
const model = values.quick ? 'ResNet-50 / 16' : 'ResNet-50';
const tiny = (length: number): number[][] => Array.from({ length }, () => [16]);

const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
setWasmPaths(`${path.dirname(main)}${path.sep}`);

async function bench(backend: string): Promise<Row[]> {
  if (!(await tf.setBackend(backend))) throw new Error(`The backend ${backend} does not start`);
  const before = tf.memory().numTensors;
  const rows = [
    await benchAverage(`average of ${model}`, shapes, rounds),
    benchStep(`step of ${model}`, shapes, rounds),
    benchStep('step of 161 tiny tensors', tiny(161), rounds),
    benchStep('step of 20 tiny tensors', tiny(20), rounds),
    benchMinimize('minimize, 20 tiny tensors', tiny(20), rounds),
  ];
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left on ${backend}`);
  return rows;
}

try {
  const rows: Row[] = [];
  for (const backend of values.backend) rows.push(...(await bench(backend)));
  rows.push(...(await benchCheckpoint(`${model} with Adam`, shapes, rounds)));
  console.log(`Node ${process.version}, ${os.cpus()[0]?.model}, medians of ${rounds} rounds\n`);
  console.log(table(rows));
} catch (error) {
  // Uncaught, it would have the wasm backend throw it again and Node print all of that file.
  console.error(error);
  process.exitCode = 1;
}
