/** The types of the public API: what spec/types/api.ts expects to be refused is, for its reason. */
import { assert } from 'chai';
import path from 'node:path';
import ts from 'typescript';

describe('the types of the public API', () => {
  const root = path.join(import.meta.dirname, '../..');
  const fixture = path.join(import.meta.dirname, 'types', 'api.ts');
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);

  /** What the compiler says of the fixture with another text, as `line: code`. */
  function complaints(edit: (text: string) => string): string[] {
    const host = ts.createCompilerHost(options, true);
    const readFile = host.readFile.bind(host);
    host.readFile = (file) => {
      const text = readFile(file);
      return path.resolve(file) === fixture && text !== undefined ? edit(text) : text;
    };
    host.getSourceFile = (file, version) => {
      const text = host.readFile(file);
      return text === undefined ? undefined : ts.createSourceFile(file, text, version, true);
    };
    const program = ts.createProgram({ rootNames: [fixture], options, host });
    const source = program.getSourceFile(fixture)!;
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
      .map(
        ({ start = 0, code }) => `${source.getLineAndCharacterOfPosition(start).line + 1}: ${code}`,
      )
      .sort();
  }

  it('refuse what they should, and nothing else', () => {
    assert.deepEqual(
      complaints((text) => text),
      [],
    );
  });

  it('refuse each line for the reason that stands above it', () => {
    const expected: string[] = [];
    ts.sys
      .readFile(fixture)!
      .split('\n')
      .forEach((line, i) => {
        const mark = /@ts-expect-error\s*(\d*)/.exec(line);
        if (mark && !line.trim().startsWith('*')) expected.push(`${i + 2}: ${mark[1]}`);
      });
    assert.isAbove(expected.length, 30);
    assert.deepEqual(
      complaints((text) => text.replaceAll('@ts-expect-error', '')),
      expected.sort(),
    );
  });

  it('would not let an expectation pass that nothing meets', () => {
    const unused = complaints((text) =>
      text.replace('new SWA();', '// @ts-expect-error 0\n  new SWA(sgd);'),
    );
    assert.includeMembers(
      unused.map((complaint) => complaint.split(': ')[1]),
      ['2578'],
    );
  });
});
