/** The examples in the docstrings of `lib` compile and run. */
import { assert } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import {
  docstringSamples,
  removeSamples,
  runSample,
  typeErrors,
  writeSamples,
} from '../support/code_blocks.js';

describe('the examples in docstrings', () => {
  const lib = new URL('../../lib/', import.meta.url);
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' });
  const sources = files.filter((name) => name.endsWith('.ts'));
  const documents = sources.map((name) => {
    const samples = docstringSamples(readFileSync(new URL(name, lib), 'utf8'));
    return { name, samples, files: [] as string[] };
  });
  let all: string[] = [];
  before(() => {
    for (const document of documents) {
      document.files.push(...writeSamples(`lib/${document.name}`, document.samples));
    }
    all = documents.flatMap(({ files }) => files);
  });
  after(() => removeSamples(all));

  it('compile', () => {
    assert.isAbove(all.length, 0);
    const errors = typeErrors(all);
    const found = documents.flatMap(({ name, files }) =>
      files.flatMap((file) => errors.get(file)!.map((error) => `lib/${name}, ${error}`)),
    );
    assert.deepEqual(found, []);
  });

  for (const { name, samples, files } of documents) {
    samples.forEach(({ title }, i) => {
      it(`run: lib/${name}, ${title}`, () => runSample(files[i]!));
    });
  }
});
