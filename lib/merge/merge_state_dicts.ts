/**
 * Merges the states of several SWAs into one, whose averages are those of all their values. It knows
 * nothing of models, or of where the states come from.
 */
import { checkKeys, invalid } from '../check.js';
import { checkFit } from '../state/check_parts.js';
import { matchGroups } from '../state/match_names.js';
import { BUFFER, mapState, type SWAStateDict } from '../state/state_dict.js';
import { copyData, kindOf, type TensorData } from '../state/tensor_data.js';
import type { WeightAverage } from '../state/weight_average.js';
import { WeightAccumulator } from './accumulator.js';
import { averagesOfGroups } from './saved_averages.js';

/** Options of {@link mergeStateDicts}. */
export interface MergeOptions {
  /**
   * Told of each state that is refused, which is left out then, and of its place among the states,
   * from 0 on. Default: the first such state fails the merge.
   */
  onRefused?: (error: Error, index: number) => void;
}

/**
 * Merges the states of K workers' SWAs: the averages of each parameter group, weighted by its `n_avg`,
 * whose sum is the new `n_avg`. So the result is the average of all values that any of them averaged,
 * formed in float64 whatever the order, and rounded once. All else is the first one's: the state of the
 * optimizers, the rates, `step_counter`. Load it into an SWA like theirs, and swap or go on.
 *
 * One state at a time is in memory, beside the sums and the first one's optimizers, if they come from a
 * generator. A state that has no average yet adds none. The parameters of each group are matched by name
 * where all match and are more than tfjs's own numbers, else by position where there are as many.
 *
 * @param states What `stateDict()` gave, or `loadStateDict` read from files.
 * @param options `onRefused`: leave out what does not fit, and be told.
 * @throws Error that says which state is at fault, `states[2]` say, and why: other groups, names or
 *   shapes; an EMA, whose averages are not to be merged by `n_avg`; one that was saved while swapped; an
 *   average with NaN or infinity in it. Also if there is none.
 *
 * @example
 * async function worker(value: number) {
 *   const x = tf.variable(tf.tensor1d([value]), true, `x_${value}`);
 *   const swa = new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: x }] });
 *   swa.updateSwa();
 *   return { x, swa };
 * }
 * const [a, b] = [await worker(1), await worker(5)];
 * b.swa.updateSwa(); // 5 twice
 * const merged = await mergeStateDicts([await a.swa.stateDict(), await b.swa.stateDict()]);
 * await a.swa.loadStateDict(merged);
 * a.swa.swapSwaSgd(); // x is (1 + 5 + 5) / 3
 */
export async function mergeStateDicts(
  states: Iterable<SWAStateDict> | AsyncIterable<SWAStateDict>,
  options: MergeOptions = {},
): Promise<SWAStateDict> {
  checkKeys(options, ['onRefused']);
  const { onRefused } = options;
  if (onRefused !== undefined && typeof onRefused !== 'function') {
    invalid('onRefused', onRefused, 'a function');
  }
  const given = Object(states) as Partial<Iterable<unknown> & AsyncIterable<unknown>>;
  if (!given[Symbol.iterator] && !given[Symbol.asyncIterator]) {
    invalid('states', states, 'an iterable of state dicts');
  }
  let merged: Merged | null = null;
  let index = 0;
  for await (const state of states) {
    try {
      const groups = equalAveragesOf(state);
      const next: Merged = merged ?? (await start(state));
      add(next, orderOf(next, state, groups), groups);
      merged = next;
    } catch (cause) {
      const message = `Cannot merge states[${index}]: ${(cause as Error).message}`;
      const error = new Error(message, { cause });
      if (!onRefused) throw error;
      onRefused(error, index);
    }
    index += 1;
  }
  if (merged) return resultOf(merged);
  throw new Error(
    index === 0 ? 'There are no states to merge' : `All of ${index} states were refused`,
  );
}

/** What was merged so far. */
interface Merged {
  /** The first state, a copy without its averages. */
  readonly first: SWAStateDict;
  /** For each group its sums; nothing as long as no state had an average. */
  readonly means: readonly WeightAccumulator[];
  /** For each group what its weights are, as soon as a state had an average. */
  readonly kinds: (readonly string[])[];
}

/**
 * The averages of a state's groups.
 *
 * @throws Error if they are not what can be weighed by their counts.
 */
function equalAveragesOf(state: SWAStateDict): WeightAverage[] {
  const groups = averagesOfGroups(state);
  const other = state.param_groups.find(({ avg_fn }) => avg_fn !== 'swa');
  if (other) {
    throw new Error(
      `It was averaged with ${other.avg_fn}, and n_avg is the weight of an equal average alone; ` +
        'mergeAverages() merges by weights of your own what averageOf() gives',
    );
  }
  for (const { name, values } of groups.flatMap(({ weights }) => weights)) {
    if (!isFinite(values)) throw new Error(`The average of ${name} is not finite`);
  }
  return groups;
}

function isFinite(values: TensorData['values']): boolean {
  for (const value of values) if (!Number.isFinite(value)) return false;
  return true;
}

async function start({ opt_state, param_groups }: SWAStateDict): Promise<Merged> {
  const parts = { opt_state, swa_state: {}, param_groups: structuredClone(param_groups) };
  return {
    first: (await mapState(parts, copyData)) as SWAStateDict,
    means: param_groups.map(() => new WeightAccumulator()),
    kinds: param_groups.map(() => []),
  };
}

/**
 * Where the parameters of each group stand in a state.
 *
 * @throws Error that lists what does not fit.
 */
function orderOf(
  { first, kinds }: Merged,
  { param_groups }: SWAStateDict,
  groups: readonly WeightAverage[],
): number[][] {
  const names = first.param_groups.map(({ param_names }) => param_names);
  const saved = param_groups.map(({ param_names }) => param_names);
  const { orders, wanted, found } = matchGroups(names, saved);
  names.forEach((list, g) => {
    const weights = groups[g]?.weights ?? [];
    if (kinds[g]!.length === 0 || weights.length === 0) return;
    list.forEach((name, i) => {
      const place = orders[g]?.[i];
      if (place === undefined) return;
      wanted.set(`average of ${name}`, kinds[g]![i]!);
      found.set(`average of ${name}`, kindOf(weights[place]!));
    });
  });
  checkFit('It does not fit the first', wanted, found);
  return orders as number[][];
}

/** Cannot fail: all was checked. */
function add({ first, means, kinds }: Merged, orders: number[][], groups: WeightAverage[]): void {
  groups.forEach(({ count, weights }, g) => {
    if (count === 0) return;
    const { param_names } = first.param_groups[g]!;
    const list = orders[g]!.map((place, i) => ({ ...weights[place]!, name: param_names[i]! }));
    kinds[g] = list.map(kindOf);
    means[g]!.add(list, count);
  });
}

function resultOf({ first, means }: Merged): SWAStateDict {
  const swa_state: SWAStateDict['swa_state'] = {};
  const param_groups = first.param_groups.map((group, g) => {
    const mean = means[g]!;
    const averages = mean.count > 0 ? mean.result().weights : [];
    averages.forEach((average, i) => {
      swa_state[group.params[i]!] = { [BUFFER]: { ...average, name: BUFFER } };
    });
    return { ...group, n_avg: mean.count };
  });
  return { ...first, swa_state, param_groups };
}
