/**
 * After whatever the library does to weights, a net predicts as a new one with the same weights does:
 * tfjs keeps copies of weights of its own (wasm packs them for its products), and none may be stale.
 * The averages are those of a float64 reference, and no alias of a weight changes.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import fc from 'fast-check';
import { AveragedModel, emaAvgFn, SWA, swaAvgFn, type AvgFn } from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertClose, random, valuesOf } from '../support/support.js';

const { layers } = tfl;

interface Net {
  inputShape: number[];
  /** Inputs are integers below it; else numbers in [-1, 1). */
  words?: number;
  build(): tfl.layers.Layer[];
}

/** The default one takes chained ops, which tfjs-core alone has not. */
const recurrentInitializer = 'glorotUniform';

/** Together they have every kind of weight of which a backend makes copies. */
const NETS: Record<string, Net> = {
  'dense, PReLU, batch normalization': {
    inputShape: [3],
    build: () => [
      layers.dense({ units: 4 }),
      layers.prelu(),
      layers.batchNormalization(),
      layers.dense({ units: 2, useBias: false }),
    ],
  },
  'convolution, depthwise, separable': {
    inputShape: [5, 5, 2],
    build: () => [
      layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same' }),
      layers.prelu({ sharedAxes: [1, 2] }),
      layers.depthwiseConv2d({ kernelSize: 2 }),
      layers.batchNormalization(),
      layers.separableConv2d({ filters: 2, kernelSize: 2 }),
      layers.conv2d({ filters: 2, kernelSize: 1 }),
      layers.flatten(),
      layers.dense({ units: 2 }),
    ],
  },
  'embedding, recurrent': {
    inputShape: [3],
    words: 5,
    build: () => [
      layers.embedding({ inputDim: 5, outputDim: 3 }),
      layers.gru({ units: 2, returnSequences: true, recurrentInitializer }),
      layers.lstm({ units: 2, returnSequences: true, recurrentInitializer }),
      layers.simpleRNN({ units: 2, recurrentInitializer }),
      layers.dense({ units: 1 }),
    ],
  },
};

const AVG_FNS: Record<string, [() => AvgFn, (n: number) => number]> = {
  'equal average': [swaAvgFn, (n) => 1 / (n + 1)],
  'EMA of 0.5': [() => emaAvgFn(0.5), () => 0.5],
};

const ACTIONS = ['step', 'assign', 'update', 'swap', 'predict', 'alias', 'save', 'load'] as const;
type Action = (typeof ACTIONS)[number];

function modelOf({ inputShape, build }: Net): tfl.Sequential {
  const model = tfl.sequential();
  build().forEach((layer, i) => {
    // The first layer of a net says what goes into it.
    if (i === 0) Object.assign(layer, { batchInputShape: [null, ...inputShape] });
    model.add(layer);
  });
  return model;
}

const variablesOf = (model: tfl.LayersModel): tf.Variable[] =>
  model.weights.map((weight) => weight.read() as tf.Variable);

/** A net and a batch for it, what its weights hold, and all aliases of them with what those hold. */
class Subject {
  readonly model: tfl.Sequential;
  private readonly ownsModel: boolean;
  private readonly x: tf.Tensor;
  private readonly aliases: [alias: tf.Tensor, values: number[]][] = [];

  constructor(
    private readonly net: Net,
    private readonly next: () => number,
    model?: tfl.Sequential,
  ) {
    this.ownsModel = !model;
    this.model = model ?? modelOf(net);
    const { inputShape, words } = net;
    const shape = [2, ...inputShape];
    this.x = tf.tidy(() => {
      const x = this.uniform(shape);
      return words ? tf.floor(tf.mul(tf.add(x, 1), words / 2)) : x;
    });
  }

  get variables(): tf.Variable[] {
    return variablesOf(this.model);
  }

  uniform(shape: number[]): tf.Tensor {
    const size = shape.reduce((product, length) => product * length, 1);
    return tf.tensor(
      Float32Array.from({ length: size }, () => 2 * this.next() - 1),
      shape,
    );
  }

  /** New weights, by the setWeights of tfjs-layers. */
  assign(): void {
    tf.tidy(() =>
      this.model.setWeights(
        this.variables.map(({ name, shape }) =>
          // A variance is positive.
          name.includes('moving_variance') ? tf.exp(this.uniform(shape)) : this.uniform(shape),
        ),
      ),
    );
  }

  /** A clone, a reshape or the operand of a product: each in its own way shares a weight's data. */
  async alias(): Promise<void> {
    for (const variable of this.variables) {
      const kind = Math.floor(3 * this.next());
      const flat = tf.reshape(variable, [1, variable.size]);
      if (kind === 2) tf.dispose([tf.tidy(() => tf.matMul(flat, flat, false, true)), flat]);
      else {
        const alias = kind === 0 ? flat : tf.clone(variable);
        if (kind === 1) flat.dispose();
        this.aliases.push([alias, [...(await alias.data())]]);
      }
    }
  }

  /** Asserts that the net predicts as a new one, and that no alias has changed. */
  async check(): Promise<void> {
    const twin = modelOf(this.net);
    const values = await valuesOf(this.variables);
    tf.tidy(() =>
      twin.setWeights(this.variables.map(({ shape }, i) => tf.tensor(values[i]!, shape))),
    );
    const [actual, expected] = [this.model, twin].map(
      (model) => model.predict(this.x) as tf.Tensor,
    );
    assertClose(await actual!.data(), await expected!.data(), 2e-6, 'predictions');
    tf.dispose([actual!, expected!]);
    twin.dispose();
    for (const [alias, held] of this.aliases) assert.deepEqual([...(await alias.data())], held);
  }

  dispose(): void {
    tf.dispose([this.x, ...this.aliases.map(([alias]) => alias)]);
    if (this.ownsModel) this.model.dispose();
  }
}

/** A float64 average of lists of values. */
class Reference {
  averages: number[][] | null = null;
  count = 0;

  constructor(private readonly weight: (n: number) => number) {}

  update(values: number[][]): void {
    const weight = this.count === 0 ? 1 : this.weight(this.count);
    const averages = this.averages ?? values.map((list) => list.map(() => 0));
    this.averages = averages.map((list, i) =>
      list.map((average, k) => average + (values[i]![k]! - average) * weight),
    );
    this.count += 1;
  }
}

function assertLists(actual: number[][], expected: number[][], what: string): void {
  actual.forEach((values, i) => assertClose(values, expected[i]!, 2e-6, `${what} ${i}`));
}

/** SWA: an action that makes no sense at the moment (a step while swapped) is left out. */
async function runSwa(net: Net, how: string, actions: Action[], seed: number): Promise<void> {
  const next = random(seed);
  const subject = new Subject(net, next);
  const params = variablesOf(subject.model).filter(({ trainable }) => trainable);
  const [avgFn, weight] = AVG_FNS[how]!;
  const swa = new SWA(tf.train.sgd(0.1), { avgFn: avgFn(), paramGroups: [{ params }] });
  const reference = new Reference(weight);
  let saved: { state: Awaited<ReturnType<SWA['stateDict']>>; averages: number[][] } | null = null;
  /** What stands in the averages' place while the parameters hold them. */
  let kept: number[][] | null = null;
  const does: Record<Action, () => unknown> = {
    step: () => {
      if (kept) return;
      const gradient = ({ name, shape }: tf.Variable) => [name, subject.uniform(shape)] as const;
      tf.tidy(() => swa.applyGradients(Object.fromEntries(params.map(gradient))));
    },
    assign: () => subject.assign(),
    update: async () => {
      if (kept) return;
      swa.updateSwa();
      reference.update(await valuesOf(params));
    },
    swap: async () => {
      if (reference.count === 0) return;
      const held = await valuesOf(params);
      swa.swapSwaSgd();
      if (!kept) assertLists(await valuesOf(params), reference.averages!, 'average');
      else {
        assert.deepEqual(await valuesOf(params), kept);
        // What was assigned meanwhile is the average now.
        reference.averages = held;
      }
      kept = kept ? null : held;
    },
    predict: () => subject.check(),
    alias: () => subject.alias(),
    save: async () => {
      if (kept || reference.count === 0) return;
      saved = { state: await swa.stateDict(), averages: reference.averages! };
    },
    load: async () => {
      if (kept || !saved) return;
      await swa.loadStateDict(saved.state);
      reference.averages = saved.averages;
      reference.count = saved.state.param_groups[0]!.n_avg;
    },
  };
  try {
    subject.assign();
    for (const action of actions) await does[action]();
    await subject.check();
    await does.swap();
    await subject.check();
  } finally {
    swa.dispose();
    subject.dispose();
  }
}

/** AveragedModel, whose copy and source both predict and both change. */
async function runAveraged(net: Net, how: string, actions: Action[], seed: number): Promise<void> {
  const next = random(seed);
  const source = new Subject(net, next);
  const [avgFn, weight] = AVG_FNS[how]!;
  const averaged = new AveragedModel(source.model, { avgFn: avgFn(), useBuffers: true });
  const copy = new Subject(net, next, averaged.module);
  const reference = new Reference(weight);
  let saved: Awaited<ReturnType<typeof averaged.stateDict>> | null = null;
  let savedAverages: number[][] | null = null;
  const check = async (): Promise<void> => {
    await source.check();
    await copy.check();
    if (reference.count > 0) {
      assertLists(await valuesOf(copy.variables), reference.averages!, 'average');
    }
  };
  const does: Record<Action, () => unknown> = {
    step: () => source.assign(),
    assign: async () => {
      if (reference.count === 0) return;
      copy.assign();
      reference.averages = await valuesOf(copy.variables);
    },
    update: async () => {
      averaged.updateParameters();
      reference.update(await valuesOf(source.variables));
    },
    swap: async () => {
      // Nothing of AveragedModel's swaps: the source takes the averages, sharing their data.
      source.model.setWeights(copy.variables);
    },
    predict: check,
    alias: async () => {
      await source.alias();
      await copy.alias();
    },
    save: async () => {
      if (reference.count === 0) return;
      saved = await averaged.stateDict();
      savedAverages = reference.averages;
    },
    load: async () => {
      if (!saved) return;
      await averaged.loadStateDict(saved);
      reference.averages = savedAverages;
      reference.count = saved.n_averaged;
    },
  };
  try {
    source.assign();
    for (const action of actions) await does[action]();
    await check();
  } finally {
    copy.dispose();
    averaged.dispose();
    source.dispose();
  }
}

describe('predictions after updates, swaps, assignments and loads are those of a new net:', () => {
  const action = fc.constantFrom(...ACTIONS);
  for (const [name, run] of [
    ['SWA', runSwa],
    ['AveragedModel', runAveraged],
  ] as const) {
    for (const [kind, net] of Object.entries(NETS)) {
      it(`${name}, ${kind}`, () =>
        fc.assert(
          fc.asyncProperty(
            fc.constantFrom(...Object.keys(AVG_FNS)),
            fc.array(action, { minLength: 4, maxLength: 16 }),
            fc.nat(),
            (how, actions, seed) => run(net, how, actions, seed),
          ),
          {
            numRuns: shareOf(60),
            seed: 11,
            // What most programs do: predict with averages that go on changing.
            examples: [
              [
                'equal average',
                [
                  'update',
                  'step',
                  'update',
                  'swap',
                  'predict',
                  'swap',
                  'predict',
                  'step',
                  'update',
                  'swap',
                ],
                1,
              ],
              [
                'EMA of 0.5',
                ['update', 'step', 'update', 'predict', 'step', 'update', 'predict'],
                2,
              ],
            ],
          },
        ));
    }
  }
});
