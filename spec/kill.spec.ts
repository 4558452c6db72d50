/** Processes that are killed while they save: the file is whole, and the one before or after. */
import { assert } from 'chai';
import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileSystem } from 'tfjs-swa/node';
import { effort } from './effort.js';
import { inFolder } from './handlers.js';
import { random } from './support.js';

const kills = { quick: 20, ci: 300, soak: 1000 }[effort];
/** Numbers in each of two buffers: a save takes some milliseconds. */
const LENGTH = 50_000;

describe('a process that is killed while it saves', function () {
  this.timeout(600_000);

  it(`${kills} times: the file loads, and is the one before or the one after`, () =>
    inFolder(async (folder) => {
      // Bundled once, for a child that starts with tsx spends its time there.
      const child = path.join(folder, 'child.mjs');
      await build({
        entryPoints: [path.join(import.meta.dirname, 'kill_child.ts')],
        outfile: child,
        bundle: true,
        platform: 'node',
        format: 'esm',
        packages: 'external',
      });
      const states = path.join(folder, 'states');
      const file = path.join(states, 'state.swa');
      await fileSystem(file, { createFolder: true }).save!({ modelTopology: { number: 0 } });

      const next = random(20261124);
      let last = 0; // the last number that a child said to be done
      let inTheMiddle = 0;
      for (let kill = 0; kill < kills; kill++) {
        const { done, code } = await killed(
          child,
          [file, String(last + 1), String(LENGTH)],
          next() * 25,
        );
        assert.isNull(code, 'it did not end by itself');
        last = done ?? last;

        const strays = readdirSync(states).filter((name) => name !== 'state.swa');
        assert.isAtMost(strays.length, 1, `what one left, the next cleared: ${strays.join()}`);
        inTheMiddle += strays.length;
        const { modelTopology, weightData } = await fileSystem(file).load!();
        const { number } = modelTopology as { number: number };
        assert.include([last, last + 1], number, 'the one before, or the one after');
        for (const buffer of (weightData ?? []) as ArrayBuffer[]) {
          const values = new Float64Array(buffer);
          assert.lengthOf(values, LENGTH);
          assert.isTrue(values.every((value) => value === number));
        }
        last = number;
      }
      assert.isAbove(last, 0, 'some saves were done');
      assert.isAbove(inTheMiddle, 0, 'some kills hit a save in the middle');

      await fileSystem(file).save!({ modelTopology: { number: -1 } });
      assert.deepEqual(readdirSync(states), ['state.swa'], 'the next save cleared what was left');
    }));
});

/** Runs a child, kills it some milliseconds after it has begun to save, and tells what it said. */
async function killed(
  script: string,
  args: string[],
  delay: number,
): Promise<{ done: number | undefined; code: number | null }> {
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const closed = once(child, 'close') as Promise<[number | null]>;
  // Half of them before the first save is done, half at any moment after it.
  if (delay > 12.5) await Promise.race([once(child.stdout, 'data'), closed]);
  else await new Promise((resolve) => setTimeout(resolve, 30));
  await new Promise((resolve) => setTimeout(resolve, delay));
  child.kill('SIGKILL');
  const [code] = await closed;
  const numbers = output.split('\n').slice(0, -1);
  return { done: numbers.length > 0 ? Number(numbers.at(-1)) : undefined, code };
}
