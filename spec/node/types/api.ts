/**
 * The public API as TypeScript sees it: what must compile, and what must not. A line marked
 * `@ts-expect-error CODE` has to be refused, with that code; spec/types.spec.ts sees to it. Nothing
 * here runs.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as data from '@tensorflow/tfjs-data';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  loadStateDict,
  saveStateDict,
  SWA,
  swaAvgFn,
  swaCallback,
  updateBn,
  type ParamGroup,
  type ParamGroupOptions,
  type SWAOptions,
  type SWAStateDict,
  type TensorData,
} from 'tfjs-swa';

/** Compiles if the two types are the same. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_same: Same<A, B>): void {}

declare const swa: SWA;
declare const variable: tf.Variable;
declare const tensor: tf.Tensor;
declare const sgd: tf.Optimizer;
declare const loss: () => tf.Scalar;

export function construction(): void {
  new SWA(sgd);
  new SWA(sgd, {});
  new SWA(sgd, { swaStart: 10, swaFreq: 5, swaLr: 0.05 });
  new SWA(sgd, { paramGroups: [{ params: variable }, { params: [variable], lr: 1e-3 }] });
  new SWA(tf.train.adam());
  const options: SWAOptions = { swaStart: 10, swaFreq: 5 };
  new SWA(sgd, options);

  // @ts-expect-error 2554 the optimizer is needed
  new SWA();
  // @ts-expect-error 2345 an optimizer, not its name
  new SWA('sgd');
  // @ts-expect-error 2561 the name is camelCase here
  new SWA(sgd, { swa_start: 10 });
  // @ts-expect-error 2353 a name that is not there
  new SWA(sgd, { swaFrequency: 5 });
  // @ts-expect-error 2322 a number of steps
  new SWA(sgd, { swaStart: '10', swaFreq: 5 });
  // @ts-expect-error 2322 a rate, not a schedule
  new SWA(sgd, { swaStart: 10, swaFreq: 5, swaLr: (step: number) => 0.1 / step });
  // @ts-expect-error 2741 a group has params
  new SWA(sgd, { paramGroups: [{ lr: 0.1 }] });
  // @ts-expect-error 2322 variables, not tensors
  new SWA(sgd, { paramGroups: [{ params: tensor }] });
}

export function properties(): void {
  same<typeof swa.optimizer, tf.Optimizer>(true);
  same<typeof swa.autoMode, boolean>(true);
  same<typeof swa.swaStart, number | null>(true);
  same<typeof swa.swaFreq, number | null>(true);
  same<typeof swa.swaLr, number | null>(true);
  same<typeof swa.paramGroups, readonly ParamGroup[]>(true);
  same<typeof swa.swapped, boolean>(true);

  // @ts-expect-error 2540 swapSwaSgd() swaps
  swa.swapped = true;
  // @ts-expect-error 2540 addParamGroup() adds
  swa.paramGroups = [];
  // @ts-expect-error 2339 addParamGroup() adds
  swa.paramGroups.push({ params: variable });
  // @ts-expect-error 2540 given at construction
  swa.optimizer = sgd;
  // @ts-expect-error 2540 given at construction
  swa.autoMode = true;
  // @ts-expect-error 2540 given at construction
  swa.swaStart = 1;
  // @ts-expect-error 2540 given at construction
  swa.swaFreq = 1;
  // @ts-expect-error 2540 given at construction
  swa.swaLr = 0.1;
}

export function groups(): void {
  const options: ParamGroupOptions = { params: [variable], lr: 1e-3, momentum: 0.5 };
  const group = swa.addParamGroup(options);
  same<typeof group, ParamGroup>(true);
  swa.updateSwaGroup(group);
  group.lr = 0.1;

  // @ts-expect-error 2540 counted by the wrapper
  group.n_avg = 3;
  // @ts-expect-error 2540 counted by the wrapper
  group.step_counter = 3;
  // @ts-expect-error 2540 fixed
  group.params = [variable];
  // @ts-expect-error 2339 fixed
  group.params.push(variable);
  // @ts-expect-error 2540 fixed
  group.optimizer = sgd;
  // @ts-expect-error 2322 a number
  group.lr = '0.1';
  // @ts-expect-error 2551 the counters keep torch's names
  void group.nAvg;
  // @ts-expect-error 2345 a group, not its number
  swa.updateSwaGroup(0);
}

export function steps(): void {
  same<ReturnType<SWA['minimize']>, tf.Scalar | null>(true);
  swa.minimize(loss);
  swa.minimize(loss, true, [variable]);
  const { value, grads } = swa.computeGradients(loss, [variable]);
  same<typeof value, tf.Scalar>(true);
  swa.applyGradients(grads);
  swa.applyGradients([{ name: 'x', tensor }]);
  const optimizer: tf.Optimizer = swa;
  optimizer.minimize(loss);

  // @ts-expect-error 2322 the loss is a scalar, not a number
  swa.minimize(() => 1);
  // @ts-expect-error 2740 a step cannot wait
  swa.minimize(async () => loss());
  // @ts-expect-error 2322 variables, not names
  swa.minimize(loss, false, ['x']);
  // @ts-expect-error 2739 by name
  swa.applyGradients([tensor]);
}

export async function averages(): Promise<void> {
  same<ReturnType<SWA['updateSwa']>, void>(true);
  same<ReturnType<SWA['swapSwaSgd']>, void>(true);
  const accuracy = await swa.withSwa(() => 0.5);
  same<typeof accuracy, number>(true);
  const text = await swa.withSwa(async () => Promise.resolve('text'));
  same<typeof text, string>(true);

  // @ts-expect-error 2554 a function to run
  await swa.withSwa();
  // @ts-expect-error 2322 what the function gives
  const wrong: string = await swa.withSwa(() => 0.5);
  void wrong;
}

export async function state(): Promise<void> {
  const saved = await swa.stateDict();
  same<typeof saved, SWAStateDict>(true);
  await swa.loadStateDict(saved);
  same<SWAStateDict['opt_state'], Record<string, TensorData[]>>(true);
  same<SWAStateDict['swa_state'], Record<string, { swa_buffer: TensorData }>>(true);
  const [group] = saved.param_groups;
  const numbers: number[] = group!.params;
  const names: string[] = group!.param_names;
  const counters: [number, number, number] = [group!.lr, group!.n_avg, group!.step_counter];
  const swapped: boolean = group!.swapped;
  const cloned: SWAStateDict = structuredClone(saved);
  void [numbers, names, counters, swapped, cloned];
  same<TensorData['dtype'], 'float32' | 'int32' | 'bool'>(true);
  same<TensorData['shape'], number[]>(true);

  // @ts-expect-error 2739 nothing to wait for is not a state
  const early: SWAStateDict = swa.stateDict();
  // @ts-expect-error 2345 a state has three parts
  await swa.loadStateDict({});
  // @ts-expect-error 2345 a state is no file name
  await swa.loadStateDict('state.json');
  // @ts-expect-error 2339 plain data has nothing to dispose
  saved.swa_state['0']?.swa_buffer.dispose();
  // @ts-expect-error 2322 not a dtype of tfjs's optimizers
  const dtype: TensorData['dtype'] = 'float64';
  void [early, dtype];
}

async function* batches(): AsyncGenerator<tf.Tensor> {
  await Promise.resolve();
  yield tensor;
}

async function* pairs(): AsyncGenerator<[tf.Tensor, tf.Tensor]> {
  await Promise.resolve();
  yield [tensor, tensor];
}

export async function batchNorm(model: tfl.LayersModel): Promise<void> {
  await SWA.bnUpdate([tensor], model);
  await SWA.bnUpdate([[tensor, tensor]], model);
  await SWA.bnUpdate([[[tensor, tensor], tensor]], model);
  await SWA.bnUpdate([{ xs: tensor, ys: tensor }], model);
  await SWA.bnUpdate([{ xs: { a: tensor, b: tensor } }], model);
  await SWA.bnUpdate(new Set([tensor]), model);
  await SWA.bnUpdate(batches(), model);
  await SWA.bnUpdate(pairs(), model);
  await SWA.bnUpdate(data.array([1, 2]).batch(2), model);
  await SWA.bnUpdate(data.zip({ xs: data.array([1]), ys: data.array([1]) }).batch(1), model);
  await updateBn(batches(), model, {
    maxBatches: 3,
    onBatch: ({ batch, examples }) => batch + examples,
  });
  await updateBn([tensor], model, { forward: (net, batch) => net.apply(batch) });
  await updateBn([tensor], { batchNormLayers: () => [] }, { forward: () => {} });

  // @ts-expect-error 2345 something to iterate over
  await SWA.bnUpdate(3, model);
  // @ts-expect-error 2345 a list of batches, not one
  await SWA.bnUpdate(tensor, model);
  // @ts-expect-error 2554 the model
  await SWA.bnUpdate([tensor]);
  // @ts-expect-error 2322 a number of batches
  await updateBn([tensor], model, { maxBatches: '3' });
  // @ts-expect-error 2561 the name is onBatch
  await updateBn([tensor], model, { onBatches: () => {} });
  // @ts-expect-error 2339 the model's own type
  await updateBn([tensor], model, { forward: (net) => net.noSuchMethod() });
}

export async function layers(model: tfl.LayersModel): Promise<void> {
  model.compile({ optimizer: new SWA(tf.train.adam()), loss: 'meanSquaredError' });
  await model.fit(tensor, tensor, { epochs: 1 });
  const groupsOfModel: ParamGroupOptions = {
    params: model.trainableWeights.map((weight) => weight.read() as tf.Variable),
  };
  new SWA(sgd, { paramGroups: [groupsOfModel] });

  // @ts-expect-error 2322 a class is no optimizer
  model.compile({ optimizer: SWA, loss: 'meanSquaredError' });
}

export async function callbacks(model: tfl.Sequential): Promise<void> {
  const auto = swaCallback(model, { startEpoch: 'auto', validationData: [tensor, tensor] });
  await model.fit(tensor, tensor, { callbacks: auto });
  await model.fit(tensor, tensor, { callbacks: [new tfl.CustomCallback(auto)] });
  const validationData = data.zip({ xs: data.array([1]), ys: data.array([1]) }).batch(1);
  swaCallback(model, { startEpoch: 'auto', validationData, bnData: [tensor], verbose: 1 });
  swaCallback(model, { startEpoch: 2, validationData, keepBest: true, avgFn: swaAvgFn() });

  // @ts-expect-error 2322 a number or 'auto'
  swaCallback(model, { startEpoch: 'late', validationData });
  // @ts-expect-error 2345 it is not 'auto' by default
  swaCallback(model, { validationData });
  // @ts-expect-error 2322 two of them
  swaCallback(model, { startEpoch: 'auto', validationData: [tensor] });
}

export async function checkpoints(): Promise<void> {
  await saveStateDict('file://state', await swa.stateDict());
  await saveStateDict('file://state', { swa: await swa.stateDict(), epoch: 1, best: null });
  const plain = await loadStateDict('file://state');
  same<typeof plain, SWAStateDict>(true);
  const { epoch } = await loadStateDict<{ epoch: number }>('file://state');
  same<typeof epoch, number>(true);

  // @ts-expect-error 2322 a function is no plain data
  await saveStateDict('file://state', { lr: () => 0.1 });
  // @ts-expect-error 2322 nor is undefined
  await saveStateDict('file://state', { losses: [undefined] });
  // @ts-expect-error 2345 nor a class with methods
  await saveStateDict('file://state', new Map([['epoch', 1]]));
  // @ts-expect-error 2322 nor an array of values that does not tell its shape
  await saveStateDict('file://state', { values: new Float32Array(1) });
  // @ts-expect-error 2345 a URL or a handler
  await saveStateDict(3, {});
}
