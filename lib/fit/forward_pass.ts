/**
 * keras-swa's way to new statistics of batch normalization: an epoch of `fit` that changes nothing
 * else, on the averages and at a rate of 0. It knows nothing of when it is due.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LiveRate } from './callback_rates.js';
import { movingOf, type BnLayer } from '../batchnorm/layers.js';
import type { Held, RunAverage } from './model_average.js';

/** One such epoch, from its begin to its end. */
export class ForwardPass {
  private batches = 0;
  private readonly statistics: ReadonlySet<tf.Variable>;
  /** The averages and the layers' momenta, while a batch may change them. */
  private held: Held | null = null;
  private momenta: number[] = [];

  /** Puts the averages into the model. */
  constructor(
    private readonly average: RunAverage,
    private readonly layers: readonly BnLayer[],
    private readonly rate: LiveRate,
  ) {
    this.statistics = new Set(layers.flatMap(movingOf));
    average.swap();
  }

  batchBegin(): void {
    this.batches += 1;
    this.rate.set(0);
    if (this.batches === 1) this.resetStatistics();
    // A momentum term moves the weights at a rate of 0 too (tfjs-core 4.22, rmsprop_optimizer.ts).
    this.held = this.average.hold(this.statistics);
    // The mean over batches: 1 / n of the n-th batch is taken, and tfjs's momentum is what is kept.
    this.momenta = this.layers.map(({ momentum }) => momentum);
    for (const layer of this.layers) layer.momentum = (this.batches - 1) / this.batches;
  }

  batchEnd(): void {
    this.held?.putBack();
    this.held?.dispose();
    this.held = null;
    this.momenta.forEach((momentum, i) => (this.layers[i]!.momentum = momentum));
    this.momenta = [];
  }

  /** Whether the model has new statistics. */
  get done(): boolean {
    return this.batches > 0;
  }

  /** Puts back all that the pass has changed. */
  abandon(): void {
    this.batchEnd();
    this.average.swap();
  }

  /**
   * To 0, the variance too, which in keras-swa is 1: the first batch replaces it, exactly only from
   * 0 (tfjs-layers 4.22, normalization.ts, `doMovingAverage`). An epoch without batches keeps it.
   */
  private resetStatistics(): void {
    for (const statistic of this.statistics) {
      tf.tidy(() => statistic.assign(tf.zerosLike(statistic)));
    }
  }
}
