/**
 * The documentation keeps its word: the code of the README, of the guides and of the docstrings
 * compiles and runs, and every link leads somewhere.
 */
import { assert } from 'chai';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  docstringSamples,
  fences,
  markdownSamples,
  root,
  Samples,
  type Sample,
} from '../support/code_blocks.js';
import { brokenLinks, linksOf } from '../support/links.js';

const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const filesIn = (folder: string, extension: string): string[] =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => `${folder}/${name}`);

const GUIDES = filesIn('docs', '.md');
const DOCUMENTS = ['README.md', ...GUIDES, 'examples/README.md', 'benchmarks/README.md'];
/** Its blocks run in their order, with those of other languages: spec/python/guide.spec.ts. */
const IN_ORDER = 'docs/python.md';

describe('the documentation', function () {
  this.timeout(120_000);

  const inMarkdown = DOCUMENTS.flatMap((file) => markdownSamples(file, read(file)));
  const inDocstrings = filesIn('lib', '.ts').flatMap((file) => docstringSamples(file, read(file)));
  const all = [...inMarkdown.filter(({ document }) => document !== IN_ORDER), ...inDocstrings];
  let samples: Samples;
  let inOrder: Samples;
  let failures: (string | null)[];
  before(async () => {
    samples = new Samples(all);
    inOrder = new Samples(inMarkdown.filter(({ document }) => document === IN_ORDER));
    failures = await samples.run();
  });
  after(() => samples.remove());

  it('has an example in the README and on every page', () => {
    const without = DOCUMENTS.filter(
      (file) => !inMarkdown.some(({ document }) => document === file),
    );
    assert.deepEqual(without, []);
    assert.isNotEmpty(inDocstrings);
  });

  it('has these pages and no others in the site, beside those of the code', () => {
    const { projectDocuments } = JSON.parse(read('scripts/typedoc.json')) as {
      projectDocuments: string[];
    };
    const inSite = projectDocuments.map((file) => path.join('scripts', file));
    assert.sameMembers(['README.md', ...inSite], DOCUMENTS);
  });

  it('has every folder of lib in its map', () => {
    const folders = readdirSync(path.join(root, 'lib'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    const map = [...read('CONTRIBUTING.md').matchAll(/^ {2}(\w+)\/ +\S/gm)].map(([, name]) => name);
    assert.includeMembers(map, folders);
  });

  it('excuses no code from running', () => {
    const languages = DOCUMENTS.flatMap((file) =>
      fences(read(file)).map(({ language }) => language),
    );
    assert.isEmpty(
      languages.filter((language) => !['ts', 'sh', 'html', 'python'].includes(language)),
    );
  });

  it('has code that compiles', () => {
    assert.deepEqual([...samples.typeErrors(), ...inOrder.typeErrors()], []);
  });

  it('has links that lead somewhere', () => {
    const folders = ['docs', 'spec', 'benchmarks', 'examples'];
    const markdown = folders.flatMap((folder) => filesIn(folder, '.md'));
    const others = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...markdown];
    assert.deepEqual(
      others.flatMap((file) => brokenLinks(file)),
      [],
    );
    const linked = linksOf('README.md').map(({ link }) => link.split('#')[0]);
    assert.includeMembers(linked, GUIDES, 'a guide that the README does not lead to');
  });

  it('links from what is packed only to what is packed', () => {
    const pack = ['pack', '--dry-run', '--json', '--ignore-scripts'];
    const [{ files }] = JSON.parse(execFileSync('npm', pack, { cwd: root, encoding: 'utf8' })) as [
      { files: { path: string }[] },
    ];
    const packed = new Set(files.map((file) => file.path));
    const documents = [...packed].filter((file) => file.endsWith('.md'));
    assert.includeMembers(documents, DOCUMENTS);
    const broken = documents.flatMap((file) => brokenLinks(file, (target) => packed.has(target)));
    assert.deepEqual(broken, []);
  });

  all.forEach(({ document, line }: Sample, i) => {
    it(`runs: ${document}, line ${line}`, () => assert.isNull(failures[i], failures[i]!));
  });
});
