/** Saves in a loop until it is killed; says the number of each save that is done. */
import { writeSync } from 'node:fs';
import { fileSystem } from '../../lib/node.js';

const [file = '', first = '', length = ''] = process.argv.slice(2);
const handler = fileSystem(file);
for (let number = Number(first); ; number++) {
  const weightData = new Float32Array(4 * Number(length)).fill(number).buffer;
  const weightSpecs = [0, 1].map((i) => {
    return { name: `x${i}`, dtype: 'float32' as const, shape: [2, Number(length)] };
  });
  await handler.save!({ modelTopology: { number }, weightSpecs, weightData });
  writeSync(1, `${number}\n`);
}
