/**
 * typedoc: a guide is called what its first heading says and a module what a user imports; members of
 * inline object types are documented by the symbol that they stand in. A public function or class
 * without an `@example` is a warning, and with it an error; that examples run is for the specs.
 */
import { Comment, Converter, ReflectionKind } from 'typedoc';

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
    for (const module of project.getChildrenByKind(ReflectionKind.Module)) {
      for (const child of module.children ?? []) {
        const comments = [child, ...(child.signatures ?? [])].map(({ comment }) => comment);
        const needed = child.kindOf([ReflectionKind.Function, ReflectionKind.Class]);
        if (needed && !comments.some((comment) => comment?.getTag('@example'))) {
          app.logger.warn(`${child.getFullName()} has no @example`);
        }
      }
    }
  });
}
