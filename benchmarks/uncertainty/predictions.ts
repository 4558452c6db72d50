/**
 * What the weights of a finished run predict: its last ones, their average, samples of SWAG, and all its
 * last iterates together. It knows nothing of files, seeds or measures.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { SWAG } from 'tfjs-swa';
import { CLASSES, uploaded, type Images } from '../../examples/demo/data.js';
import { reestimate, setFlatWeights } from '../../examples/demo/model.js';
import { createNet, type Experiment } from '../accuracy/experiments.js';
import type { Predicted } from './measures.js';

export const SAMPLES = 30;

export class Predictions {
  private readonly net: tfl.Sequential;
  /** The net with a softmax behind it, over the same weights. */
  private readonly model: tfl.LayersModel;
  private readonly train: tf.Tensor3D[];

  constructor(
    experiment: Experiment,
    private readonly images: Images,
  ) {
    this.net = createNet(experiment, 1);
    const probabilities = tfl.layers.softmax().apply(this.net.outputs[0]!);
    const outputs = probabilities as tfl.SymbolicTensor;
    this.model = tfl.model({ inputs: this.net.inputs, outputs });
    this.train = uploaded(images, 500);
  }

  /** Of the weights of one point, with statistics of batch normalization of their own. */
  async of(weights: Float32Array, xs: tf.Tensor3D): Promise<Predicted> {
    setFlatWeights(this.net, weights);
    await reestimate(this.net, this.images, this.train);
    const predicted = this.model.predict(xs, { batchSize: 1000 }) as tf.Tensor;
    return taken(predicted);
  }

  /** The mean of what each of some points predicts. */
  async ofAll(points: readonly Float32Array[], xs: tf.Tensor3D): Promise<Predicted> {
    const sum = new Float64Array(xs.shape[0] * CLASSES);
    for (const point of points) {
      const { values } = await this.of(point, xs);
      values.forEach((value, i) => (sum[i]! += value / points.length));
    }
    return { values: Float32Array.from(sum), classes: CLASSES };
  }

  /** Calls `f` with what SWAG's samples predict, having seen some points in order. */
  async withSwag<T>(
    points: readonly Float32Array[],
    f: (predict: (xs: tf.Tensor3D, scale: number, samples?: number) => Promise<Predicted>) => T,
  ): Promise<Awaited<T>> {
    const swag = new SWAG(this.model);
    try {
      for (const point of points) {
        setFlatWeights(this.net, point);
        swag.update();
      }
      return await f(async (xs, scale, samples = SAMPLES) => {
        const options = { samples, scale, seed: 1, bnData: this.train, batchSize: 1000 };
        const { mean, std } = await swag.predict(xs, options);
        std.dispose();
        return taken(mean);
      });
    } finally {
      swag.dispose();
    }
  }

  dispose(): void {
    tf.dispose(this.train);
    this.net.dispose();
  }
}

async function taken(predicted: tf.Tensor): Promise<Predicted> {
  const values = ((await predicted.data()) as Float32Array).slice();
  predicted.dispose();
  return { values, classes: CLASSES };
}
