/**
 * typedoc: a guide is called what its first heading says and a module what a user imports; members of
 * inline object types are documented by the symbol that they stand in. No page is without an example:
 * a public function or class without an `@example` is a warning, and with it an error, and the page of
 * a type has the example of what takes or gives it. That examples run is for the specs.
 */
import { Comment, Converter, makeRecursiveVisitor, ReflectionKind } from 'typedoc';

const CODE = [ReflectionKind.Function, ReflectionKind.Class];

/** @param {import('typedoc').DeclarationReflection} reflection */
const examplesOf = (reflection) =>
  [reflection, ...(reflection.signatures ?? [])].flatMap(
    ({ comment }) => comment?.getTags('@example') ?? [],
  );

/**
 * The types that a symbol names, its own members' included.
 *
 * @param {import('typedoc').DeclarationReflection} symbol
 */
function typesIn(symbol) {
  /** @type {Set<unknown>} */
  const found = new Set();
  const visitor = makeRecursiveVisitor({
    reference({ reflection }) {
      found.add(reflection);
    },
    reflection: ({ declaration }) => walk(declaration),
  });
  /** @param {import('typedoc').Reflection} reflection */
  const walk = (reflection) => {
    if (reflection.isDeclaration()) {
      reflection.type?.visit(visitor);
      reflection.extendedTypes?.forEach((type) => type.visit(visitor));
    } else if (reflection.isTypeParameter()) {
      reflection.type?.visit(visitor);
      reflection.default?.visit(visitor);
    } else if (reflection.isSignature() || reflection.isParameter()) {
      reflection.type?.visit(visitor);
    }
    reflection.traverse((part) => {
      walk(part);
      return true;
    });
  };
  walk(symbol);
  return found;
}

/**
 * Gives each type without an example one of the symbol nearest to it.
 *
 * @param {import('typedoc').DeclarationReflection[]} symbols
 */
function lendExamples(symbols) {
  for (let lent = true; lent;) {
    lent = false;
    const shown = symbols.filter((symbol) => examplesOf(symbol).length > 0);
    for (const symbol of shown) {
      const named = typesIn(symbol);
      for (const type of symbols) {
        if (!named.has(type) || examplesOf(type).length > 0) continue;
        const example = examplesOf(symbol)[0].clone();
        example.name ||= symbol.name; // its caption
        (type.comment ??= new Comment()).blockTags.push(example);
        lent = true;
      }
    }
  }
}

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    const [first] = document.content;
    const [, title] = /^# (.+)\n/.exec(first?.text ?? '') ?? [];
    if (!title) throw new Error(`${document.name} does not begin with a heading of plain text`);
    document.name = title;
  });
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      module.name = `tfjs-swa/${module.name.replaceAll('_', '-')}`.replace('/index', '');
    }
  });
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      let { parent } = reflection;
      while (parent && !parent.kindOf(ReflectionKind.TypeLiteral)) parent = parent.parent;
      if (parent && !reflection.hasComment()) {
        reflection.comment = new Comment([{ kind: 'text', text: 'See the symbol around it.' }]);
      }
    }
    const modules = project.getChildrenByKind(ReflectionKind.Module);
    const symbols = modules.flatMap(({ children = [] }) => children);
    const bare = symbols.filter((symbol) => examplesOf(symbol).length === 0);
    lendExamples(symbols);
    for (const symbol of bare) {
      if (symbol.kindOf(CODE) || examplesOf(symbol).length === 0) {
        app.logger.warn(`${symbol.getFullName()} has no @example`);
      }
    }
  });
}
