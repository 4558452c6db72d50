/**
 * A soup of models: the average of those that make it better. It knows nothing of where they come
 * from or what is measured.
 */
import { invalid } from '../check.js';
import { checkTensorList, type TensorData } from '../state/tensor_data.js';
import { WeightAccumulator } from './accumulator.js';

/** What {@link greedySoup} makes. */
export interface GreedySoup<C> {
  /** The candidates that are in it, the best first. */
  members: C[];
  /** What `evaluate` gave it. */
  score: number;
  /** The equal average of its members. */
  weights: TensorData[];
}

/**
 * The greedy soup of Wortsman et al. 2022, arXiv 2203.05482, recipe 1: the candidates are sorted by
 * their own scores, and one after another is taken into the average, where it stays only if the
 * average is strictly better with it. Besides two
 * candidates at most two sums are in memory.
 *
 * @param candidates Anything that stands for models of one structure: paths, seeds, weights.
 * @param options `load` gives the weights of a candidate, and is called twice for each.
 *   `evaluate` gives a score, lower is better; NaN counts as worst.
 * @throws Error without candidates, or if all scores are NaN; and whatever the two functions throw.
 *
 * @example
 * const run = (x: number) => [
 *   { name: 'w', dtype: 'float32' as const, shape: [1], values: Float32Array.of(x) },
 * ];
 * const soup = await greedySoup([0, 3, 9], {
 *   load: run,
 *   evaluate: ([w]) => Math.abs(w!.values[0]! - 2), // 2, 1 and 7
 * });
 * soup.members; // [3, 0]: (3 + 0) / 2 is nearer to 2 than 3 is; (3 + 0 + 9) / 3 is not
 */
export async function greedySoup<C>(
  candidates: readonly C[],
  options: {
    load: (candidate: C) => TensorData[] | Promise<TensorData[]>;
    evaluate: (weights: TensorData[]) => number | Promise<number>;
  },
): Promise<GreedySoup<C>> {
  if (!(candidates as unknown[] | undefined)?.length) {
    invalid('candidates', candidates, 'a list of at least one');
  }
  const { load, evaluate } = Object(options) as typeof options;
  for (const [name, value] of Object.entries({ load, evaluate })) {
    if (typeof value !== 'function') invalid(name, value, 'a function');
  }
  const scoreOf = async (weights: TensorData[]): Promise<number> => {
    const score = await evaluate(weights);
    return typeof score === 'number' ? score : invalid('score', score, 'a number');
  };
  const scored: { candidate: C; own: number }[] = [];
  for (const candidate of candidates) {
    const weights: unknown = await load(candidate);
    checkTensorList('weights', weights);
    scored.push({ candidate, own: await scoreOf([...weights]) });
  }
  scored.sort(({ own: a }, { own: b }) =>
    Number.isNaN(a) || Number.isNaN(b) ? Number(Number.isNaN(a)) - Number(Number.isNaN(b)) : a - b,
  );
  const [best, ...others] = scored as [(typeof scored)[number], ...typeof scored];
  if (Number.isNaN(best.own)) throw new Error('greedySoup: the score of every candidate is NaN');

  const members = [best.candidate];
  let score = best.own;
  let soup = new WeightAccumulator();
  soup.add(await load(best.candidate));
  for (const { candidate } of others) {
    const trial = new WeightAccumulator();
    trial.merge(soup);
    trial.add(await load(candidate));
    const value = await scoreOf(trial.result().weights);
    if (!(value < score)) continue;
    members.push(candidate);
    score = value;
    soup = trial;
  }
  return { members, score, weights: soup.result().weights };
}
