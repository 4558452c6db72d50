/** The guide "From Python and back": its blocks, in their order, in one folder. */
import { assert } from 'chai';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { commandBundle } from '../support/command.js';
import { fences, root } from '../support/code_blocks.js';

const GUIDE = 'docs/python.md';
const blocks = fences(readFileSync(path.join(root, GUIDE), 'utf8'));

describe(GUIDE, function () {
  this.timeout(300_000);
  let folder: string;
  before(async () => {
    // Within the project, whose packages the blocks import.
    mkdirSync(path.join(root, 'spec/.tmp'), { recursive: true });
    folder = mkdtempSync(path.join(root, 'spec/.tmp/guide-'));
    // What npm makes of the package's bin.
    const { file } = await commandBundle();
    chmodSync(file, 0o755);
    mkdirSync(path.join(folder, 'node_modules/.bin'), { recursive: true });
    symlinkSync(file, path.join(folder, 'node_modules/.bin/tfjs-swa'));
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('is of blocks that run, in every language it speaks of', () => {
    const languages = blocks.map(({ language }) => language);
    assert.deepEqual([...new Set(languages)].sort(), ['python', 'sh', 'ts']);
  });

  for (const [i, { language, line, code }] of blocks.entries()) {
    it(`runs: line ${line}, ${language}`, () => {
      const file = path.join(folder, `block_${i}.${language}`);
      writeFileSync(file, code);
      const commands: Record<string, [string, ...string[]]> = {
        python: [process.env['SAFETENSORS_PYTHON'] ?? 'python3', file],
        sh: ['sh', '-e', file],
        ts: [process.execPath, '--import', 'tsx', file],
      };
      const [command, ...args] = commands[language]!;
      const run = spawnSync(command, args, {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
      });
      assert.equal(run.status, 0, run.stderr || run.error?.message);
    });
  }

  it('leaves what it speaks of', () => {
    for (const name of ['averaged', 'other', 'from-tfjs']) {
      assert.isTrue(existsSync(path.join(folder, `${name}.safetensors`)), name);
    }
  });
});
