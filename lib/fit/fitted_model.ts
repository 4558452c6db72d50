/**
 * A tfjs-layers model that is being fitted, met by its shape alone: what is asked of it, and
 * when its `fit` has ended. It knows nothing of averages.
 */
import type * as tf from '@tensorflow/tfjs-core';

/** What {@link swaCallback} needs of a tfjs-layers model: Sequential or functional. */
export interface FittedModel {
  /** All weights, trainable or not. */
  readonly weights: readonly { read(): tf.Tensor }[];
  /** What `compile` was given. */
  readonly optimizer?: tf.Optimizer | undefined;
  /** Set by a callback that ends training after the epoch. */
  stopTraining: boolean;
}

/** What a model shows of its `fit` while it runs. */
export interface Fitting {
  isTraining?: boolean;
  readonly history?: { history: Record<string, unknown> };
}

/** The model that trains: a Sequential has one inside (tfjs-layers 4.22, models.ts, `fit`). */
export function innerOf(model: object): Fitting {
  return (model as { model?: object }).model ?? model;
}

/**
 * Has `ended` called at the end of the `fit` that is running, before its caller goes on: also where
 * it throws, for which tfjs-layers has no hook. It sets `isTraining` to false then, whatever
 * happened (tfjs-layers 4.22, training.ts and training_dataset.ts, `finally`), so until then an
 * accessor stands in for that field. A model without it is left alone.
 *
 * @param model The one that trains, see {@link innerOf}.
 */
export function onFitEnd(model: Fitting, ended: () => void): void {
  // It may be another callback's accessor, which is told in its turn.
  const before = Object.getOwnPropertyDescriptor(model, 'isTraining');
  if (!before?.configurable) return;
  Object.defineProperty(model, 'isTraining', {
    configurable: true,
    enumerable: true,
    get: () => (before.get ? before.get.call(model) : before.value) as boolean,
    set(training: boolean) {
      Object.defineProperty(model, 'isTraining', before);
      model.isTraining = training;
      ended();
    },
  });
}
