/**
 * From outcomes to the table: which runs there are, what validation chooses, how the methods compare. It
 * knows nothing of how a run is made.
 */
import {
  intervalText,
  paired,
  signed,
  spread,
  spreadText,
  type Difference,
  type Spread,
} from '../../examples/demo/report.js';
import { mean } from '../../examples/demo/statistics.js';
import { markdown } from '../markdown.js';
import {
  methodsOf,
  SWA_NAME,
  titleOf,
  type Candidate,
  type Experiment,
  type Method,
  type Tuning,
} from './experiments.js';
import { bestOf, TRAINING, WINDOWS, type Outcome, type Run } from './run.js';

/** What validation chose for a method. */
export interface Choice extends Candidate {
  method: string;
  /** Mean over the tuning seeds, in percent; `null` for a method that is not tuned by itself. */
  validationError: number | null;
}

/** A method over the seeds that count, on test images. */
export interface MethodResult {
  method: string;
  choice: Choice;
  /** In percent. */
  error: Spread;
  /** In nats. */
  nll: Spread;
  /** This method minus SWA; `null` for SWA. */
  minusSwa: { error: Difference; nll: Difference } | null;
  /** The updates in the window that was chosen, by seed; `null` where none is. */
  updates: number[] | null;
  /** Processor minutes of all seeds, as if it were run by itself, and of its tuning. */
  minutes: { seeds: number; tuning: number };
}

export interface Comparison {
  experiment: Experiment;
  tuning: Tuning;
  /** What was tried, and the validation error of each seed in percent. */
  tried: (Candidate & { method: string; errors: number[] })[];
  methods: MethodResult[];
}

/** What a run gave. */
export type Outcomes = (run: Run) => Outcome;

/** The runs that tuning needs: what methods share is run once. */
export function tuningRuns(experiment: Experiment, tuning: Tuning): Run[] {
  const methods = methodsOf(experiment).filter(isTuned);
  const candidates = methods.flatMap(({ from }) => from(tuning));
  return runsOf(experiment, tuning.seeds, candidates, 'validation');
}

/** The runs on the seeds that count. */
export function finalRuns(
  experiment: Experiment,
  choices: readonly Choice[],
  seeds: readonly number[],
): Run[] {
  return runsOf(experiment, seeds, choices, 'test');
}

function runsOf(
  experiment: Experiment,
  seeds: readonly number[],
  candidates: readonly Candidate[],
  on: Run['on'],
): Run[] {
  const runs = new Map<string, Run>();
  for (const seed of seeds) {
    for (const { way, rate, take } of candidates) {
      const key = [seed, way, rate].join();
      const run = runs.get(key) ?? { experiment, seed, way, rate, takes: [], on };
      if (!run.takes.includes(take)) run.takes.push(take);
      runs.set(key, run);
    }
  }
  return [...runs.values()];
}

/** The candidate of each method with the lowest mean validation error, of equal ones the first. */
export function choose(experiment: Experiment, tuning: Tuning, outcomes: Outcomes): Choice[] {
  const runs = tuningRuns(experiment, tuning);
  const choices: Choice[] = [];
  for (const { name, from, likeSwa } of methodsOf(experiment)) {
    if (!likeSwa) {
      const errors = from(tuning).map((candidate) => ({
        ...candidate,
        method: name,
        validationError: mean(scoresOf(runs, candidate, outcomes).map(({ error }) => error)),
      }));
      choices.push(errors.sort((a, b) => a.validationError - b.validationError)[0]!);
    } else {
      const candidate = from(tuning).find(({ rate }) => rate === swaOf(choices).rate)!;
      choices.push({ ...candidate, method: name, validationError: null });
    }
  }
  return choices;
}

function isTuned({ likeSwa }: Method): boolean {
  return !likeSwa;
}

function swaOf(choices: readonly Choice[]): Choice {
  return choices.find(({ method }) => method === SWA_NAME)!;
}

/** What all runs of an experiment say. */
export function compare(
  experiment: Experiment,
  tuning: Tuning,
  seeds: readonly number[],
  outcomes: Outcomes,
): Comparison {
  const tried = tuningRuns(experiment, tuning);
  const choices = choose(experiment, tuning, outcomes);
  const runs = finalRuns(experiment, choices, seeds);
  const swa = scoresOf(runs, swaOf(choices), outcomes);
  const tuned = methodsOf(experiment).filter(isTuned);
  const candidates = tuned.flatMap(({ name, from }) =>
    from(tuning).map((candidate) => ({ ...candidate, method: name })),
  );
  return {
    experiment,
    tuning,
    tried: candidates.map((candidate) => ({
      ...candidate,
      errors: scoresOf(tried, candidate, outcomes).map(({ error }) => error),
    })),
    methods: choices.map((choice) => {
      const { method } = choice;
      const scores = scoresOf(runs, choice, outcomes);
      const [errors, nlls] = [scores.map(({ error }) => error), scores.map(({ nll }) => nll)];
      const own = candidates.filter((candidate) => candidate.method === method);
      return {
        method,
        choice,
        error: spread(errors),
        nll: spread(nlls),
        minusSwa:
          method === SWA_NAME
            ? null
            : {
                error: paired(
                  errors,
                  swa.map(({ error }) => error),
                ),
                nll: paired(
                  nlls,
                  swa.map(({ nll }) => nll),
                ),
              },
        updates: updatesOf(runs, choice, outcomes),
        minutes: {
          seeds: minutesOf(runs, [choice], outcomes),
          tuning: minutesOf(tried, own, outcomes),
        },
      };
    }),
  };
}

/** Whether a candidate comes out of a run. */
function isOf(run: Run, { way, rate, take }: Candidate): boolean {
  return run.way === way && run.rate === rate && run.takes.includes(take);
}

/** A candidate's scores, one a seed. */
function scoresOf(runs: readonly Run[], candidate: Candidate, outcomes: Outcomes) {
  return runs
    .filter((run) => isOf(run, candidate))
    .map((run) => outcomes(run).scores[candidate.take]!);
}

/** The updates in the chosen windows, one a seed. */
function updatesOf(runs: readonly Run[], choice: Candidate, outcomes: Outcomes): number[] | null {
  const criterion = WINDOWS[choice.take];
  if (!criterion) return null;
  return runs
    .filter((run) => isOf(run, choice))
    .map((run) => bestOf(outcomes(run).windows!, criterion).count);
}

/** Processor minutes of all that these candidates need, each run once. */
function minutesOf(
  runs: readonly Run[],
  candidates: readonly Candidate[],
  outcomes: Outcomes,
): number {
  let sum = 0;
  for (const run of runs) {
    const own = candidates.filter((candidate) => isOf(run, candidate));
    if (own.length === 0) continue;
    const { seconds } = outcomes(run);
    sum += own.reduce((total, { take }) => total + seconds[take]!, seconds[TRAINING]!);
  }
  return sum / 60;
}

/** The comparisons as one Markdown table. */
export function tableOf(comparisons: readonly Comparison[]): string {
  const difference = (of: Difference | undefined, digits: number): string =>
    of ? `${signed(of.mean, digits)} ${intervalText(of.interval, digits)}` : '';
  const heads = [
    ...['net and labels', 'method', 'chosen on validation', 'error, %', 'minus SWA, 95 %'],
    ...['NLL, nats', 'minus SWA, 95 %', 'SWA is (error, NLL)', 'minutes', 'and tuning'],
  ];
  const rows = comparisons.flatMap(({ experiment, methods }) =>
    methods.map(({ method, choice, error, nll, minusSwa, minutes }, i) => [
      i === 0 ? titleOf(experiment) : '',
      method,
      choiceText(choice),
      spreadText(error, 2),
      difference(minusSwa?.error, 2),
      spreadText(nll, 3),
      difference(minusSwa?.nll, 3),
      minusSwa ? `${verdictOf(minusSwa.error)}, ${verdictOf(minusSwa.nll)}` : '',
      minutes.seeds.toFixed(1),
      minutes.tuning.toFixed(1),
    ]),
  );
  return markdown(
    [heads, ...rows],
    heads.map((head) => head === 'minutes' || head === 'and tuning'),
  );
}

/** What a method's difference to SWA says of SWA. */
export function verdictOf({ interval }: Difference): 'better' | 'tied' | 'worse' {
  const [low, high] = interval!;
  return low > 0 ? 'better' : high < 0 ? 'worse' : 'tied';
}

function choiceText({ rate, take }: Choice): string {
  return take.startsWith('ema ') ? `${rate}, decay ${take.slice('ema '.length)}` : String(rate);
}
