/** Processes that are killed while they save: the file is whole, and the one before or after. */
import { assert } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileSystem } from 'tfjs-swa/node';
import { bundleChild } from '../support/child.js';
import { effort } from '../support/effort.js';
import { inFolder } from '../support/handlers.js';
import { random } from '../support/support.js';

const kills = { quick: 20, ci: 300, soak: 1000 }[effort];
const LANES = 4;
/** A quarter of the numbers in it: a save takes some milliseconds. */
const LENGTH = 50_000;

describe('a process that is killed while it saves', function () {
  this.timeout(600_000);

  it(`${kills} times: the file loads, and is the one before or the one after`, () =>
    inFolder(async (folder) => {
      const child = await bundleChild('kill_child', folder);
      // Four at a time, each with a file of its own: a process spends its time waiting.
      const lanes = Array.from({ length: LANES }, (_, lane) =>
        killInTurn(child, path.join(folder, String(lane)), kills / LANES, random(lane)),
      );
      const inTheMiddle = (await Promise.all(lanes)).reduce((sum, count) => sum + count, 0);
      assert.isAbove(inTheMiddle, 0, 'some kills hit a save in the middle');
    }));
});

/** Kills one child after another that saves to a file in the folder; how many left a file behind. */
async function killInTurn(
  child: string,
  folder: string,
  times: number,
  next: () => number,
): Promise<number> {
  const file = path.join(folder, 'state.safetensors');
  await fileSystem(file, { createFolder: true }).save!({ modelTopology: { number: 0 } });
  let last = 0; // the number in the file
  let inTheMiddle = 0;
  for (let kill = 0; kill < times; kill++) {
    const args = [file, String(last + 1), String(LENGTH)];
    // One in four from its start, where most have not saved yet.
    const [after, longest] = kill % 4 === 3 ? (['start', 100] as const) : (['save', 25] as const);
    const { done, code } = await killed(child, args, after, next() * longest);
    assert.isNull(code, 'it did not end by itself');

    const strays = readdirSync(folder).filter((name) => name !== 'state.safetensors');
    assert.isAtMost(strays.length, 1, `what one left, the next cleared: ${strays.join()}`);
    inTheMiddle += strays.length;
    const { modelTopology, weightData = new ArrayBuffer() } = await fileSystem(file).load!();
    const { number } = modelTopology as { number: number };
    const before = done ?? last;
    assert.include([before, before + 1], number, 'the one before, or the one after');
    const values = new Float32Array(weightData as ArrayBuffer);
    assert.lengthOf(values, number === 0 ? 0 : 4 * LENGTH);
    assert.isTrue(values.every((value) => value === number));
    last = number;
  }
  assert.isAbove(last, 0, 'some saves were done');

  await fileSystem(file).save!({ modelTopology: { number: -1 } });
  assert.deepEqual(
    readdirSync(folder),
    ['state.safetensors'],
    'the next save cleared what was left',
  );
  return inTheMiddle;
}

/** Runs a child, kills it some milliseconds after its start or its first save, tells what it said. */
async function killed(
  script: string,
  args: string[],
  after: 'start' | 'save',
  delay: number,
): Promise<{ done: number | undefined; code: number | null }> {
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {},
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const closed = once(child, 'close') as Promise<[number | null]>;
  if (after === 'save') await Promise.race([once(child.stdout, 'data'), closed]);
  await new Promise((resolve) => setTimeout(resolve, delay));
  child.kill('SIGKILL');
  const [code] = await closed;
  const numbers = output.split('\n').slice(0, -1);
  return { done: numbers.length > 0 ? Number(numbers.at(-1)) : undefined, code };
}
