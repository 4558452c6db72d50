/**
 * Matches the weights of two models layer by layer. It knows nothing of averages or states.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { checkFit } from '../state/check_parts.js';
import { kindOf } from '../state/tensor_data.js';
import { isModel, partsOf, within, type LayerLike } from './layers.js';
import { ownWeights, type OwnWeight } from './weights.js';

/** Two models of one structure, layer by layer. */
export interface ModelMatch {
  /** The layers with weights in them, each with its counterpart. */
  layers: [LayerLike, LayerLike][];
  /** By weight of the second model that of the first, in the order of the second's structure. */
  weights: Map<tf.Variable, tf.Variable>;
}

/**
 * Matches two models layer by layer. Within a model or layer its parts are matched by their names
 * or properties where these agree; else, as of a second build of the same structure, whose automatic
 * names differ, in order, where the classes agree. Layers without weights count for nothing. Where
 * one layer of the first model stands for two of the second, as in a copy of submodels that share
 * it, both get it.
 *
 * @throws Error that lists by place what is missing in `second`, what is unexpected there and what
 *   is of another class, shape or dtype.
 */
export function matchModels(first: object, second: object): ModelMatch {
  const sides = [new Side(first), new Side(second)] as const;
  const [one, two] = sides;
  const match: ModelMatch = { layers: [], weights: new Map() };
  const wanted = new Map<string, string>();
  const found = new Map<string, string>();
  const met = new Map<object, Set<object>>();
  const visit = (a: LayerLike, b: LayerLike, path: string): void => {
    if (met.get(a)?.has(b)) return;
    met.set(a, (met.get(a) ?? new Set()).add(b));
    const place = path === '' ? 'the model' : `layer ${path}`;
    if (classOf(a) !== classOf(b)) {
      wanted.set(place, classOf(a));
      found.set(place, classOf(b));
      return;
    }
    match.layers.push([a, b]);
    const others = new Map(two.own(b).map((weight) => [weight.local, weight]));
    describe(one.own(a), path, wanted);
    describe(two.own(b), path, found);
    for (const { local, variable } of one.own(a)) {
      const other = others.get(local);
      if (!other) continue;
      const known = match.weights.get(other.variable);
      if (known && known !== variable) {
        wanted.set(within(path, local), 'two weights');
        found.set(within(path, local), 'one');
      }
      match.weights.set(other.variable, variable);
    }
    const [left, right] = [one.parts(a), two.parts(b)];
    const byName = [...left.keys()].every((name) => right.has(name)) && left.size === right.size;
    const inOrder = [...right.values()];
    const alike =
      left.size === right.size &&
      [...left.values()].every((part, i) => classOf(part) === classOf(inOrder[i]!));
    [...left].forEach(([name, part], i) => {
      const other = byName || !alike ? right.get(name) : inOrder[i]!;
      if (other) visit(part, other, within(path, name));
      else one.describeAll(part, within(path, name), wanted);
    });
    if (byName || alike) return;
    for (const [name, part] of right) {
      if (!left.has(name)) two.describeAll(part, within(path, name), found);
    }
  };
  visit(first as LayerLike, second as LayerLike, '');
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
    this.weights = ownWeights(model);
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
