/**
 * The fused update on tfjs-node, whose tensors cannot be written to but whose TensorFlow has variables:
 * the average lies in one of those from its first update until somebody asks for the tensor, and an
 * update is one op in place. It knows nothing of averages beyond the weight.
 *
 * No op of TensorFlow's does `average + (value - average) * weight` in place. The step of proximal
 * gradient descent, `(x - rate * gradient) / (1 + l2 * rate)`, is that with `rate = -a`, `l2 = -1` and
 * `a = weight / (1 - weight)`; `a` is one for which `1 + a` is a float32, so that the weights of average
 * and value add up to 1 exactly and an average of equal values stays within an ulp of them. Beyond the
 * numbers of float32 it differs from the plain ops: an average that is infinite stays so, where the plain
 * ops make NaN of it, and becomes so where `average + a * value` is beyond 3.4e38.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods, type CountsReferences, type Update } from './contract.js';
import { untilAsked } from './patches.js';

/** A tensor's data (tfjs-node 4.22, nodejs_kernel_backend.ts, `createOutputTensor`). */
interface Entry {
  shape: number[];
  dtype: number;
  /** The number under which the binding keeps the tensor. */
  id: number;
}

interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** What of the binding is used (tfjs-node 4.22, tfjs_binding.ts). */
interface Binding {
  createTensor(shape: number[], dtype: number, values: Float32Array): number;
  deleteTensor(id: number): void;
  executeOp(
    name: string,
    attributes: Attribute[],
    inputs: number[],
    outputs: number,
  ): { id: number }[];
  TF_FLOAT: number;
  TF_ATTR_STRING: number;
  TF_ATTR_TYPE: number;
  TF_ATTR_SHAPE: number;
}

/** Whether the binding has all of {@link Binding}. */
const isWhole = (binding: Partial<Binding>): binding is Binding =>
  hasMethods(binding, 'createTensor', 'deleteTensor', 'executeOp') &&
  [binding.TF_FLOAT, binding.TF_ATTR_STRING, binding.TF_ATTR_TYPE, binding.TF_ATTR_SHAPE].every(
    (constant) => typeof constant === 'number',
  );

interface NodeBackend extends CountsReferences {
  binding?: Partial<Binding>;
  isUsingGpuDevice?: boolean;
  tensorMap?: { get(dataId: object): Entry | undefined };
  getInputTensorIds?(tensors: tf.TensorInfo[]): number[];
}

/** The name that has TensorFlow make a new variable each time (its `ResourceHandle`). */
const ANONYMOUS = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347';

/** Rounding `1 + a` puts a weight off by 2^-24 at most: within this range less than 1 % of it. */
const LEAST = 2 ** -17;
/** Up to it `a` is 1023, and values up to 3e35 do not overflow. */
const MOST = 1 - 2 ** -10;

/** TensorFlow's variables that hold averages, by the tensors that refer to them. */
const variables = new WeakMap<Entry, number>();

/** The numbers of the latest update as tensors: one group has them in common. */
const numbers = new WeakMap<Binding, { weight: number; ids: number[] }>();

export function nodeAverage(backend: NodeBackend, weight: number): Update | null {
  const { binding, tensorMap, isUsingGpuDevice } = backend;
  if (!hasMethods(backend, 'refCount', 'getInputTensorIds')) return null;
  if (!hasMethods(tensorMap, 'get')) return null;
  if (!binding || !isWhole(binding)) return null;
  // TensorFlow has the op for processors alone (2.x, training_ops.cc, `REGISTER_KERNELS(CPU, float)`).
  if (isUsingGpuDevice !== false) return null;
  return (average, value) => {
    if (weight < LEAST || weight > MOST || average === value) return false;
    // Not left to the plain ops, which round otherwise: a resumed run would be another one.
    if (backend.refCount(average.dataId) !== 1) {
      tf.tidy(() => average.assign(tf.mul(average, 1)));
    }
    const entry = tensorMap.get(average.dataId);
    if (!entry || !Array.isArray(entry.shape)) return false;
    let variable = variables.get(entry);
    if (variable === undefined) {
      // Gives the values of a tensor that no op has taken yet to TensorFlow.
      backend.getInputTensorIds([average]);
      if (typeof entry.id !== 'number') return false;
    }
    const [current] = backend.getInputTensorIds([value]);
    if (typeof current !== 'number') return false;
    variable ??= beginVariable(binding, entry);
    const inputs = [variable, ...numbersOf(binding, weight), current];
    execute(binding, 'ResourceApplyProximalGradientDescent', inputs, 0);
    return true;
  };
}

/** Rate, l1 and l2 of the op for a weight. */
function numbersOf(binding: Binding, weight: number): number[] {
  const last = numbers.get(binding);
  if (last?.weight === weight) return last.ids;
  const a = Math.fround(1 + weight / (1 - weight)) - 1;
  const ids = [-a, 0, -1].map((value) => scalar(binding, value));
  numbers.set(binding, { weight, ids });
  last?.ids.forEach((id) => binding.deleteTensor(id));
  return ids;
}

/** Moves the average out of the entry's tensor into a variable; who asks for the tensor ends that. */
function beginVariable(binding: Binding, entry: Entry): number {
  const { id, shape } = entry;
  const dtype = { name: 'dtype', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  const [{ id: variable }] = binding.executeOp(
    'VarHandleOp',
    [
      dtype,
      { name: 'shape', type: binding.TF_ATTR_SHAPE, value: shape },
      { name: 'container', type: binding.TF_ATTR_STRING, value: '' },
      { name: 'shared_name', type: binding.TF_ATTR_STRING, value: ANONYMOUS },
    ],
    [],
    1,
  ) as [{ id: number }];
  // A copy: the tensor may lie in an array of the caller's.
  const one = scalar(binding, 1);
  const [copy] = execute(binding, 'Mul', [id, one], 1) as [number];
  binding.executeOp('AssignVariableOp', [dtype], [variable, copy], 0);
  for (const tensor of [one, copy, id]) binding.deleteTensor(tensor);
  variables.set(entry, variable);
  untilAsked(
    entry,
    'id',
    () => binding.executeOp('ReadVariableOp', [dtype], [variable], 1)[0]!.id,
    () => {
      variables.delete(entry);
      binding.executeOp('DestroyResourceOp', [], [variable], 0);
      binding.deleteTensor(variable);
    },
  );
  return variable;
}

const scalar = (binding: Binding, value: number): number =>
  binding.createTensor([], binding.TF_FLOAT, Float32Array.of(value));

/** An op whose tensors are all float32; returns the tensors that it makes. */
function execute(binding: Binding, name: string, inputs: number[], outputs: number): number[] {
  const type = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  return binding.executeOp(name, [type], inputs, outputs).map(({ id }) => id);
}
