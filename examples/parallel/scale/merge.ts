/**
 * How long merging takes, and how much memory, for as many states as one likes, of MobileNetV2's size
 * (14 MB each) and made on the fly: one by one, and in a tree. It knows nothing of queues.
 * `npx tsx examples/parallel/scale/merge.ts [--states N] [--fan N]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadStateDict, saveStateDict, WeightAccumulator, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { mobileNetV2Shapes, sizeOf } from '../../../benchmarks/shapes.js';
import { integer, readArguments } from '../../demo/options.js';
import { randomNumbers } from '../../demo/random.js';

const text = { type: 'string' } as const;
const given = readArguments(process.argv.slice(2), { states: text, fan: text });
const states = integer('states', given.states ?? '1000', 2, 100_000);
const fan = integer('fan', given.fan ?? '32', 2, 1000);
const shapes = mobileNetV2Shapes();

/** A worker's state: new arrays each time, as what is read from a file is. */
function stateOf(worker: number): TensorData[] {
  const random = randomNumbers(worker);
  return shapes.map((shape, i): TensorData => {
    const values = new Float32Array(sizeOf(shape));
    const [shift, step] = [random(), random() / values.length];
    for (let k = 0; k < values.length; k++) values[k] = shift + k * step;
    return { name: `weight ${i}`, dtype: 'float32', shape, values };
  });
}

let merging = 0;
/** Runs `f`, and counts the processor's time, in ms, whatever else the machine does meanwhile. */
function timed<T>(f: () => T): T {
  const start = process.cpuUsage();
  const result = f();
  const { user, system } = process.cpuUsage(start);
  merging += (user + system) / 1000;
  return result;
}

/** The most memory that this process had so far, in MB. */
const peak = (): number => process.resourceUsage().maxRSS / 1024;
const line = (label: string, value: string) =>
  process.stdout.write(`${label.padEnd(56)}${value}\n`);
const ms = (value: number): string => `${value.toFixed(1)} ms`;

const values = shapes.map(sizeOf).reduce((sum, size) => sum + size, 0);
line(
  `${states} states, ${shapes.length} tensors each`,
  `${((4 * values) / 1e6).toFixed(1)} MB each`,
);

const all = new WeightAccumulator();
const moments = new Set([10, 100, 1000, 10_000].filter((n) => n < states).concat(states));
for (let worker = 0; worker < states; worker++) {
  const state = stateOf(worker);
  timed(() => all.add(state, 1 + (worker % 7)));
  if (!moments.has(worker + 1)) continue;
  line(
    `one by one, after ${worker + 1}: time a state, peak memory`,
    `${ms(merging / (worker + 1))}, ${peak().toFixed(0)} MB`,
  );
}
const oneByOne = merging;

// A tree: groups of `fan` states, each summed by one; then the sums. Here one process does all.
merging = 0;
const root = new WeightAccumulator();
let [sums, longest] = [0, 0];
for (let first = 0; first < states; first += fan) {
  const before = merging;
  const part = new WeightAccumulator();
  for (let worker = first; worker < Math.min(states, first + fan); worker++) {
    const state = stateOf(worker);
    timed(() => part.add(state, 1 + (worker % 7)));
  }
  longest = Math.max(longest, merging - before);
  const start = merging;
  timed(() => root.merge(part));
  sums += merging - start;
}
line(`in a tree of ${fan}, one process: time a state`, ms(merging / states));
line(`one by one, one process: all ${states}`, `${(oneByOne / 1000).toFixed(1)} s`);
line(
  `in a tree of ${fan}, each group a process: its own + the sums`,
  `${((longest + sums) / 1000).toFixed(1)} s`,
);

let difference = 0;
const [a, b] = [all.result(), root.result()];
a.weights.forEach(({ values }, i) =>
  values.forEach((value, k) => {
    const other = b.weights[i]!.values[k]!;
    difference = Math.max(difference, Math.abs(value - other) / Math.max(1e-30, Math.abs(value)));
  }),
);
line('largest relative difference of the two, float32', difference.toExponential(1));

const folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-scale-'));
try {
  const times = { save: 0, load: 0 };
  const files = Math.min(states, 10);
  for (let i = 0; i < files; i++) {
    const place = fileSystem(path.join(folder, `${i}.safetensors`));
    const state = { model: stateOf(i) };
    let start = performance.now();
    await saveStateDict(place, state);
    times.save += performance.now() - start;
    start = performance.now();
    await loadStateDict(place);
    times.load += performance.now() - start;
  }
  line('a state to a file, synced to disk', ms(times.save / files));
  line('a state from a file that the system still holds', ms(times.load / files));
} finally {
  rmSync(folder, { recursive: true });
}
