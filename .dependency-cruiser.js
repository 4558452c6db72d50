// @ts-check
/**
 * What a file of `lib` may import, types included (`npm run lint`): what lies on a lower floor, and
 * nothing in a circle.
 */

/** Folders of `lib`, the highest floor first; above them the doors, below them check.ts. */
const FLOORS = [
  ['cli'],
  ['fit'],
  ['optimizer', 'history', 'swag'],
  ['swap'],
  ['average', 'batchnorm', 'checkpoint', 'merge', 'schedule'],
  ['model'],
  ['state'],
];
const CHECK = '^lib/check\\.ts$';
const DOORS = '^lib/[^/]+\\.ts$';
/** Modules of Node, as `fs` and `fs/promises`. */
const NODE = '^[a-z_/]+$';

/** @param {string[]} folders */
const within = (folders) => `^lib/(${folders.join('|')})/`;
const error = /** @type {const} */ ('error');

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: 'no-circular', severity: error, from: {}, to: { circular: true } },
    {
      name: 'no-folders-in-a-circle',
      severity: error,
      scope: 'folder',
      from: { path: '^lib/.' },
      to: { path: '^lib/.', circular: true },
    },
    ...FLOORS.slice(1).map((floor, i) => ({
      name: `${floor.join('-')}-imports-upwards`,
      severity: error,
      from: { path: within(floor) },
      to: { path: within(FLOORS.slice(0, i + 1).flat()) },
    })),
    {
      name: 'check-imports-upwards',
      severity: error,
      from: { path: CHECK },
      to: { path: '^lib/' },
    },
    {
      name: 'nothing-imports-a-door',
      severity: error,
      from: { path: '^lib/', pathNot: DOORS },
      to: { path: DOORS, pathNot: CHECK },
    },
    {
      name: 'no-folder-without-a-floor',
      severity: error,
      from: { path: '^lib/[^/]+/', pathNot: within(FLOORS.flat()) },
      to: {},
    },
    {
      name: 'tfjs-core-alone',
      severity: error,
      from: { path: '^lib/', pathNot: '^lib/cli/progress\\.ts$' },
      to: {
        pathNot: ['^lib/', 'node_modules/@tensorflow/tfjs-core/'],
        dependencyTypesNot: ['core'],
      },
    },
    {
      name: 'a-bar-for-the-command',
      severity: error,
      from: { path: '^lib/cli/progress\\.ts$' },
      to: {
        pathNot: ['^lib/', 'node_modules/(@types/)?cli-progress/'],
        dependencyTypesNot: ['core'],
      },
    },
    {
      name: 'node-through-its-doors',
      severity: error,
      from: { path: DOORS, pathNot: [CHECK, '^lib/node\\.ts$'] },
      to: { path: NODE, reachable: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true, // types too
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types'] },
  },
};
