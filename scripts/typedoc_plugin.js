/** typedoc: members of inline object types are documented by the symbol that they stand in. */
import { Comment, Converter, ReflectionKind } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      let { parent } = reflection;
      while (parent && !parent.kindOf(ReflectionKind.TypeLiteral)) parent = parent.parent;
      if (parent && !reflection.hasComment()) {
        reflection.comment = new Comment([{ kind: 'text', text: 'See the symbol around it.' }]);
      }
    }
  });
}
