/**
 * The weights of a model and their running average, which can take their place for a while or for
 * good. It knows nothing of epochs, data or layers.
 */
import * as tf from '@tensorflow/tfjs-core';
import { startAverages, updateAverages } from '../average/average.js';
import type { AvgFn } from '../average/avg_fn.js';
import { checkNotHeld, exchange } from '../average/exchange.js';
import type { FittedModel } from './fitted_model.js';
import { alias } from '../state/tensor_data.js';

/** What variables hold at one moment, by reference: what is assigned to them since changes nothing. */
export class Held {
  private readonly values: tf.Tensor[];

  constructor(private readonly variables: readonly tf.Variable[]) {
    this.values = variables.map(alias);
  }

  /** Gives the variables what they held. */
  putBack(): void {
    this.variables.forEach((variable, i) => variable.assign(this.values[i]!));
  }

  dispose(): void {
    tf.dispose(this.values);
  }
}

/** What is averaged while a model trains, and can take the place of its weights. */
export interface RunAverage {
  /** How many values are averaged. */
  readonly count: number;
  /** Takes the weights at the end of a batch; absent where whole epochs are averaged. */
  updateBatch?(): void;
  /** Takes the weights, or ends what the batches made, at the end of an epoch. */
  update(): void;
  /** Exchanges the weights and the average, by reference; its own inverse. */
  swap(): void;
  /** Runs `f` while the model holds the average, after which both are as before, whatever `f` did. */
  during<T>(f: () => Promise<T>): Promise<T>;
  /** What the model holds now, but for some of its weights. */
  hold(but?: ReadonlySet<tf.Variable>): Held;
  /** Frees what the model does not hold. */
  dispose(): void;
}

/** The running average of all float32 weights of a model, moving statistics included. */
export class ModelAverage implements RunAverage {
  private weights: tf.Variable[] = [];
  private averages: tf.Variable[] = [];
  private n = 0;

  constructor(
    private readonly model: FittedModel,
    private readonly avgFn: AvgFn,
  ) {}

  /** How many values the average holds. */
  get count(): number {
    return this.n;
  }

  /** Takes the weights into the average; the first time copies them. */
  update(): void {
    checkNotHeld(this.weights, 'update the average');
    if (this.n === 0) {
      const weights = new Set(this.model.weights.map((weight) => weight.read() as tf.Variable));
      // Integer state stays the model's latest.
      this.weights = [...weights].filter(({ dtype }) => dtype === 'float32');
      this.averages = startAverages(this.weights, this.avgFn) ?? [];
      if (this.averages.length === 0) return;
    } else if (!updateAverages(this.averages, this.weights, this.n, this.avgFn)) return;
    this.n += 1;
  }

  /** Exchanges the weights and their averages, by reference; its own inverse. */
  swap(): void {
    this.weights.forEach((weight, i) => exchange(weight, this.averages[i]!));
  }

  /** Runs `f` while the model holds the average, after which both are as before, whatever `f` did. */
  async during<T>(f: () => Promise<T>): Promise<T> {
    const { averages } = this;
    const held = [new Held(averages), new Held(this.weights)];
    this.swap();
    try {
      return await f();
    } finally {
      if (this.averages !== averages) held.shift()!.dispose(); // disposed meanwhile
      for (const each of held) each.putBack();
      for (const each of held) each.dispose();
    }
  }

  /** What the model holds now, but for some of its weights. */
  hold(but: ReadonlySet<tf.Variable> = new Set()): Held {
    return new Held(this.weights.filter((weight) => !but.has(weight)));
  }

  /** Frees what the model does not hold. */
  dispose(): void {
    tf.dispose(this.averages);
    [this.weights, this.averages, this.n] = [[], [], 0];
  }
}
