/**
 * The steps of an epoch, on images that are on the device once and for all. It knows nothing of rates,
 * averages or what the steps are for.
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { breathe } from '../../examples/demo/breathe.js';
import { gatherImages, gatherLabels, type Images } from '../../examples/demo/data.js';
import { trainableVariables } from '../../examples/demo/model.js';
import { trainingLoss } from './training_loss.js';

export class Steps {
  /** How many images there are. */
  readonly images: number;
  /** Steps an epoch. */
  readonly count: number;
  private readonly pixels: tf.Tensor3D;
  private readonly labels: tf.Tensor2D;

  constructor(
    images: Images,
    private readonly batch: number,
  ) {
    this.images = images.count;
    this.count = Math.ceil(images.count / batch);
    const all = Int32Array.from({ length: images.count }, (_, i) => i);
    [this.pixels, this.labels] = [gatherImages(images, all), gatherLabels(images, all)];
  }

  /** One pass over the images in some order. `onStep` is told after each step. */
  async epoch(
    model: tfl.LayersModel,
    optimizer: tf.Optimizer,
    order: Int32Array,
    onStep: () => void,
  ): Promise<void> {
    const variables = trainableVariables(model);
    const [pixels, labels] = tf.tidy(() => {
      const places = tf.tensor1d(order, 'int32');
      return [tf.gather(this.pixels, places), tf.gather(this.labels, places)] as const;
    });
    for (let i = 0; i < this.count; i++) {
      const [start, size] = [i * this.batch, Math.min(this.batch, this.images - i * this.batch)];
      tf.tidy(() => {
        const x = tf.slice(pixels, [start], [size]);
        const y = tf.slice(labels, [start], [size]);
        optimizer.minimize(() => trainingLoss(model, x, y), false, variables);
      });
      onStep();
      await breathe();
    }
    tf.dispose([pixels, labels]);
  }

  dispose(): void {
    tf.dispose([this.pixels, this.labels]);
  }
}
