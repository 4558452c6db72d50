/**
 * What a saved state holds as its average, as plain data. It knows nothing of the model or the
 * optimizer that the state is of.
 */
import { checkAveragedState, type AveragedModelStateDict } from '../average/averaged_state.js';
import { checkInteger, invalid } from '../check.js';
import { matchByRule } from '../state/match_tensors.js';
import type { SWAStateDict } from '../state/state_dict.js';
import { copyData } from '../state/tensor_data.js';
import type { WeightAverage } from '../state/weight_average.js';
import {
  checkHistoryState,
  type ChosenState,
  type SegmentState,
  type WeightHistoryState,
} from '../state/weight_history_state.js';
import { WeightAccumulator } from './accumulator.js';
import { averagesOfGroups } from './saved_averages.js';

/**
 * The average that a saved state holds; a copy. Nothing is loaded, so that it takes no model.
 *
 * Of an SWA it is what the state has for the parameters of all groups, of an AveragedModel its
 * weights; an EMA's is an average like any other. Of a WeightHistory it is the average that was
 * chosen or, where none was, that of all its segments. A weight without an average is left out: one of
 * a group that is not averaged, or that a load with `strict: false` found nothing for. The moving
 * statistics of batch normalization are an AveragedModel's alone.
 *
 * @param state What `stateDict()` gave, or `loadStateDict` read from a file.
 * @param window Of a WeightHistory: how many segments, from the newest backwards; of weights that
 *   were not there from the first, each is weighed by its own count.
 * @throws Error if there is no average yet, if it is not in the state (that of an SWA that was swapped,
 *   of a ScheduleFree, of a Lookahead), or if the groups hold different numbers of values, for which
 *   there is no one `count`.
 *
 * @example
 * const x = tf.variable(tf.tensor1d([1, 2]));
 * const swa = new SWA(tf.train.sgd(0.1), { paramGroups: [{ params: x }] });
 * swa.updateSwa();
 * x.assign(tf.tensor1d([3, 4]));
 * swa.updateSwa();
 * const { count, weights } = averageOf(await swa.stateDict()); // 2, and [2, 3]
 * assignWeights([x], weights);
 */
export function averageOf(
  state: SWAStateDict | AveragedModelStateDict | WeightHistoryState,
  window?: number,
): WeightAverage {
  const any = Object(state) as SWAStateDict & AveragedModelStateDict & WeightHistoryState;
  if ('segments' in any) return averageOfHistory(any, window);
  if (window !== undefined) invalid('window', window, 'nothing: only a WeightHistory has windows');
  if ('module' in any) return averageOfModel(any);
  if ('param_groups' in any) return averageOfGroups(any);
  return invalid('state', state, 'that of an SWA, an AveragedModel or a WeightHistory');
}

function averageOfGroups(state: SWAStateDict): WeightAverage {
  const groups = averagesOfGroups(state).filter(({ count }) => count > 0);
  const count = checkAny(groups)[0].count;
  if (groups.some((group) => group.count !== count)) {
    const counts = state.param_groups.map(({ n_avg }) => n_avg).join(', ');
    throw new Error(
      `The groups hold averages of different numbers of values, ${counts}: no one count says that; ` +
        'mergeStateDicts() merges each group by its own',
    );
  }
  return { count, weights: groups.flatMap(({ weights }) => weights.map(copyData)) };
}

function averageOfModel(state: AveragedModelStateDict): WeightAverage {
  checkAveragedState(state);
  const { n_averaged: count, module, starts } = state;
  const averaged = module.filter((_, i) => count > (starts?.[i] ?? 0));
  checkAny(averaged);
  return { count, weights: averaged.map(copyData) };
}

function averageOfHistory(state: WeightHistoryState, window?: number): WeightAverage {
  checkHistoryState(state);
  const { segments, chosen } = state;
  if (window === undefined && chosen && !chosen.swapped) {
    return { count: chosen.count, weights: chosen.weights.map(copyData) };
  }
  checkAny(segments);
  const size = window ?? (chosen ? windowOf(chosen, segments) : segments.length);
  if (checkInteger('window', size, 1) > segments.length) {
    invalid('window', size, `at most the number of segments, ${segments.length}`);
  }
  return mergeSegments(segments.slice(-size));
}

/** Of an average that was swapped in, so that the weights which stand with it are those of training. */
function windowOf({ count }: ChosenState, segments: readonly SegmentState[]): number {
  const sizes = [...segments.keys()].map((i) => i + 1);
  // Not by its own number, for segments may have been merged since.
  const size = sizes.find((k) => countOf(segments.slice(-k)) === count);
  if (size !== undefined) return size;
  throw new Error(
    'The average that was chosen was swapped into the model, and the segments were merged since: ' +
      'give a window',
  );
}

const countOf = (segments: readonly SegmentState[]): number =>
  segments.reduce((sum, { count }) => sum + count, 0);

function mergeSegments(segments: readonly SegmentState[]): WeightAverage {
  const { weights: wanted } = segments.at(-1)!;
  const means = wanted.map(() => new WeightAccumulator());
  for (const { count, late, weights } of segments) {
    matchByRule(wanted, weights).forEach((weight, i) => {
      const own = count - (late?.[weights.indexOf(weight)] ?? 0);
      if (own > 0) means[i]!.add([weight], own);
    });
  }
  const held = means.filter(({ count }) => count > 0);
  checkAny(held);
  return { count: countOf(segments), weights: held.flatMap((mean) => mean.result().weights) };
}

function checkAny<T>(parts: readonly T[]): readonly [T, ...T[]] {
  if (parts.length === 0) throw new Error('The state holds no average yet');
  return parts as [T, ...T[]];
}
