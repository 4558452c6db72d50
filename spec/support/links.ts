/** The links of a Markdown document, and whether they lead somewhere. */
import Slugger from 'github-slugger';
import MarkdownIt from 'markdown-it';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { root } from './code_blocks.js';

const markdown = new MarkdownIt();
const parse = (document: string) =>
  markdown.parse(readFileSync(path.join(root, document), 'utf8'), {});

/**
 * What is wrong with the relative links and pictures of a document, as `document:line: link`.
 *
 * @param known Whether a file, from the project's folder, is there for who reads the document.
 */
export function brokenLinks(document: string, known: (file: string) => boolean = isFile): string[] {
  return linksOf(document)
    .filter(({ link }) => {
      if (/^[a-z]+:/.test(link)) return false; // another place's
      const [file = '', anchor] = link.split('#');
      const target = file ? path.join(path.dirname(document), decodeURI(file)) : document;
      if (!isFile(target) || !known(target)) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    })
    .map(({ line, link }) => `${document}:${line}: ${link}`);
}

/** The links and pictures of a document, with the first line of the paragraph they stand in. */
export function linksOf(document: string): { line: number; link: string }[] {
  return parse(document).flatMap(({ children, map }) =>
    (children ?? [])
      .map((token) => token.attrGet('href') ?? token.attrGet('src'))
      .filter((link) => link !== null)
      .map((link) => ({ line: (map?.[0] ?? 0) + 1, link })),
  );
}

/** The anchors of a document's headings, as GitHub, npm and typedoc make them. */
function anchorsOf(document: string): string[] {
  const tokens = parse(document);
  const slugger = new Slugger();
  return tokens
    .filter((_, i) => tokens[i - 1]?.type === 'heading_open')
    .map(({ children }) => slugger.slug((children ?? []).map(({ content }) => content).join('')));
}

const isFile = (file: string): boolean => {
  const place = path.join(root, file);
  return existsSync(place) && statSync(place).isFile();
};
