/**
 * Finds the TypeScript in Markdown and in docstrings, checks its types and runs it. Every block is a
 * module of its own, whose lines have the numbers that they have in the document.
 */
import MarkdownIt from 'markdown-it';
import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

/** A block of code. */
export interface Sample {
  /** The file in which it stands, from the project's folder. */
  readonly document: string;
  /** The line before the first one of the code; lines count from 1. */
  readonly line: number;
  readonly code: string;
  /** What it may use without importing it: import statements. */
  readonly imports?: string;
}

export const root = path.join(import.meta.dirname, '../..');
/** A folder of this run alone: others may run the specs in the same tree. */
const folder = path.join(import.meta.dirname, '../.tmp', String(process.pid));
const markdown = new MarkdownIt();
const parse = (name: string, text: string): ts.SourceFile =>
  ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true);

/** What the main door exports, types included. */
const PUBLIC = parse('index.ts', readFileSync(path.join(root, 'lib/index.ts'), 'utf8'))
  .statements.map((node) => (ts.isExportDeclaration(node) ? node.exportClause : undefined))
  .flatMap((clause) => (clause && ts.isNamedExports(clause) ? clause.elements : []))
  .map(({ name }) => name.text);

/** The fenced blocks of a Markdown text, whatever their language. */
export function fences(text: string): { line: number; language: string; code: string }[] {
  return markdown
    .parse(text, {})
    .filter(({ type }) => type === 'fence')
    .map(({ map, info, content }) => ({ line: map![0] + 1, language: info, code: content }));
}

/** The TypeScript of a Markdown document. */
export function markdownSamples(document: string, text: string): Sample[] {
  return fences(text)
    .filter(({ language }) => language === 'ts')
    .map(({ line, code }) => ({ document, line, code }));
}

/** Each `@example` of a TypeScript file; it may use tfjs as `tf`, and what tfjs-swa exports. */
export function docstringSamples(document: string, text: string): Sample[] {
  const source = parse(document, text);
  const imports = `import * as tf from '@tensorflow/tfjs'; import { ${PUBLIC} } from 'tfjs-swa';`;
  const samples: Sample[] = [];
  const visit = (node: ts.Node): void => {
    for (const tag of (node as { jsDoc?: ts.JSDoc[] }).jsDoc?.flatMap(({ tags }) => tags) ?? []) {
      if (tag?.tagName.text !== 'example') continue;
      const line = source.getLineAndCharacterOfPosition(tag.getStart()).line + 1;
      samples.push({ document, line, imports, code: ts.getTextOfJSDocComment(tag.comment) ?? '' });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return samples;
}

/** Samples on disk, each as a module. */
export class Samples {
  readonly files: string[];

  constructor(readonly list: readonly Sample[]) {
    mkdirSync(folder, { recursive: true });
    this.files = list.map(({ document, line, code, imports = '' }, i) => {
      const file = path.join(folder, `${document.replace(/\W/g, '_')}_${i}.ts`);
      writeFileSync(file, `${imports}${'\n'.repeat(line)}${code}\nexport {};\n`);
      return file;
    });
  }

  /** What the compiler says to one who switched on `strict`, and no more: `document:line: message`. */
  typeErrors(): string[] {
    const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), ts.sys.readFile) as {
      config: { compilerOptions: { paths: Record<string, string[]> } };
    };
    const program = ts.createProgram(this.files, {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      paths: config.compilerOptions.paths,
      pathsBasePath: root,
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      types: ['node'],
    });
    return this.files.flatMap((file, i) => {
      const source = program.getSourceFile(file)!;
      const found = [
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
      ];
      return found.map(({ start = 0, messageText }) => {
        const line = source.getLineAndCharacterOfPosition(start).line + 1;
        const message = ts.flattenDiagnosticMessageText(messageText, ' ');
        return `${this.list[i]!.document}:${line}: ${message}`;
      });
    });
  }

  /**
   * Runs all of them, one after the other in one process.
   *
   * @returns For each why it failed, or `null`.
   */
  async run(): Promise<(string | null)[]> {
    const script = path.join(import.meta.dirname, 'run_samples.ts');
    const child = fork(script, this.files, {
      cwd: root,
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      timeout: 100_000,
    });
    const failures = this.files.map(
      (): string | null => 'It did not run to its end, or one before it did not',
    );
    child.on('message', ([i, failure]: [number, string | null]) => {
      failures[i] = failure && this.inDocuments(failure);
    });
    await new Promise((resolve) => child.on('exit', resolve));
    return failures;
  }

  remove(): void {
    rmSync(folder, { recursive: true, force: true });
  }

  /** A stack with the documents in place of the modules. */
  private inDocuments(stack: string): string {
    const names = this.files.flatMap((file) => [pathToFileURL(file).href, file]);
    return names.reduce(
      (text, name, i) => text.replaceAll(name, this.list[i >> 1]!.document),
      stack,
    );
  }
}
