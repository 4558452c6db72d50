/**
 * One run: a net trained from a seed in one way, its averages, and how good they are. It knows nothing
 * of methods, of what else is run, or of files.
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
  Lookahead,
  ScheduleFree,
  sequence,
  SWA,
  WeightHistory,
  type Schedule,
} from 'tfjs-swa';
import { uploaded } from '../../examples/demo/data.js';
import * as net from '../../examples/demo/model.js';
import type { Score } from '../../examples/demo/model.js';
import { randomNumbers, shuffledIndices } from '../../examples/demo/random.js';
import { BATCH, MOMENTUM } from '../../examples/demo/schedule.js';
import { createNet, type Experiment, type Split, type Take, type Way } from './experiments.js';
import { Steps } from './steps.js';

/** All that the numbers of a run depend on. */
export interface Run {
  experiment: Experiment;
  seed: number;
  way: Way;
  rate: number;
  /** What is wanted of it. */
  takes: Take[];
  /** The images that this is measured on. */
  on: 'validation' | 'test';
}

/** The average of the last segments of a run, on validation and on what is wanted. */
export interface Window {
  segments: number;
  /** Updates in it. */
  count: number;
  validation: Score;
  score: Score;
}

/** What a run gave. */
export interface Outcome {
  scores: Record<string, Score>;
  /** Every window, the shortest first, where one was wanted. */
  windows: Window[] | null;
  /** Processor time: of the training, and of what each of the wanted takes beside it. */
  seconds: Record<string, number>;
}

/** Weights that a run had, the trainable ones, each as {@link net.flatWeights} gives them. */
export interface Kept {
  /** At the end of each epoch. */
  iterates: Float32Array[];
  /** Of the chosen window, where one was wanted. */
  window: Float32Array | null;
}

export interface RunTask {
  run: Run;
  images: Split;
  /** Told after each epoch how many are done, and waited for. */
  onEpoch?: (epoch: number) => void | Promise<void>;
}

/** The key of {@link Outcome.seconds} that all that is taken from a run shares. */
export const TRAINING = 'training';

/** What a window is chosen by. */
export const WINDOWS: Partial<Record<Take, (window: Window) => number>> = {
  window: ({ validation }) => validation.nll,
  'window by error': ({ validation }) => validation.error,
};

/** Trains and measures. No tensor is left behind. */
export async function execute(task: RunTask): Promise<{ outcome: Outcome; kept: Kept }> {
  const training = new Training(task.run, task.images);
  try {
    for (let epoch = 1; epoch <= task.run.experiment.epochs; epoch++) {
      await training.advance(epoch);
      await task.onEpoch?.(epoch);
    }
    return await training.measure();
  } finally {
    training.dispose();
  }
}

/** The rate of a way over a number of steps. */
export function rateOf(way: Way, rate: number, steps: number): Schedule {
  if (way === 'constant' || way === 'schedule-free') return constant(rate);
  if (way === 'cosine') return cosineAnnealing({ from: rate, to: 0, steps });
  const half = steps / 2;
  return sequence([[constant(rate), half], linear({ from: rate, to: 0, steps: half })]);
}

function optimizerOf(way: Way, rate: number): tf.Optimizer {
  if (way === 'schedule-free') return new ScheduleFree(tf.train.sgd(rate));
  const momentum = tf.train.momentum(rate, MOMENTUM);
  // Never averaged, SWA is the plain optimizer, and frees what tfjs's own leaves (momentum_optimizer.ts,
  // 4.22, `dispose`).
  return way === 'lookahead' ? new Lookahead(momentum) : new SWA(momentum);
}

class Training {
  private readonly model: tfl.LayersModel;
  private readonly optimizer: tf.Optimizer;
  private readonly rates: LambdaLR;
  private readonly steps: Steps;
  /** The images for what measures, uploaded once. */
  private readonly batches: Record<'train' | 'validation' | 'test', tf.Tensor[]>;
  /** All steps, a segment an epoch; `null` where no window is wanted. */
  private readonly history: WeightHistory | null;
  /** The averages that are updated at every step, and at the end of each epoch of the second half. */
  private readonly averages: [Take, AveragedModel<tfl.LayersModel>][];
  private readonly seconds: Record<string, number>;
  private readonly iterates: Float32Array[] = [];

  constructor(
    private readonly run: Run,
    private readonly images: Split,
  ) {
    const { experiment, seed, way, rate, takes } = run;
    this.model = createNet(experiment, seed);
    this.optimizer = optimizerOf(way, rate);
    this.steps = new Steps(images.train, BATCH);
    this.rates = new LambdaLR(
      this.optimizer,
      rateOf(way, rate, experiment.epochs * this.steps.count),
    );
    this.batches = {
      train: uploaded(images.train, 500),
      validation: uploaded(images.validation, 500),
      test: run.on === 'test' ? uploaded(images.test, 1000) : [],
    };
    this.history = takes.some(isWindow) ? new WeightHistory(this.model) : null;
    this.averages = takes
      .filter((take) => take.startsWith('ema ') || take === 'second half')
      .map((take) => {
        const decay = Number(take.slice('ema '.length));
        const options = take === 'second half' ? {} : { avgFn: emaAvgFn(decay) };
        return [take, new AveragedModel(this.model, options)];
      });
    this.seconds = Object.fromEntries([TRAINING, ...takes].map((part) => [part, 0]));
  }

  /** Trains an epoch, counted from 1. */
  async advance(epoch: number): Promise<void> {
    const { model, optimizer, steps, run, history } = this;
    const order = shuffledIndices(steps.images, randomNumbers(run.seed * 100_003 + epoch));
    const [start, before] = [processorSeconds(), this.averaging()];
    await steps.epoch(model, optimizer, order, () => {
      this.rates.step();
      this.update(epoch, false);
    });
    history?.closeSegment();
    this.update(epoch, true);
    this.spent(TRAINING, start);
    this.seconds[TRAINING]! -= this.averaging() - before;
    this.iterates.push(await net.flatWeights(model));
  }

  /** What is wanted, after the last epoch. */
  async measure(): Promise<{ outcome: Outcome; kept: Kept }> {
    const { model, optimizer, run, seconds, iterates } = this;
    const scores: Record<string, Score> = {};
    const score = async (take: Take, of: tfl.LayersModel): Promise<void> => {
      await this.timed(take, () => net.reestimate(of, this.images.train, this.batches.train));
      scores[take] = await this.score(of, run.on);
    };
    for (const [take, average] of this.averages) await score(take, average.module);
    if (run.takes.includes('last')) {
      if (optimizer instanceof ScheduleFree) {
        await optimizer.withAverage(() => score('last', model));
      } else await score('last', model);
    }
    const windows = this.history ? await this.measureWindows(this.history) : null;
    const window = windows ? await net.flatWeights(model) : null; // the chosen one
    for (const take of run.takes.filter(isWindow)) {
      scores[take] = bestOf(windows!, WINDOWS[take]!).score;
    }
    return { outcome: { scores, windows, seconds }, kept: { iterates, window } };
  }

  dispose(): void {
    for (const [, average] of this.averages) average.dispose();
    this.history?.dispose();
    tf.dispose(Object.values(this.batches));
    this.steps.dispose();
    this.optimizer.dispose();
    this.model.dispose();
  }

  /** The averages that are due: after each step, or at the end of an epoch. */
  private update(epoch: number, atEnd: boolean): void {
    for (const [take, average] of this.averages) {
      if ((take === 'second half') !== atEnd) continue;
      if (atEnd && epoch <= this.run.experiment.epochs / 2) continue;
      const start = processorSeconds();
      average.updateParameters();
      this.spent(take, start);
    }
    if (!this.history || atEnd) return;
    const start = processorSeconds();
    this.history.update();
    for (const take of this.run.takes.filter(isWindow)) this.spent(take, start);
  }

  /** Every window; the one with the lowest validation loss is in the model then. */
  private async measureWindows(history: WeightHistory): Promise<Window[]> {
    const windows: Window[] = [];
    let measuring = 0;
    const start = processorSeconds();
    const { scores } = await history.choose(
      async () => {
        const validation = await this.score(this.model, 'validation');
        const from = processorSeconds();
        const score = await this.score(this.model, this.run.on);
        measuring += processorSeconds() - from;
        windows.push({ segments: windows.length + 1, count: 0, validation, score });
        return validation.nll;
      },
      { bnData: this.batches.train },
    );
    for (const take of this.run.takes.filter(isWindow)) this.spent(take, start + measuring);
    scores.forEach(({ count }, i) => (windows[i]!.count = count));
    return windows;
  }

  private score(model: tfl.LayersModel, on: 'validation' | 'test'): Promise<Score> {
    return net.evaluate(model, this.images[on], this.batches[on]);
  }

  private async timed(part: string, f: () => Promise<void>): Promise<void> {
    const start = processorSeconds();
    await f();
    this.spent(part, start);
  }

  private spent(part: string, start: number): void {
    this.seconds[part]! += processorSeconds() - start;
  }

  /** What the averages have taken; two ways to choose a window share one history. */
  private averaging(): number {
    const { averages, seconds, run } = this;
    const window = run.takes.find(isWindow);
    return [...averages.map(([take]) => take), ...(window ? [window] : [])].reduce(
      (sum, take) => sum + seconds[take]!,
      0,
    );
  }
}

/** The window with the lowest number, of equal ones the longest, as `choose` has it; NaN is worst. */
export function bestOf(windows: readonly Window[], of: (window: Window) => number): Window {
  const numberOf = (window: Window): number => (Number.isNaN(of(window)) ? Infinity : of(window));
  return windows.reduce((best, window) => (numberOf(window) <= numberOf(best) ? window : best));
}

function isWindow(take: Take): boolean {
  return take in WINDOWS;
}

/** Of this process so far, which others on the machine move less than the clock's. */
function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
