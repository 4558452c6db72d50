/**
 * The training of one worker, epoch by epoch, in Node or in a Web Worker. It knows nothing of files,
 * queues or other workers.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { assignWeights, readWeights, SWA, type SWAStateDict, type TensorData } from 'tfjs-swa';
import { noisyLabels, type Images } from '../demo/data.js';
import { createModel } from '../demo/model.js';
import { randomNumbers, shuffledIndices } from '../demo/random.js';
import { MOMENTUM, RATE } from '../demo/schedule.js';
import { trainEpoch } from '../demo/training.js';

/** Units of each hidden layer. */
const WIDTH = 64;
/** Fraction of the training labels that are drawn at random. */
const NOISE = 0.2;

/** What a worker is to do. */
export interface Task {
  /** Its name, and that of what it makes. */
  id: string;
  /** Of the labels' noise, and of the weights where there is no start. */
  seed: number;
  /** Of the data order; each worker has its own. */
  order: number;
  /** The images that it learns from, the first and the one behind the last. */
  part: readonly [first: number, end: number];
  epochs: number;
}

/** The form of what a worker makes; it grows when the fields or their meaning change. */
export const VERSION = 1;

/** Where a worker is, as plain data: with it any other goes on, bit for bit. */
export interface WorkerState {
  version: number;
  id: string;
  epoch: number;
  /** How many images it learns from. */
  examples: number;
  /** Mean training loss of the epoch. */
  loss: number;
  /** The last weights, and the moving statistics of batch normalization. */
  model: TensorData[];
  /** The optimizer, and the average over all steps so far. */
  swa: SWAStateDict;
}

/** The net of all workers, with the weights of a seed. */
export function newModel(seed: number): tfl.LayersModel {
  return createModel(WIDTH, seed);
}

/** A worker's images, with the labels of a seed, a fifth of which are drawn at random. */
export function imagesOf({ seed, part: [first, end] }: Pick<Task, 'seed' | 'part'>, all: Images) {
  const pixels = all.pixels.length / all.count;
  return {
    count: end - first,
    labels: noisyLabels(all.labels, NOISE, randomNumbers(seed)).subarray(first, end),
    pixels: all.pixels.subarray(first * pixels, end * pixels),
  };
}

/** A worker in the middle of its task. */
export class LocalRun {
  private done = 0;
  private loss = NaN;
  private readonly images: Images;
  private readonly model: tfl.LayersModel;
  private readonly swa: SWA;

  /** @param start The weights to begin with; `null`: those of the seed. */
  constructor(
    private readonly task: Task,
    images: Images,
    start: readonly TensorData[] | null,
  ) {
    this.images = imagesOf(task, images);
    this.model = newModel(task.seed);
    if (start) assignWeights(this.model, start);
    this.swa = new SWA(tf.train.momentum(RATE, MOMENTUM));
  }

  /** Epochs that are done. */
  get epoch(): number {
    return this.done;
  }

  /** Takes over what another process of this task left. */
  async load({ epoch, loss, model, swa }: WorkerState): Promise<void> {
    assignWeights(this.model, model);
    await this.swa.loadStateDict(swa);
    this.done = epoch;
    this.loss = loss;
  }

  /**
   * Trains an epoch, every step of which is averaged. Its data order follows from the task and the
   * epoch, whatever was done before in this process.
   */
  async advance(onStep: (step: number) => void | Promise<void> = () => {}): Promise<void> {
    const { model, swa, images, task } = this;
    const random = randomNumbers(task.order * 100_003 + this.done);
    const order = shuffledIndices(images.count, random);
    this.loss = await trainEpoch(model, swa, images, order, async (step) => {
      swa.updateSwa();
      await onStep(step);
    });
    this.done += 1;
  }

  async state(): Promise<WorkerState> {
    const { task, done, loss, images, model, swa } = this;
    return {
      ...{ version: VERSION, id: task.id, epoch: done, examples: images.count, loss },
      model: await readWeights(model),
      swa: await swa.stateDict(),
    };
  }

  dispose(): void {
    this.swa.dispose();
    this.model.dispose();
  }
}
