/**
 * Runs that are stopped and go on in another process: what resume.spec.ts and resume_child.ts share.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import path from 'node:path';
import { loadStateDict, saveStateDict, SWA, SWALR } from '../../lib/index.js';
import type { SWALRStateDict, SWAOptions, SWAStateDict, TensorData } from '../../lib/index.js';
import { fileSystem } from '../../lib/node.js';
import { OPTIMIZERS, random } from '../support/support.js';

/** The steps of each half: averages are taken at 6, 9, 12, ..., so that 11 lies between two. */
export const STEPS = [11, 12] as const;
const AVERAGING = { swaStart: 4, swaFreq: 3 };

/** What is compared, exactly: everything but the names of layers, which depend on the process. */
export interface Outcome {
  params: number[][];
  averages: number[][];
  slots: Record<string, number[][]>;
  groups: unknown[];
  rest: unknown;
}

/** A run that can be stopped in the middle. */
export interface Run {
  title: string;
  /** Both halves without a stop. */
  unbroken(): Promise<Outcome>;
  save(file: string): Promise<void>;
  resume(file: string): Promise<Outcome>;
}

export const RUNS: Run[] = [
  ...Object.keys(OPTIMIZERS).flatMap((name) =>
    Object.keys(GROUPINGS()).flatMap((grouping) =>
      [false, true].map((swapped) => bareRun(name, grouping, swapped)),
    ),
  ),
  ...['adam', 'momentum', 'adamax'].flatMap((name) =>
    [false, true].flatMap((several) =>
      [false, true].map((swapped) => modelRun(name, several, swapped)),
    ),
  ),
];

async function outcomeOf(
  swa: SWA,
  variables: readonly tf.Variable[],
  rest: unknown,
): Promise<Outcome> {
  const { opt_state, swa_state, param_groups } = await swa.stateDict();
  return {
    params: variables.map((variable) => [...variable.dataSync()]),
    averages: Object.values(swa_state).map(({ swa_buffer }) => [...swa_buffer.values]),
    slots: Object.fromEntries(
      Object.entries(opt_state).map(([g, entries]) => [
        g,
        entries.map((entry) => [...entry.values]),
      ]),
    ),
    groups: param_groups.map(({ param_names: _, ...group }) => group),
    rest,
  };
}

// --- Variables, a scheduler and an SWA, in one checkpoint ----------------------------------------

/** The first number among the hyper-parameters, a little smaller. */
function otherHyperparameters(optimizer: tf.Optimizer): Record<string, number> {
  const found = Object.entries(optimizer.getConfig()).find(
    ([key, value]) => key !== 'learningRate' && typeof value === 'number',
  ) as [string, number] | undefined;
  return found ? { [found[0]]: found[1] * 0.75 } : {};
}

function GROUPINGS(): Record<string, (base: tf.Optimizer, vs: tf.Variable[]) => SWAOptions> {
  return {
    'one group': (_, vs) => ({ paramGroups: [{ params: vs }] }),
    'groups of different hyper-parameters': (base, [a, b, c, d]) => ({
      paramGroups: [
        { params: [b!, a!] },
        { params: c!, lr: 0.02, ...otherHyperparameters(base) },
        { params: d!, optimizer: tf.train.momentum(0.03, 0.8, true) },
      ],
    }),
  };
}

function bareRun(name: string, grouping: string, swapped: boolean): Run {
  interface Checkpoint {
    swa: SWAStateDict;
    scheduler: SWALRStateDict;
    epoch: number;
    model: TensorData[];
  }

  const start = () => {
    const next = random(7);
    const variables = [3, 5, 2, 4].map((size, i) =>
      tf.tidy(() => {
        const values = Array.from({ length: size }, () => next() - 0.5);
        return tf.variable(tf.tensor1d(values), true, `resume/${i}`);
      }),
    );
    const base = OPTIMIZERS[name]!();
    const swa = new SWA(base, { ...AVERAGING, ...GROUPINGS()[grouping]!(base, variables) });
    // In the middle of its anneal at the stop.
    const scheduler = new SWALR(swa, { swaLr: 0.01, annealEpochs: 15 });
    const train = (from: number, steps: number) => {
      for (let step = from; step < from + steps; step++) {
        swa.minimize(() => {
          const terms = variables.map((v, i) =>
            tf.sum(tf.square(tf.sub(tf.mul(v, 1 + 0.3 * i), Math.sin(step + i)))),
          );
          return tf.addN(terms) as tf.Scalar;
        });
        scheduler.step();
      }
    };
    const end = async (): Promise<Outcome> => {
      const outcome = await outcomeOf(swa, variables, [scheduler.stateDict(), scheduler.lastLr]);
      dispose();
      return outcome;
    };
    const dispose = () => {
      swa.dispose();
      tf.dispose(variables);
    };
    return { variables, swa, scheduler, train, end, dispose };
  };

  return {
    title: `${name}, ${grouping}${swapped ? ', swapped' : ''}`,
    async unbroken() {
      const { train, end } = start();
      train(0, STEPS[0]);
      train(STEPS[0], STEPS[1]);
      return end();
    },
    async save(file) {
      const { variables, swa, scheduler, train, dispose } = start();
      train(0, STEPS[0]);
      if (swapped) swa.swapSwaSgd();
      const model = variables.map((variable): TensorData => {
        const { name, shape } = variable;
        const values = (variable.dataSync() as Float32Array).slice();
        return { name, dtype: 'float32', shape, values };
      });
      const state = { swa: await swa.stateDict(), scheduler: scheduler.stateDict() };
      const checkpoint: Checkpoint = { ...state, epoch: STEPS[0], model };
      await saveStateDict(fileSystem(file), checkpoint);
      dispose();
    },
    async resume(file) {
      const { variables, swa, scheduler, train, end } = start();
      const checkpoint = await loadStateDict<Checkpoint>(fileSystem(file));
      variables.forEach((variable, i) => {
        const { values, shape } = checkpoint.model[i]!;
        tf.tidy(() => variable.assign(tf.tensor(values, shape as [number])));
      });
      await swa.loadStateDict(checkpoint.swa);
      scheduler.loadStateDict(checkpoint.scheduler);
      if (swa.swapped !== swapped) throw new Error(`swapped: ${swa.swapped}, not ${swapped}`);
      if (swapped) swa.swapSwaSgd();
      train(checkpoint.epoch, STEPS[1]);
      return end();
    },
  };
}

// --- A model of tfjs-layers with batch normalization, through model.save -------------------------

/** The layers' weights, in the model's order. */
function read(weights: tfl.LayerVariable[]): tf.Variable[] {
  return weights.map((weight) => weight.read() as tf.Variable);
}

/** 3 -> 4, batch normalization -> 2, with the names and weights of every other. */
export function smallModel(name: string): tfl.Sequential {
  const model = tfl.sequential({
    layers: [
      tfl.layers.dense({ units: 4, inputShape: [3], name: `${name}_a` }),
      tfl.layers.batchNormalization({ momentum: 0.8, name: `${name}_bn` }),
      tfl.layers.dense({ units: 2, name: `${name}_b` }),
    ],
  });
  const next = random(9);
  for (const variable of read(model.trainableWeights)) {
    const values = Array.from({ length: variable.size }, () => next() + 0.1);
    tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
  }
  return model;
}

/**
 * Compiles a model with an SWA; with `several` groups, that of the first layer comes last, and all
 * differ.
 */
export function compile(model: tfl.LayersModel, name: string, several: boolean): SWA {
  const base = OPTIMIZERS[name]!();
  const [first, norm, last] = model.layers
    .filter((layer) => layer.trainableWeights.length > 0)
    .map((layer) => read(layer.trainableWeights));
  const paramGroups = [
    { params: last! },
    { params: norm!, lr: 0.01, ...otherHyperparameters(base) },
    { params: first!, lr: 0.02 },
  ];
  const swa = new SWA(base, { ...AVERAGING, ...(several && { paramGroups }) });
  model.compile({ optimizer: swa, loss: 'meanSquaredError' });
  return swa;
}

/** Takes steps with `fit`, one a batch of 4 examples. */
export async function fit(model: tfl.LayersModel, from: number, steps: number): Promise<number[]> {
  const next = random(100 + from);
  const values = (count: number) => Array.from({ length: count }, () => next() - 0.5);
  const [x, y] = [
    tf.tensor2d(values(steps * 12), [steps * 4, 3]),
    tf.tensor2d(values(steps * 8), [steps * 4, 2]),
  ];
  const { history } = await model.fit(x, y, {
    ...{ batchSize: 4, epochs: 1, shuffle: false, verbose: 0, yieldEvery: 'never' },
  });
  tf.dispose([x, y]);
  return history['loss'] as number[];
}

/** What came out of a model, which is disposed; `rest` has the statistics and the losses. */
export async function modelOutcome(model: tfl.LayersModel, losses: number[]): Promise<Outcome> {
  const swa = model.optimizer as SWA;
  const statistics = read(model.nonTrainableWeights).map((variable) => [...variable.dataSync()]);
  const outcome = await outcomeOf(swa, read(model.trainableWeights), { statistics, losses });
  swa.dispose();
  model.dispose();
  return outcome;
}

function modelRun(name: string, several: boolean, swapped: boolean): Run {
  const title = `model.save with ${name}, ${several ? 'three groups' : 'one group'}${swapped ? ', swapped' : ''}`;
  const layers = title.replaceAll(/\W+/g, '_');
  return {
    title,
    async unbroken() {
      const model = smallModel(layers);
      compile(model, name, several);
      await fit(model, 0, STEPS[0]);
      return modelOutcome(model, await fit(model, STEPS[0], STEPS[1]));
    },
    async save(file) {
      const model = smallModel(layers);
      const swa = compile(model, name, several);
      await fit(model, 0, STEPS[0]);
      if (swapped) swa.swapSwaSgd();
      await model.save(fileSystem(file), { includeOptimizer: true });
      swa.dispose();
      model.dispose();
    },
    async resume(file) {
      const model = await tfl.loadLayersModel(fileSystem(file));
      const swa = model.optimizer as SWA;
      if (swa.swapped !== swapped) throw new Error(`swapped: ${swa.swapped}, not ${swapped}`);
      if (swapped) swa.swapSwaSgd();
      return modelOutcome(model, await fit(model, STEPS[0], STEPS[1]));
    },
  };
}

// --- Files ----------------------------------------------------------------------------------

/** The files of a run: its state in the middle, and what came out. */
export function filesOf(folder: string, run: Run) {
  const name = path.join(folder, String(RUNS.indexOf(run)));
  return { state: `${name}.swa`, unbroken: `${name}-unbroken.swa`, resumed: `${name}-resumed.swa` };
}
