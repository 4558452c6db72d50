/**
 * The fused update on tfjs-node, whose tensors cannot be written to but whose TensorFlow has
 * variables: the average is kept as a sum in one of those, times a factor, and the update is one op
 * that adds to the sum. It knows nothing of averages beyond the weight.
 *
 * With `average = scale * sum`, `average + (value - average) * weight` has the scale
 * `scale * (1 - weight)` and the sum `sum + value * weight / scale`, of the new scale. The average
 * itself is made when somebody asks for the tensor, and the next update begins a new sum. Beyond
 * the numbers of float32 it differs from the plain ops: an average that is infinite stays so, where
 * the plain ops make NaN of it, and a sum of values near 3e38 overflows before their average.
 */
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { CountsReferences, Update } from './contract.js';

/** A tensor's data (tfjs-node 4.22, nodejs_kernel_backend.ts, `createOutputTensor`). */
interface Entry {
  shape: number[];
  dtype: number;
  /** The number under which the binding keeps the tensor. */
  id: number;
  /** The values before the first op that takes the tensor, as tf.tensor was handed them. */
  values: unknown;
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

const NEEDED = [
  'createTensor',
  'deleteTensor',
  'executeOp',
  'TF_FLOAT',
  'TF_ATTR_STRING',
  'TF_ATTR_TYPE',
  'TF_ATTR_SHAPE',
] as const;

const hasNeeded = (binding: Partial<Binding>): boolean =>
  NEEDED.every((name) => binding[name] !== undefined);

interface NodeBackend extends CountsReferences {
  binding?: Binding;
  tensorMap?: { get(dataId: object): Entry };
  getInputTensorIds?(tensors: TensorInfo[]): number[];
}

/** A TensorFlow variable, by the tensor that refers to it, and what its content is times. */
interface Sum {
  readonly variable: number;
  scale: number;
  /** Makes the average, and it alone the entry's. */
  end(): void;
}

/** The name that has TensorFlow make a new variable each time (its `ResourceHandle`). */
const ANONYMOUS = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347';

/** Below it a new sum is begun: an EMA's scale falls without end, and its sum rises. */
const LEAST_SCALE = 2 ** -24;

/** The sums of the averages whose tensor nobody has asked for. */
const sums = new WeakMap<Entry, Sum>();

export function nodeAverage(backend: NodeBackend, weight: number): Update | null {
  const { binding, tensorMap } = backend;
  if (!tensorMap || !backend.getInputTensorIds || !binding || !hasNeeded(binding)) return null;
  return (buffer, value) => {
    if (backend.refCount(buffer.dataId) !== 1) return false;
    const scaled = (scale: number): number => scale * (1 - weight);
    if (scaled(1) < LEAST_SCALE) return false; // The average is all but the value itself.
    const entry = tensorMap.get(buffer.dataId);
    // Gives the values of a tensor that no op has taken yet to TensorFlow.
    if (entry.values != null) backend.getInputTensorIds!([buffer]);
    const [current] = backend.getInputTensorIds!([value]);
    let sum = sums.get(entry);
    if (sum && scaled(sum.scale) < LEAST_SCALE) {
      sum.end();
      sum = undefined;
    }
    sum ??= beginSum(binding, entry);
    sum.scale = scaled(sum.scale);
    const alpha = scalar(binding, -weight / sum.scale);
    execute(binding, 'ResourceApplyGradientDescent', [], [sum.variable, alpha, current!], 0);
    binding.deleteTensor(alpha);
    return true;
  };
}

/** Moves the average out of the entry's tensor into a sum; the entry makes it anew when asked. */
function beginSum(binding: Binding, entry: Entry): Sum {
  const { id, shape } = entry;
  const [variable] = binding.executeOp(
    'VarHandleOp',
    [
      { name: 'dtype', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
      { name: 'shape', type: binding.TF_ATTR_SHAPE, value: shape },
      { name: 'container', type: binding.TF_ATTR_STRING, value: '' },
      { name: 'shared_name', type: binding.TF_ATTR_STRING, value: ANONYMOUS },
    ],
    [],
    1,
  );
  const show = (value: number): void => {
    sums.delete(entry);
    Object.defineProperty(entry, 'id', { value, writable: true, configurable: true });
  };
  const end = (): void => show(endSum(binding, sum));
  const sum: Sum = { variable: variable!.id, scale: 1, end };
  // A copy: the tensor may lie in an array of the caller's.
  const copy = scaledBy(binding, id, 1);
  assign(binding, sum.variable, copy);
  binding.deleteTensor(copy);
  binding.deleteTensor(id);
  sums.set(entry, sum);
  Object.defineProperty(entry, 'id', {
    configurable: true,
    get() {
      end();
      return entry.id;
    },
    set: show,
  });
  return sum;
}

/** The average as a tensor; the sum is gone. */
function endSum(binding: Binding, { variable, scale }: Sum): number {
  const dtype = { name: 'dtype', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  const [sum] = binding.executeOp('ReadVariableOp', [dtype], [variable], 1);
  const average = scaledBy(binding, sum!.id, scale);
  binding.deleteTensor(sum!.id);
  binding.executeOp('DestroyResourceOp', [], [variable], 0);
  binding.deleteTensor(variable);
  return average;
}

function assign(binding: Binding, variable: number, value: number): void {
  const dtype = { name: 'dtype', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  binding.executeOp('AssignVariableOp', [dtype], [variable, value], 0);
}

function scaledBy(binding: Binding, tensor: number, factor: number): number {
  const scale = scalar(binding, factor);
  const [product] = execute(binding, 'Mul', [], [tensor, scale], 1);
  binding.deleteTensor(scale);
  return product!.id;
}

const scalar = (binding: Binding, value: number): number =>
  binding.createTensor([], binding.TF_FLOAT, Float32Array.of(value));

/** An op whose tensors are all float32. */
function execute(
  binding: Binding,
  name: string,
  attributes: Attribute[],
  inputs: number[],
  outputs: number,
): { id: number }[] {
  const type = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  return binding.executeOp(name, [type, ...attributes], inputs, outputs);
}
