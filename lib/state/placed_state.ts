/**
 * What was put in place of weights, as plain data: an average that was chosen, a sample. It knows nothing
 * of where it comes from.
 */
import { invalid } from '../check.js';
import { checkTensorList, type TensorData } from './tensor_data.js';

export interface PlacedState {
  /** Whether the variables held it, and `weights` and `statistics` are therefore those of training. */
  swapped: boolean;
  /** By the path of its layer or the variable's name. */
  weights: TensorData[];
  /** What no optimizer trains: moving statistics; none of a list of variables. */
  statistics: TensorData[];
}

/** @throws Error that says what is wrong with a value that should be such data. */
export function checkPlacedState(label: string, placed: unknown): asserts placed is PlacedState {
  const { swapped, weights, statistics } = Object(placed) as Partial<PlacedState>;
  if (typeof swapped !== 'boolean') invalid(`${label}.swapped`, swapped, 'a boolean');
  checkTensorList(`${label}.weights`, weights);
  checkTensorList(`${label}.statistics`, statistics);
}
