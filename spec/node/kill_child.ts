/** Saves in a loop until it is killed; says the number of each save that is done. */
import { writeSync } from 'node:fs';
import { fileSystem } from '../../lib/node.js';

const [file = '', first = '', length = ''] = process.argv.slice(2);
const handler = fileSystem(file);
for (let number = Number(first); ; number++) {
  const weightData = [1, 2].map(() => new Float64Array(Number(length)).fill(number).buffer);
  await handler.save!({ modelTopology: { number }, weightSpecs: [], weightData });
  writeSync(1, `${number}\n`);
}
