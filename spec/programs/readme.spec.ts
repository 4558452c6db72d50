/** The README keeps its word: its code compiles and runs, and its commands are those of CI. */
import { assert } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import {
  markdownSamples,
  removeSamples,
  runSample,
  typeErrors,
  writeSamples,
} from '../support/code_blocks.js';

describe('README.md', () => {
  const file = new URL('../../README.md', import.meta.url);
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const samples = markdownSamples(text);
  let files: string[] = [];
  before(() => {
    files = writeSamples('README', samples);
  });
  after(() => removeSamples(files));

  it('has code', () => {
    assert.isTrue(samples.some(({ blocks }) => blocks.some(({ typed }) => typed)));
  });

  it('excuses none of it from running', () => {
    assert.notMatch(text, /^\s*(```|~~~)\s*(ts|js|typescript|javascript)\b[ \t]*\S/m);
  });

  it('names the two commands in its first two sh blocks', () => {
    const shell = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
    assert.deepEqual(shell.slice(0, 2), ['npm ci && npm run demo\n', 'npm ci && npm test\n']);
  });

  it('has code that compiles', () => {
    assert.deepEqual([...typeErrors(files).values()].flat(), []);
  });

  samples.forEach(({ title }, i) => {
    it(`runs the code of "${title}"`, () => runSample(files[i]!));
  });
});
