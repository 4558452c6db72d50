/** Every example runs, and says what it should. */
import { assert } from 'chai';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.dirname(import.meta.dirname);
const run = async (name: string, ...args: string[]): Promise<string> => {
  const file = path.join(root, 'examples', name, 'main.ts');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', file, ...args],
    { cwd: root },
  );
  return stdout;
};

describe('examples', () => {
  it('are all run here, by demo.spec.ts or by spec/page', () => {
    const folders = readdirSync(path.join(root, 'examples')).filter((name) => name !== 'data');
    const examples = ['demo', 'keras_swa', 'page', 'schedules', 'torch_swa_utils'];
    assert.sameMembers(folders, examples);
  });

  it('torch_swa_utils: each averaged model separates the rings better than chance', async () => {
    const losses = [...(await run('torch_swa_utils')).matchAll(/^(\w+) +loss (\d\.\d{4})$/gm)];
    const names = losses.map(([, name]) => name);
    assert.deepEqual(names, ['model', 'swaModel', 'emaModel', 'customModel']);
    // ln 2 = 0.693 is the loss of one who knows nothing.
    for (const [, name, loss] of losses) assert.isBelow(Number(loss), 0.6, name);
  });

  it('keras_swa: the averaged weights are no worse than the last ones', async () => {
    const output = await run('keras_swa');
    const losses = [...output.matchAll(/loss (\d\.\d{4})/g)].map(([, loss]) => Number(loss));
    assert.lengthOf(losses, 4);
    const [constant, constantAverage, cyclic, cyclicAverage] = losses;
    assert.isAtMost(constantAverage!, constant!);
    assert.isAtMost(cyclicAverage!, cyclic!);
  });

  it('schedules: draws both pictures, as SVG and PNG', async () => {
    const out = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));
    try {
      await run('schedules', '--out', out);
      assert.sameMembers(readdirSync(out), [
        'schedule_paper_cyclic.png',
        'schedule_paper_cyclic.svg',
        'schedule_phases.png',
        'schedule_phases.svg',
      ]);
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});
