/**
 * Finds the code in Markdown and in docstrings, and type-checks and runs it. A block becomes a
 * module under spec/.tmp whose lines have the numbers that they have in the document.
 */
import { assert } from 'chai';
import { execFile } from 'node:child_process';
import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';

/** Lines of code of a document that belong together, each block in the scope of those before. */
export interface Sample {
  /** Names the spec, and the file: a title and where it starts. */
  readonly title: string;
  /** The code of each block, by line of the document, from 0. */
  readonly blocks: { readonly start: number; readonly lines: string[]; readonly typed: boolean }[];
}

const root = path.join(import.meta.dirname, '../..');
/** A folder of this run alone: others may run the specs in the same tree. */
const folder = path.join(import.meta.dirname, '../.tmp', String(process.pid));
const languages = new Map([
  ['ts', true],
  ['typescript', true],
  ['js', false],
  ['javascript', false],
]);

/** What a sample may import, and where that is to be found from spec/.tmp. */
const modules = new Map([
  ['tfjs-swa', '../../../lib/index.js'],
  ['@tensorflow/tfjs', '../../support/tfjs.js'],
]);

/** The samples of a Markdown text: one for each `##` section that has code in it. */
export function markdownSamples(text: string): Sample[] {
  const samples: Sample[] = [];
  let title = 'the top';
  let blocks: Sample['blocks'] = [];
  let open: { start: number; lines: string[]; fence: string; language: string } | null = null;
  const close = (): void => {
    if (blocks.length > 0) samples.push({ title, blocks });
    blocks = [];
  };
  text.split('\n').forEach((line, number) => {
    const [, fence = '', info = ''] = /^\s*(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (open) {
      if (fence.startsWith(open.fence) && info.trim() === '') {
        const typed = languages.get(open.language);
        if (typed !== undefined) blocks.push({ start: open.start, lines: open.lines, typed });
        open = null;
      } else {
        open.lines.push(line);
      }
    } else if (fence !== '') {
      const [language = ''] = info.trim().split(/[\s,{:]+/);
      open = { start: number + 1, lines: [], fence, language };
    } else if (/^##? /.test(line)) {
      close();
      title = line.replace(/^#+ /, '');
    }
  });
  close();
  return samples;
}

/** The samples of a TypeScript file: one for each `@example`, and for each fenced block. */
export function docstringSamples(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const comment of text.matchAll(/^[ \t]*\/\*\*[\s\S]*?\*\//gm)) {
    const first = text.slice(0, comment.index).split('\n').length - 1;
    const after = text.slice(comment.index + comment[0].length);
    const name =
      /^\s*(?:(?:export|default|async|abstract|declare|static|override|readonly|function\*?|class|interface|const|type|get|set)\s+)*([\w$]+)/.exec(
        after,
      )?.[1] ?? '';
    const lines = comment[0]
      .replace(/\s*\*\/$/, '')
      .split('\n')
      .map((line) => line.replace(/^\s*\/?\*{1,2} ?/, ''));
    let code: { start: number; lines: string[]; typed: boolean } | null = null;
    let fenced = false;
    const close = (): void => {
      if (code?.lines.some((line) => line.trim() !== '')) {
        samples.push({
          title: `${name}, line ${first + code.start + 1}`,
          blocks: [{ ...code, start: first + code.start }],
        });
      }
      code = null;
      fenced = false;
    };
    lines.forEach((line, i) => {
      const [, fence, language = ''] = /^\s*(```)(.*)$/.exec(line) ?? [];
      if (fence !== undefined) {
        if (fenced) {
          close();
          return;
        }
        const typed = languages.get(language.trim());
        code = typed === undefined ? null : { start: i + 1, lines: [], typed };
        fenced = true;
      } else if (!fenced && line.startsWith('@')) {
        close();
        if (line.trim() === '@example') code = { start: i + 1, lines: [], typed: true };
        else assert.notMatch(line, /^@example/, 'the code of an @example starts on its next line');
      } else {
        code?.lines.push(line);
      }
    });
    close();
  }
  return samples;
}

/** Writes the samples of a document to spec/.tmp and returns their files, in order. */
export function writeSamples(document: string, samples: readonly Sample[]): string[] {
  mkdirSync(folder, { recursive: true });
  return samples.map((sample, i) => {
    const file = path.join(folder, `${document.replace(/\W/g, '_')}_${i}.ts`);
    writeFileSync(file, moduleOf(sample));
    return file;
  });
}

/** Removes what {@link writeSamples} wrote. */
export function removeSamples(files: readonly string[]): void {
  for (const file of files) rmSync(file, { force: true });
  try {
    rmdirSync(folder);
  } catch {
    // Not empty: another document's samples are still to run.
  }
}

/** The complaints of the TypeScript compiler about a sample's file, as `line: message`. */
export function typeErrors(files: readonly string[]): Map<string, string[]> {
  const program = ts.createProgram({
    rootNames: [...files],
    // What a user has who switched on `strict`, and no more.
    options: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      types: ['node'],
    },
  });
  return new Map(
    files.map((file) => {
      const source = program.getSourceFile(file);
      const found = source
        ? [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
        : [];
      return [file, found.map((diagnostic) => complaint(diagnostic))];
    }),
  );
}

function complaint({ file, start = 0, messageText }: ts.Diagnostic): string {
  const line = file ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
  return `line ${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
}

/** Runs a sample's file in a process of its own, as its reader would. */
export async function runSample(file: string): Promise<void> {
  await promisify(execFile)(process.execPath, ['--import', 'tsx', file], { cwd: root });
}

/**
 * The module of a sample: its imports and what it may use without importing it on the first line,
 * the blocks in their places, each in braces within the one before, so that it may use that one's
 * names and declare them anew.
 */
function moduleOf({ blocks }: Sample): string {
  const last = blocks.at(-1)!;
  const lines = Array.from({ length: last.start + last.lines.length + 1 }, () => '');
  const imports = new Map<string, string>();
  for (const { start, lines: code } of blocks) {
    const { rest, found } = takeImports(code.join('\n'));
    for (const [key, statement] of found) imports.set(key, statement);
    rest.split('\n').forEach((line, i) => (lines[start + i] = line));
    lines[start - 1] = `${lines[start - 1] ?? ''}{`;
  }
  lines[lines.length - 1] = '}'.repeat(blocks.length);
  const names = [...imports.keys()];
  const prelude = [...scope()].filter(([name]) => !names.includes(name));
  const head = [...imports.values(), ...prelude.map(([, statement]) => statement), 'export {};'];
  const check = blocks.every(({ typed }) => typed) ? '' : '// @ts-nocheck\n';
  return `${check}${head.join(' ')}${lines.join('\n')}\n`;
}

/** Takes the imports out of a block, leaving its lines where they are; by local name. */
function takeImports(code: string): { rest: string; found: Map<string, string> } {
  const source = ts.createSourceFile('block.ts', code, ts.ScriptTarget.ES2022, true);
  const found = new Map<string, string>();
  let rest = code;
  for (const node of source.statements) {
    if (!ts.isImportDeclaration(node)) continue;
    const text = node.getText();
    rest = rest.replace(text, text.replace(/[^\n]/g, ''));
    const specifier = (node.moduleSpecifier as ts.StringLiteral).text;
    const inside = specifier.replace(/^tfjs-swa\/(.+)$/, '../../../lib/$1.js');
    const from = `'${modules.get(specifier) ?? inside}';`;
    const clause = node.importClause;
    if (clause === undefined) found.set(`import ${specifier}`, `import ${from}`);
    if (clause?.name) found.set(clause.name.text, `import ${clause.name.text} from ${from}`);
    const bindings = clause?.namedBindings;
    if (bindings && ts.isNamespaceImport(bindings)) {
      found.set(bindings.name.text, `import * as ${bindings.name.text} from ${from}`);
    } else if (bindings) {
      for (const element of bindings.elements) {
        found.set(element.name.text, `import { ${element.getText()} } from ${from}`);
      }
    }
  }
  return { rest, found };
}

/** What a sample may use without importing it: all of tfjs-swa, and tfjs as `tf`. */
function scope(): Map<string, string> {
  const file = path.join(root, 'lib', 'index.ts');
  const source = ts.createSourceFile(file, ts.sys.readFile(file)!, ts.ScriptTarget.ES2022, true);
  const names = source.statements.flatMap((node) =>
    ts.isExportDeclaration(node) && node.exportClause && ts.isNamedExports(node.exportClause)
      ? node.exportClause.elements.map(({ name }) => name.text)
      : [],
  );
  return new Map([
    ['tf', "import * as tf from '../../support/tfjs.js';"],
    ...names.map((name): [string, string] => [
      name,
      `import { ${name} } from '../../../lib/index.js';`,
    ]),
  ]);
}
