/**
 * The loss and the metrics of a tfjs-layers model on data that it is not trained on. It knows
 * nothing of averages or epochs.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { BnInput } from '../batchnorm/batches.js';
import { invalid } from '../check.js';
import { innerOf } from './fitted_model.js';

/**
 * `[xs, ys]`, each a tensor, a list of them or a record by name, as `fit` takes them, or a tf.data
 * Dataset of `{xs, ys}` that ends.
 */
export type ValidationData = readonly [xs: BnInput, ys: BnInput] | { iterator(): Promise<object> };

/** What is asked of a model beside `fit`. */
interface Evaluated {
  evaluate(xs: BnInput, ys: BnInput, args: object): tf.Scalar | tf.Scalar[];
  evaluateDataset(dataset: object, args: object): Promise<tf.Scalar | tf.Scalar[]>;
}

/** The model that trains: what of it is tfjs-layers' own business. */
interface Inner {
  readonly metricsNames?: string[];
  getDedupedMetricsNames?(): string[];
  standardizeUserDataXY?(
    xs: BnInput,
    ys: BnInput,
    checkBatchAxis: boolean,
    batchSize: number,
  ): unknown;
}

/** Refuses what is no validation data, whatever the model. */
export function checkValidationData(data: unknown): void {
  const { iterator } = Object(data) as { iterator?: unknown };
  if (typeof iterator === 'function' || (Array.isArray(data) && data.length === 2)) return;
  invalid('validationData', data, 'a list [xs, ys] or a tf.data Dataset');
}

/** Evaluates a model on the same data, again and again. */
export class Evaluation {
  private readonly model: Evaluated;
  private readonly inner: Inner;

  /**
   * @param model A tfjs-layers model, compiled.
   * @param data What it is evaluated on.
   * @param batchSize Examples at once; of a Dataset its own batches are taken.
   * @throws Error if there is nothing to evaluate it with, or tensors do not fit the model.
   */
  constructor(
    model: object,
    private readonly data: ValidationData,
    private readonly batchSize: number,
  ) {
    this.model = model as Evaluated;
    this.inner = innerOf(model) as Inner;
    if (typeof this.model.evaluate !== 'function') {
      invalid('model', model, 'one with evaluate(), for validationData');
    }
    // What does not fit is better known before training than after the first average.
    if (!('iterator' in data)) {
      tf.tidy(() => void this.inner.standardizeUserDataXY?.(data[0], data[1], true, batchSize));
    }
  }

  /** The loss and the metrics by their names, as `fit` has them in its logs. */
  async run(): Promise<Record<string, number>> {
    const { model, inner, data, batchSize } = this;
    const results =
      'iterator' in data
        ? await model.evaluateDataset(data, {})
        : model.evaluate(data[0], data[1], { batchSize });
    const scalars = [results].flat();
    const values = await Promise.all(scalars.map((scalar) => scalar.data()));
    tf.dispose(scalars);
    const names = inner.getDedupedMetricsNames?.() ?? inner.metricsNames ?? ['loss'];
    return Object.fromEntries(values.map(([value], i) => [names[i]!, value!]));
  }
}
