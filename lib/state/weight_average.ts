/** An average of weights as plain data. It knows nothing of how it was formed. */
import type { TensorData } from './tensor_data.js';

/** An average of weights as plain data. */
export interface WeightAverage {
  /** How many values it holds, or their weight; above 0. */
  count: number;
  /** The average of each weight. */
  weights: TensorData[];
}
