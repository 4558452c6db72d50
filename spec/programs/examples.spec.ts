/** Every example runs, and says what it should. */
import { assert } from 'chai';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.join(import.meta.dirname, '../..');
const run = async (name: string, ...args: string[]): Promise<string> => {
  const file = path.join(root, 'examples', name, 'main.ts');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', file, ...args],
    { cwd: root },
  );
  return stdout;
};

/** Every folder of examples, and what runs it. */
const RUN_BY = {
  checkpoint: 'this',
  demo: 'demo.spec.ts',
  keras_swa: 'this',
  layers_fit: 'this',
  node_script: 'this',
  page: 'page/*.spec.ts',
  parallel: 'parallel*.spec.ts',
  schedules: 'this',
  soup: 'this',
  tabs: 'page/tabs.spec.ts',
  target_network: 'this',
  torch_swa_utils: 'this',
  training_loop: 'this',
  uncertainty: 'this',
  vite_page: 'scripts/apps/bundlers.ts',
};
/** Where a user starts: short enough to be read at one go. */
const STARTS = ['layers_fit', 'node_script', 'training_loop', 'vite_page'] as const;

/** What an example says of the last weights and of the averages: the last number of a line. */
async function lastAndAverages(name: (typeof STARTS)[number]): Promise<[number, number]> {
  const output = await run(name);
  const told = (what: string): number => {
    const [, number] = new RegExp(`^${what}: .* (\\d+\\.\\d+)$`, 'm').exec(output) ?? [];
    return Number(number ?? assert.fail(`nothing of the ${what} in:\n${output}`));
  };
  return [told('last weights'), told('averages')];
}

describe('examples', function () {
  this.timeout(240_000); // each is a process that trains, perhaps beside others

  it('are all run', () => {
    const entries = readdirSync(path.join(root, 'examples'), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    assert.sameMembers(folders, ['data', ...Object.keys(RUN_BY)]);
  });

  for (const name of STARTS) {
    it(`${name}: is under 60 lines`, () => {
      const text = readFileSync(path.join(root, 'examples', name, 'main.ts'), 'utf8');
      assert.isBelow(text.trimEnd().split('\n').length, 60);
    });
  }

  it('node_script: the averages answer better than the last weights', async () => {
    const [last, averages] = await lastAndAverages('node_script');
    // ln 10 = 2.303 is the loss of one who knows nothing.
    assert.isBelow(averages, 1);
    assert.isBelow(averages, 0.8 * last);
  });

  it('layers_fit: the averages answer better than the last weights', async () => {
    const [last, averages] = await lastAndAverages('layers_fit');
    // ln 2 = 0.693 is the loss of one who knows nothing.
    assert.isBelow(averages, 0.4);
    assert.isBelow(averages, last);
  });

  it('training_loop: the curve of the averages is nearer than that of the last weights', async () => {
    const [last, averages] = await lastAndAverages('training_loop');
    // 0.5, the mean square of a sine, is the error of one who says 0.
    assert.isBelow(averages, 0.05);
    assert.isBelow(averages, 0.8 * last);
  });

  it('checkpoint: stopped and resumed, the run ends as the one that was not', async () => {
    const output = await run('checkpoint');
    // 13 epochs of 8 steps are 104; averaged after 81, 84, ..., 102.
    assert.include(output, 'resumed after epoch 13, with 8 values averaged');
    const [, unbroken, resumed] = /^unbroken (\S+)[^]*^resumed (\S+)$/m.exec(output)!;
    assert.equal(resumed, unbroken);
    assert.isBelow(Number(resumed), 0.1);
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

  it('target_network: the pole stays up longer than at the start; under 80 lines', async () => {
    const text = readFileSync(path.join(root, 'examples/target_network/main.ts'), 'utf8');
    assert.isBelow(text.trimEnd().split('\n').length, 80);
    const output = await run('target_network');
    const [first, last] = [...output.matchAll(/a mean return of (\d+\.\d)/g)].map(([, r]) => Number(r)); // prettier-ignore
    assert.isAbove(last!, 3 * first!);
  });

  it('uncertainty: is surer where data are than in the gap between; under 80 lines', async () => {
    const text = readFileSync(path.join(root, 'examples/uncertainty/main.ts'), 'utf8');
    assert.isBelow(text.trimEnd().split('\n').length, 80);
    const out = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));
    try {
      const output = await run('uncertainty', '--out', out);
      const [gap, left, right] = [...output.matchAll(/\d\.\d{3}/g)].map(Number);
      assert.isAbove(gap!, 1.5 * Math.max(left!, right!));
      assert.isAbove(Math.min(left!, right!), 0);
      assert.sameMembers(readdirSync(out), ['uncertainty.png', 'uncertainty.svg']);
    } finally {
      rmSync(out, { recursive: true });
    }
  });

  it('soup: takes the best run and what makes it better; under 100 lines', async () => {
    const text = readFileSync(path.join(root, 'examples/soup/main.ts'), 'utf8');
    assert.isBelow(text.trimEnd().split('\n').length, 100);
    const lines = (await run('soup', '--quick')).trim().split('\n');
    for (const [kind, of] of [
      ['last weights', lines.slice(0, 4)],
      ['averages', lines.slice(4)],
    ] as const) {
      const told = of.map((line) => /^(.+), (.+): (\d+\.\d+) % of the test wrong, /.exec(line)!);
      assert.deepEqual(told.map(([, what]) => what), Array(4).fill(kind)); // prettier-ignore
      const [first, second, best, soup] = told.map(([, , which, error]) => [which!, Number(error)]);
      const rate = /^best on validation \((.+)\)$/.exec(best![0] as string)![1]!;
      assert.include(['0.1', '0.02'], rate);
      assert.equal(best![1], (rate === '0.1' ? first : second)![1]);
      assert.match(soup![0] as string, new RegExp(`^soup of ${rate.replace('.', '\\.')}( |$)`));
      // 90 % is the error of one who knows nothing.
      for (const [which, error] of [first!, second!, soup!]) assert.isBelow(error as number, 45, which as string); // prettier-ignore
    }
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
