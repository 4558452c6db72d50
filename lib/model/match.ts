/**
 * Matches the weights of two models layer by layer. It knows nothing of averages or states.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkFit } from '../state/check_parts.js';
import { kindOf } from '../state/tensor_data.js';
import { isModel, layersOf, partsOf, within, type LayerLike } from './layers.js';
import { ownWeights, type OwnWeight } from './weights.js';

/** Two models of one structure, layer by layer. */
export interface ModelMatch {
  /** The layers of the target with weights in them, each with its counterpart. */
  layers: [target: LayerLike, source: LayerLike][];
  /** By weight of the target that of the source, in the order of the target's structure. */
  weights: Map<tf.Variable, tf.Variable>;
}

/**
 * Matches two models layer by layer. Within a model or layer its parts are matched by their names
 * or properties where these agree; else, as of a second build of the same structure, whose automatic
 * names differ, in order, where the classes agree. Layers without weights count for nothing. Where
 * one layer of the source stands for two of the target, as for a copy of submodels that share it,
 * both get it.
 *
 * @throws Error that lists by place in the target what is missing in the source, what is unexpected
 *   there, and what is of another class, shape or dtype.
 */
export function matchModels(target: object, source: object): ModelMatch {
  const [to, from] = [new Side(target), new Side(source)];
  const match: ModelMatch = { layers: [], weights: new Map() };
  const [wanted, found] = [new Map<string, string>(), new Map<string, string>()];
  const differ = (place: string, is: string, not: string): void => {
    found.set(place, is);
    wanted.set(place, not);
  };
  const met = new Map<object, Set<object>>();
  const visit = (a: LayerLike, b: LayerLike, path: string): void => {
    if (met.get(a)?.has(b)) return;
    met.set(a, (met.get(a) ?? new Set()).add(b));
    const [is, not] = [classOf(b), classOf(a)];
    if (is !== not) {
      differ(path === '' ? 'the model' : `layer ${path}`, is, not);
      return;
    }
    match.layers.push([a, b]);
    describe(to.own(a), path, wanted);
    describe(from.own(b), path, found);
    const given = new Map(from.own(b).map(({ local, variable }) => [local, variable]));
    for (const { local, variable } of to.own(a)) {
      const value = given.get(local);
      if (!value) continue;
      const known = match.weights.get(variable) ?? value;
      if (known !== value) differ(within(path, local), 'two weights', 'one');
      match.weights.set(variable, value);
    }
    const [parts, others] = [to.parts(a), from.parts(b)];
    const inOrder = [...others.values()];
    const same = parts.size === others.size;
    const byName = same && [...parts.keys()].every((name) => others.has(name));
    const byOrder =
      !byName &&
      same &&
      [...parts.values()].every((part, i) => classOf(part) === classOf(inOrder[i]!));
    [...parts].forEach(([name, part], i) => {
      const other = byOrder ? inOrder[i]! : others.get(name);
      if (other) visit(part, other, within(path, name));
      else to.describeAll(part, within(path, name), wanted);
    });
    if (byOrder) return;
    for (const [name, other] of others) {
      if (!parts.has(name)) from.describeAll(other, within(path, name), found);
    }
  };
  visit(target as LayerLike, source as LayerLike, '');
  checkFit('The weights do not fit', wanted, found);
  return match;
}

/** What has to agree of two layers that are matched. */
function classOf(layer: LayerLike): string {
  return isModel(layer) ? 'a model' : layer.getClassName();
}

function describe(weights: readonly OwnWeight[], path: string, into: Map<string, string>): void {
  for (const { local, variable } of weights) into.set(within(path, local), kindOf(variable));
}

/** One of two models that are matched. */
class Side {
  private readonly weights: Map<object, OwnWeight[]>;
  private readonly withWeights = new Map<object, boolean>();
  private readonly known = new Map<object, Map<string, LayerLike>>();

  constructor(model: object) {
    this.weights = ownWeights(layersOf(model));
  }

  own(layer: LayerLike): readonly OwnWeight[] {
    return this.weights.get(layer) ?? [];
  }

  /** The parts of a layer that have weights, or parts with weights. */
  parts(layer: LayerLike): Map<string, LayerLike> {
    let parts = this.known.get(layer);
    if (!parts) {
      parts = new Map([...partsOf(layer)].filter(([, part]) => this.has(part)));
      this.known.set(layer, parts);
    }
    return parts;
  }

  /** Adds all weights in a layer, whose parts may lead back to it. */
  describeAll(layer: LayerLike, path: string, into: Map<string, string>, above = [layer]): void {
    describe(this.own(layer), path, into);
    for (const [name, part] of this.parts(layer)) {
      if (!above.includes(part)) {
        this.describeAll(part, within(path, name), into, [...above, part]);
      }
    }
  }

  private has(layer: LayerLike): boolean {
    const known = this.withWeights.get(layer);
    if (known !== undefined) return known;
    this.withWeights.set(layer, this.own(layer).length > 0); // a layer may hold one that holds it
    const has = this.own(layer).length > 0 || this.parts(layer).size > 0;
    this.withWeights.set(layer, has);
    return has;
  }
}
