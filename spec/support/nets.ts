/** Little nets of every kind of layer that holds others, for specs that match weights by layer. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import * as fc from 'fast-check';
import { own, random } from './support.js';

/** A part of a net, from 2 numbers an example to 2. */
export type Part =
  | { kind: 'dense' | 'bn' | 'shared' | 'lstm' | 'cells' | 'bidirectional' | 'time' | 'wrapped' }
  | { kind: 'model'; parts: Part[] };

/** tfjs-layers' default makes its numbers with chained ops, which tfjs-core alone lacks. */
const recurrentInitializer = 'glorotUniform';

const KINDS = [
  'dense',
  'bn',
  'shared',
  'lstm',
  'cells',
  'bidirectional',
  'time',
  'wrapped',
] as const;

const leaf: fc.Arbitrary<Part> = fc.constantFrom(...KINDS).map((kind) => ({ kind }));

/** Nets of one to three parts, models in models in models among them. */
export const nets: fc.Arbitrary<Part[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: leaf },
    {
      weight: 1,
      arbitrary: fc
        .array(
          fc.oneof(
            { weight: 3, arbitrary: leaf },
            {
              weight: 1,
              arbitrary: fc
                .array(leaf, { minLength: 1, maxLength: 2 })
                .map((parts): Part => ({ kind: 'model', parts })),
            },
          ),
          { minLength: 1, maxLength: 2 },
        )
        .map((parts): Part => ({ kind: 'model', parts })),
    },
  ),
  { minLength: 1, maxLength: 3 },
);

/**
 * Builds a net. Its parts are called `part0`, `part1`, and those of the models in it the same again;
 * without `named` tfjs names them. `shared` is one dense layer wherever it stands.
 */
export function netOf(parts: readonly Part[], { named = true } = {}): tfl.LayersModel {
  const shared: { layer?: tfl.layers.Layer } = {};
  const modelOf = (list: readonly Part[], name?: string): tfl.LayersModel => {
    const input = tfl.input({ shape: [2] });
    let output = input;
    list.forEach((part, i) => {
      output = applied(part, output, named ? `part${i}` : undefined);
    });
    return tfl.model({ inputs: input, outputs: output, ...(name ? { name } : {}) });
  };
  const applied = (part: Part, input: tfl.SymbolicTensor, name?: string): tfl.SymbolicTensor => {
    const put = (layer: tfl.layers.Layer, x: tfl.SymbolicTensor) =>
      layer.apply(x) as tfl.SymbolicTensor;
    const called = name ? { name } : {};
    const steps = (layer: tfl.layers.Layer) =>
      put(layer, put(tfl.layers.repeatVector({ n: 2 }), input));
    switch (part.kind) {
      case 'dense':
        return put(tfl.layers.dense({ units: 2, ...called }), input);
      case 'bn':
        return put(tfl.layers.batchNormalization(called), input);
      case 'shared':
        shared.layer ??= tfl.layers.dense({ units: 2, ...(name ? { name: 'shared' } : {}) });
        return put(shared.layer, input);
      case 'lstm':
        return steps(tfl.layers.lstm({ units: 2, recurrentInitializer, ...called }));
      case 'cells': {
        const cells = [
          tfl.layers.simpleRNNCell({ units: 2, recurrentInitializer }),
          tfl.layers.gruCell({ units: 2, recurrentInitializer }),
        ];
        return steps(tfl.layers.rnn({ cell: tfl.layers.stackedRNNCells({ cells }), ...called }));
      }
      case 'bidirectional': {
        const layer = tfl.layers.simpleRNN({ units: 1, recurrentInitializer }) as tfl.RNN;
        return steps(tfl.layers.bidirectional({ layer, mergeMode: 'concat', ...called }));
      }
      case 'time': {
        const layer = tfl.layers.dense({ units: 1 });
        const flat = tfl.layers.flatten();
        return put(flat, steps(tfl.layers.timeDistributed({ layer, ...called })));
      }
      case 'wrapped': {
        const inner = tfl.sequential({
          layers: [
            tfl.layers.dense({ units: 1, inputShape: [2], ...(name ? { name: 'same' } : {}) }),
            tfl.layers.batchNormalization(name ? { name: 'norm' } : {}),
          ],
        });
        const time = tfl.layers.timeDistributed({ layer: inner, ...called });
        return put(tfl.layers.flatten(), steps(time));
      }
      case 'model':
        return put(modelOf(part.parts, name), input);
    }
  };
  return ownModel(modelOf(parts));
}

/** Disposed after the spec; also the shared layers, which tfjs-layers forgets. */
export function ownModel<M extends tfl.LayersModel>(model: M): M {
  const weights = model.weights.map((weight) => weight.read());
  own({
    dispose() {
      model.dispose();
      for (const weight of weights) if (!weight.isDisposed) weight.dispose();
    },
  });
  return model;
}

/** Each variable of a model once. */
export function variablesOf(model: tfl.LayersModel): tf.Variable[] {
  return [...new Set(model.weights.map((weight) => weight.read() as tf.Variable))];
}

/** Sets every weight of a model to seeded numbers in [0.25, 1.25), good as variances too. */
export function randomizeNet(model: tfl.LayersModel, seed: number): void {
  const next = random(seed);
  // By name, which freezing does not change.
  const variables = variablesOf(model).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const variable of variables) {
    const values = Float32Array.from({ length: variable.size }, () => next() + 0.25);
    tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
  }
}

/** The layers of a model, those of the models in it among them, that can be frozen. */
export function freezable(model: tfl.LayersModel): tfl.layers.Layer[] {
  return model.layers.flatMap((layer) =>
    layer instanceof tfl.LayersModel ? [layer, ...freezable(layer)] : [layer],
  );
}
