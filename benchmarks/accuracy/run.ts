/**
 * One run: a net trained from a seed at a scheduled rate, its averages, and how good they are; from any
 * epoch on. It knows nothing of methods, of what else is run, or of files.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {
  AveragedModel,
  constant,
  cosineAnnealing,
  emaAvgFn,
  LambdaLR,
  linear,
  sequence,
  SWA,
  type AveragedModelStateDict,
  type LRSchedulerStateDict,
  type Schedule,
  type SWAStateDict,
  type TensorData,
} from 'tfjs-swa';
import * as net from '../../examples/demo/model.js';
import type { Score } from '../../examples/demo/model.js';
import { randomNumbers, shuffledIndices } from '../../examples/demo/random.js';
import { BATCH, MOMENTUM } from '../../examples/demo/schedule.js';
import { trainEpoch } from '../../examples/demo/training.js';
import {
  createNet,
  fractionOf,
  type Experiment,
  type RateSchedule,
  type Split,
  type Take,
} from './experiments.js';

/** All that the numbers of a run depend on. */
export interface Run {
  experiment: Experiment;
  seed: number;
  schedule: RateSchedule;
  rate: number;
  /** What is wanted of it. */
  takes: Take[];
  /** The images that this is measured on. */
  on: 'validation' | 'test';
}

/** What a run gave. */
export interface Outcome {
  scores: Record<string, Score>;
  /** The epoch of the best weights, where they were wanted. */
  bestEpoch: number | null;
  /** Processor time: of the training, and of what each of the wanted takes beside it. */
  seconds: Record<string, number>;
}

/** A run as far as it has come, as plain data. */
export interface RunState {
  epoch: number;
  seconds: Record<string, number>;
  model: TensorData[];
  swa: SWAStateDict;
  rates: LRSchedulerStateDict;
  averages: Record<string, AveragedModelStateDict>;
  best: Best | null;
}

/** The weights with the lowest validation error so far. */
interface Best {
  epoch: number;
  error: number;
  model: TensorData[];
}

export interface RunTask {
  run: Run;
  images: Split;
  /** Where to go on; `null`: at the start. */
  from: RunState | null;
  /** Told after each epoch, and waited for. */
  onEpoch: (epoch: number, loss: number, state: () => Promise<RunState>) => Promise<void>;
}

/** The key of {@link Outcome.seconds} that all that is taken from a run shares. */
export const TRAINING = 'training';

/** Trains and measures. No tensor is left behind. */
export async function execute({ run, images, from, onEpoch }: RunTask): Promise<Outcome> {
  const training = new Training(run, images);
  try {
    if (from) await training.load(from);
    while (training.epoch < run.experiment.epochs) {
      const loss = await training.advance();
      await onEpoch(training.epoch, loss, () => training.state());
    }
    return await training.measure();
  } finally {
    training.dispose();
  }
}

/** A schedule of the rate over a number of steps. */
export function rateOf(schedule: RateSchedule, rate: number, steps: number): Schedule {
  if (schedule === 'constant') return constant(rate);
  if (schedule === 'cosine') return cosineAnnealing({ from: rate, to: 0, steps });
  const half = steps / 2;
  const fraction = fractionOf(schedule);
  if (fraction === null) {
    return sequence([[constant(rate), half], linear({ from: rate, to: 0, steps: half })]);
  }
  // Down over the second quarter, before averaging starts.
  const quarter = Math.floor(half / 2);
  const annealing = linear({ from: rate, to: rate * fraction, steps: half - quarter });
  return sequence([[constant(rate), quarter], annealing]);
}

class Training {
  epoch = 0;
  private seconds: Record<string, number>;
  private best: Best | null = null;
  private readonly model: tfl.LayersModel;
  private readonly swa: SWA;
  private readonly rates: LambdaLR;
  /** The exponential averages, at every step. */
  private readonly averages: [Take, AveragedModel<tfl.LayersModel>][];

  constructor(
    private readonly run: Run,
    private readonly images: Split,
  ) {
    const { experiment, seed, schedule, rate, takes } = run;
    const stepsPerEpoch = Math.ceil(images.train.count / BATCH);
    const steps = experiment.epochs * stepsPerEpoch;
    this.model = createNet(experiment, seed);
    this.swa = new SWA(tf.train.momentum(rate, MOMENTUM), {
      paramGroups: [{ params: net.trainableVariables(this.model) }],
      // Once an epoch over the second half.
      ...(takes.includes('swa') && { swaStart: steps / 2, swaFreq: stepsPerEpoch }),
    });
    this.rates = new LambdaLR(this.swa, rateOf(schedule, rate, steps));
    this.averages = takes
      .filter((take) => take.startsWith('ema '))
      .map((take) => {
        const avgFn = emaAvgFn(Number(take.slice('ema '.length)));
        return [take, new AveragedModel(this.model, { avgFn })];
      });
    this.seconds = Object.fromEntries([TRAINING, ...takes].map((part) => [part, 0]));
  }

  /** Trains the next epoch. Returns its mean loss. */
  async advance(): Promise<number> {
    const { model, swa, images, run } = this;
    const next = this.epoch + 1;
    const order = shuffledIndices(images.train.count, randomNumbers(run.seed * 100_003 + next));
    const [start, before] = [processorSeconds(), this.averaging()];
    const loss = await trainEpoch(model, swa, images.train, order, () => {
      this.rates.step();
      for (const [take, average] of this.averages) {
        const from = processorSeconds();
        average.updateParameters();
        this.spent(take, from);
      }
    });
    this.spent(TRAINING, start);
    this.seconds[TRAINING]! -= this.averaging() - before;
    this.epoch = next;
    if (run.takes.includes('best')) await this.validate();
    return loss;
  }

  /** What is wanted, after the last epoch. */
  async measure(): Promise<Outcome> {
    const { model, swa, images, run, best } = this;
    const scores: Record<string, Score> = {};
    const score = async (take: Take, of: tfl.LayersModel): Promise<void> => {
      scores[take] = await net.evaluate(of, images[run.on]);
    };
    const withStatistics = async (take: Take, of: tfl.LayersModel): Promise<void> => {
      const start = processorSeconds();
      await net.reestimate(of, images.train);
      this.spent(take, start);
      await score(take, of);
    };
    if (run.takes.includes('last')) await score('last', model);
    for (const [take, average] of this.averages) await withStatistics(take, average.module);
    if (run.takes.includes('swa')) {
      await net.keepingStatistics(model, () => swa.withSwa(() => withStatistics('swa', model)));
    }
    if (best) {
      restore(model, best.model);
      await score('best', model);
    }
    return { scores, bestEpoch: best?.epoch ?? null, seconds: this.seconds };
  }

  async state(): Promise<RunState> {
    const averages = this.averages.map(
      async ([take, average]) => [take, await average.stateDict()] as const,
    );
    return {
      epoch: this.epoch,
      seconds: this.seconds,
      model: await snapshot(this.model),
      swa: await this.swa.stateDict(),
      rates: this.rates.stateDict(),
      averages: Object.fromEntries<AveragedModelStateDict>(await Promise.all(averages)),
      best: this.best,
    };
  }

  /** Takes over a state, before the first epoch. */
  async load({ epoch, seconds, model, swa, rates, averages, best }: RunState): Promise<void> {
    restore(this.model, model);
    await this.swa.loadStateDict(swa);
    this.rates.loadStateDict(rates);
    for (const [take, average] of this.averages) await average.loadStateDict(averages[take]!);
    this.epoch = epoch;
    this.seconds = { ...seconds };
    this.best = best;
  }

  dispose(): void {
    for (const [, average] of this.averages) average.dispose();
    this.swa.dispose();
    this.model.dispose();
  }

  /** Keeps the weights if they are the best so far; of equal ones the first. */
  private async validate(): Promise<void> {
    const start = processorSeconds();
    const { epoch, model } = this;
    const { error } = await net.evaluate(model, this.images.validation);
    if (!this.best || error < this.best.error) {
      this.best = { epoch, error, model: await snapshot(model) };
    }
    this.spent('best', start);
  }

  private spent(part: string, start: number): void {
    this.seconds[part]! += processorSeconds() - start;
  }

  /** What the exponential averages have taken. */
  private averaging(): number {
    return this.averages.reduce((sum, [take]) => sum + this.seconds[take]!, 0);
  }
}

/** Of this process so far, which others on the machine move less than the clock's. */
function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** All weights and statistics. */
async function snapshot(model: tfl.LayersModel): Promise<TensorData[]> {
  const values = await net.snapshot(model);
  return model.weights.map(({ originalName, shape }, i) => {
    return { name: originalName, dtype: 'float32', shape: shape as number[], values: values[i]! };
  });
}

function restore(model: tfl.LayersModel, saved: readonly TensorData[]): void {
  net.restore(
    model,
    saved.map(({ values }) => values as Float32Array),
  );
}
