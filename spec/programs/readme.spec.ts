/** The README leads to the rest: it is short, and begins with what a reader needs first. */
import { assert } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fences, root } from '../support/code_blocks.js';

describe('README.md', () => {
  const text = readFileSync(path.join(root, 'README.md'), 'utf8');

  it('has at most 150 lines', () => {
    assert.isAtMost(text.trimEnd().split('\n').length, 150);
  });

  it('installs and shows the five lines within its first 30', () => {
    const start = text.split('\n').slice(0, 30).join('\n');
    assert.include(start, 'npm install tfjs-swa');
    const code = fences(start).find(({ language }) => language === 'ts')?.code ?? '';
    assert.deepEqual(code.match(/\/\/ \d/g), ['// 1', '// 2', '// 3', '// 4', '// 5']);
  });

  it('names the two commands in its first two sh blocks', () => {
    const shell = fences(text).filter(({ language }) => language === 'sh');
    const commands = shell.slice(0, 2).map(({ code }) => code);
    assert.deepEqual(commands, ['npm ci && npm run demo\n', 'npm ci && npm test\n']);
  });
});
