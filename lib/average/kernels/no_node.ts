/**
 * Stands for node.ts where a bundler builds for browsers (package.json, `browser`): tfjs-node is not
 * there.
 */
export const nodeAverage = null;
