/**
 * What of a model, or of a list of variables, is averaged, and the moving statistics that belong to
 * it. It knows nothing of averages.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { bnLayersOf, movingOf } from '../batchnorm/layers.js';
import {
  checkList,
  checkModel,
  isList,
  type NamedVariable,
  type WeightedModel,
} from '../model/model_or_list.js';
import { weightsOfModel } from '../model/weights.js';
import { uniqueNames, type Described } from '../state/match_tensors.js';
import { checkAlive } from '../state/tensor_data.js';

/** What is needed of a tfjs-layers model: Sequential or functional. */
export interface TrainedModel extends WeightedModel {
  /** Those weights that are trained at the moment. */
  readonly trainableWeights: readonly { read(): tf.Tensor }[];
}

export class TrainedWeights {
  /** What is averaged, each once. */
  readonly averaged: readonly NamedVariable[];
  /** A model's state that no optimizer trains, moving statistics say; none of a list. */
  readonly statistics: readonly NamedVariable[];
  /** The model; `null` for a list. */
  readonly model: TrainedModel | null;
  private readonly known: ReadonlySet<unknown>;

  /**
   * @param owner The class that averages, for messages: `WeightHistory`.
   * @throws Error if the model is neither a built one nor a list, or has nothing to average.
   */
  constructor(
    model: TrainedModel | readonly tf.Variable[],
    readonly owner: string,
  ) {
    if (isList(model)) {
      this.model = null;
      this.averaged = [...new Set(checkList(model))].filter(isFloat).map(named);
      this.statistics = [];
    } else {
      this.model = checkModel(model);
      const all = weightsOfModel(model).map((weight) => ({ ...weight, ...kind(weight.variable) }));
      const trained = trainedBy(model);
      this.averaged = all.filter(({ variable }) => trained.has(variable) && isFloat(variable));
      const moving = bnLayersOf(model).flatMap(({ layer }) => movingOf(layer));
      const buffers = all.filter(({ buffer }) => buffer);
      const listed = new Set(all.map(({ variable }) => variable));
      const others = [...new Set(moving)].filter((variable) => !listed.has(variable)).map(named);
      this.statistics = unique([...buffers, ...others]);
    }
    this.averaged = unique(this.averaged);
    if (this.averaged.length === 0) {
      throw new Error('The model has no float32 weights that are trainable: build it first');
    }
    this.known = new Set(this.variables);
    this.checkAlive();
  }

  /** The averaged variables. */
  get variables(): tf.Variable[] {
    return this.averaged.map(({ variable }) => variable);
  }

  /** The averaged variables, then the statistics. */
  get all(): tf.Variable[] {
    return [...this.averaged, ...this.statistics].map(({ variable }) => variable);
  }

  /** Whether there is batch normalization whose statistics are to fit the weights. */
  get hasNormalization(): boolean {
    return this.model !== null && bnLayersOf(this.model).some(({ frozen }) => !frozen);
  }

  /** @throws Error that names a weight or statistic that is gone. */
  checkAlive(): void {
    this.all.forEach(checkAlive);
  }

  /** @throws Error that names a weight that is trained now, and was not at construction. */
  checkTrained(): void {
    if (!this.model) return;
    for (const variable of trainedBy(this.model)) {
      if (this.known.has(variable) || !isFloat(variable)) continue;
      const found = weightsOfModel(this.model).find((weight) => weight.variable === variable);
      throw new Error(
        `The weight ${found?.name ?? variable.name} is trainable now, and was not when this ` +
          `${this.owner} was made; freeze it again, or make a new ${this.owner}`,
      );
    }
  }
}

/** What a model trains; a weight of a shared layer is listed twice there. */
function trainedBy({ trainableWeights }: TrainedModel): Set<tf.Variable> {
  return new Set(trainableWeights.map((weight) => weight.read() as tf.Variable));
}

function isFloat({ dtype }: tf.Variable): boolean {
  return dtype === 'float32';
}

function named(variable: tf.Variable): NamedVariable {
  return { name: variable.name, variable, ...kind(variable) };
}

function kind({ shape, dtype }: tf.Variable): Omit<Described, 'name'> {
  return { shape, dtype };
}

function unique(weights: readonly NamedVariable[]): NamedVariable[] {
  const names = uniqueNames(weights.map(({ name }) => name));
  return weights.map(({ variable, shape, dtype }, i) => ({
    ...{ variable, shape, dtype },
    name: names[i]!,
  }));
}
