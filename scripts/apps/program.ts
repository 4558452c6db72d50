/**
 * The little program that the packed package is tried with, for each way to import it. It throws
 * where a number is off, and knows nothing of bundlers, browsers and Nodes.
 */

/** The doors that are there for what they do when imported: every program goes through them. */
export const SIDE_EFFECTS = ['tfjs-swa/register', 'tfjs-swa/wasm-conv-gradient'];

/** The packages that every program imports; tfjs-layers first, which registers the gradients. */
const NAMESPACES = { tfl: '@tensorflow/tfjs-layers', tf: '@tensorflow/tfjs-core' };

/** Fails where an average is updated by plain operations of tfjs, and not by a kernel of ours. */
export const CHECK_FUSED = `
async function checkFused(swa) {
  for (let i = 0; i < 2; i++) swa.updateSwa();
  const { kernelNames } = await tf.profile(() => {
    swa.updateSwa();
    return [];
  });
  if (kernelNames.length > 0) throw new Error('Updated by ' + kernelNames.join(', '));
}
`;

const TRAIN = `
async function train() {
  const x = tf.variable(tf.tensor1d([4, -2]));
  const swa = new SWA(tf.train.sgd(0.1), { swaStart: 1, swaFreq: 1 });
  for (let i = 0; i < 3; i++) swa.minimize(() => tf.sum(tf.square(x)), false, [x]);
  swa.swapSwaSgd();
  // x falls by the factor 1 - 0.1 * 2 = 0.8 a step; the average of steps 2 and 3 from 4:
  const expected = (4 * 0.8 ** 2 + 4 * 0.8 ** 3) / 2;
  const [value = NaN] = await x.data();
  if (!(Math.abs(value - expected) < 1e-5)) throw new Error(value + ', not ' + expected);
  swa.swapSwaSgd();
  await checkFused(swa);
  const model = tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: new SWA(tf.train.adam()), loss: 'meanSquaredError' });
  await model.fit(tf.ones([4, 1]), tf.ones([4, 1]), { epochs: 1, verbose: 0 });
  await updateBn([tf.ones([1, 1])], model);
  // The class is known, and is the one that was imported.
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  if (classNameMap['SWA']?.[0] !== SWA) throw new Error('There is another SWA');
}
`;

const SAVE = `
async function save() {
  const swa = new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: tf.variable(tf.scalar(1)) }] });
  swa.updateSwa();
  const file = fileSystem('checkpoint.swa');
  await saveStateDict(file, await swa.stateDict());
  const { param_groups } = await loadStateDict(file);
  if (param_groups[0]?.n_avg !== 1) throw new Error('Another checkpoint');
}
`;

/** What is imported, from where: a name in braces, a namespace, or nothing. */
type Import = [what: string, from: string];

const FOR_ALL = (backend: string): Import[] => [
  ...Object.entries(NAMESPACES),
  ['', `@tensorflow/tfjs-backend-${backend}`],
  ['{ SWA, updateBn }', 'tfjs-swa'],
  ...SIDE_EFFECTS.map((from): Import => ['', from]),
];
const FOR_NODE: Import[] = [
  ['{ loadStateDict, saveStateDict }', 'tfjs-swa'],
  ['{ fileSystem }', 'tfjs-swa/node'],
];

const RUN = `
train().then(save).catch((error) => {
  console.error(error);
  process.exit(1);
});
`;

/** For a browser or a worker, an ES module that exports `train`. */
export const browserProgram = (backend = 'cpu'): string =>
  `${esm(FOR_ALL(backend))}${CHECK_FUSED}${TRAIN}export { train };\n`;

/** For Node, with the door for Node. */
export const nodeProgram = (kind: 'esm' | 'cjs'): string => {
  const imports = [...FOR_ALL('cpu'), ...FOR_NODE];
  return (kind === 'esm' ? esm(imports) : cjs(imports)) + CHECK_FUSED + TRAIN + SAVE + RUN;
};

/** The same, as TypeScript. */
export const typedProgram = (): string =>
  `import type { SWAOptions } from 'tfjs-swa';
const options: SWAOptions = { swaStart: 1 };
void options;
const steps = ({ iterations }: SWA): number => iterations;
void steps;
declare const process: { exit(code: number): never };
${nodeProgram('esm').replace('checkFused(swa)', 'checkFused(swa: SWA)')}`;

function esm(imports: readonly Import[]): string {
  const lines = imports.map(([what, from]) => {
    if (what === '') return `import '${from}';\n`;
    return `import ${what.startsWith('{') ? what : `* as ${what}`} from '${from}';\n`;
  });
  return lines.join('');
}

function cjs(imports: readonly Import[]): string {
  const lines = imports.map(([what, from]) =>
    what === '' ? `require('${from}');\n` : `const ${what} = require('${from}');\n`,
  );
  return lines.join('');
}
