/**
 * Parameter groups: which variables belong together, the base optimizer that steps them, their
 * counters and their averages. It knows nothing of modes, schedules or checkpoints.
 */
import * as tf from '@tensorflow/tfjs-core';
import { startAverage, updateAverages, type AvgFn } from '../average/average.js';
import { getLearningRate, checkLearningRate, setLearningRate } from '../schedule/learning_rate.js';
import { checkKeys, checkNumber, invalid, shown } from '../check.js';
import { alignSlots } from './base_optimizer.js';
import { exchange } from '../average/exchange.js';
import { checkAlive, isVariable } from '../state/tensor_data.js';

/** A set of variables with a learning rate, hyper-parameters, slots and counters of its own. */
export interface ParamGroup {
  /** The variables, in the order in which the base optimizer is handed them. */
  readonly params: readonly tf.Variable[];
  /** The live learning rate of this group's base optimizer. */
  lr: number;
  /** The base optimizer that steps this group. */
  readonly optimizer: tf.Optimizer;
  /** How many values the group's running averages hold. */
  readonly n_avg: number;
  /** How many steps the group has taken. */
  readonly step_counter: number;
}

/**
 * What `paramGroups` and `addParamGroup` take. Beside the named keys a group may set any
 * hyper-parameter that the wrapped optimizer has in its `getConfig()`, `momentum` say.
 */
export interface ParamGroupOptions {
  /** A float32 variable or a list of them, none of which is in another group. */
  params: tf.Variable | tf.Variable[];
  /** Learning rate, >= 0; default: the wrapped optimizer's rate when it was wrapped. */
  lr?: number;
  /** A base optimizer for this group alone; default: one made like the wrapped optimizer. */
  optimizer?: tf.Optimizer;
  [hyperparameter: string]: unknown;
}

/** A {@link ParamGroup} with what the wrapper keeps for it. */
export class Group implements ParamGroup {
  n_avg = 0;
  step_counter = 0;
  /** Whether the variables hold the averages and the buffers the weights. */
  swapped = false;
  /** The running average of each parameter, in their order; empty before the first update. */
  buffers: tf.Variable[] = [];

  constructor(
    readonly params: readonly tf.Variable[],
    readonly optimizer: tf.Optimizer,
  ) {}

  get lr(): number {
    return getLearningRate(this.optimizer);
  }

  set lr(learningRate: number) {
    setLearningRate(this.optimizer, learningRate);
  }

  /** Takes the parameters into their averages; the first update copies them. */
  average(avgFn: AvgFn): void {
    if (this.n_avg === 0) this.buffers = this.params.map(startAverage);
    else updateAverages(this.buffers, this.params, this.n_avg, avgFn);
    this.n_avg += 1;
  }

  /** Exchanges the parameters and their averages; only for a group that has averages. */
  swap(): void {
    this.params.forEach((param, i) => exchange(param, this.buffers[i]!));
    this.swapped = !this.swapped;
  }

  /** Frees the averages and the base optimizer; the parameters stay the caller's. */
  dispose(): void {
    tf.dispose(this.buffers);
    disposeOptimizer(this.optimizer);
  }
}

type OptimizerClass = tf.serialization.SerializableConstructor<tf.Optimizer> & {
  fromConfig: tf.serialization.FromConfigMethod<tf.Optimizer>;
};

/** `instanceof tf.Optimizer` asks for methods, and fails on null (tfjs-core 4.22, optimizer.ts). */
export function isOptimizer(value: unknown): value is tf.Optimizer {
  return value != null && value instanceof tf.Optimizer;
}

/** How to make an optimizer like the wrapped one: its class and its configuration when wrapped. */
export interface OptimizerTemplate {
  readonly optimizer: tf.Optimizer;
  readonly config: tf.serialization.ConfigDict;
  /** The wrapper's `swaLr`, which every group's optimizer has to take, or `null`. */
  readonly swaLr: number | null;
}

/** A group whose options were found to be sound, before anything is made or changed for it. */
export interface GroupPlan {
  readonly params: readonly tf.Variable[];
  /** The base optimizer as given; `undefined`: one is made from the template. */
  readonly optimizer: tf.Optimizer | undefined;
  make(): Group;
}

/**
 * Checks one group's options. Its base optimizer is the wrapped one for the first group, else the
 * `optimizer` that it brings, else one made from the template.
 *
 * @param options As the caller wrote them.
 * @param template The wrapped optimizer.
 * @param others The groups before it.
 * @throws Error that names the variable or the hyper-parameter at fault.
 */
export function planGroup(
  options: ParamGroupOptions,
  template: OptimizerTemplate,
  others: readonly Pick<GroupPlan, 'params' | 'optimizer'>[],
): GroupPlan {
  const index = others.length;
  if (options === null || typeof options !== 'object') {
    return invalid(`paramGroups[${index}]`, options, 'an object {params, ...}');
  }
  const first = index === 0;
  const {
    lr,
    optimizer = first ? template.optimizer : undefined,
    params: _,
    ...hyperparameters
  } = options;
  const params = checkParams(options.params, index, others);
  const shared = others.some((group) => group.optimizer === optimizer);
  const fits = isOptimizer(optimizer) && (first ? optimizer === template.optimizer : !shared);
  if (optimizer !== undefined && !fits) {
    const expected = first ? 'the wrapped optimizer' : 'a tf.train optimizer of its own';
    invalid(`optimizer of parameter group ${index}`, optimizer, expected);
  }
  const base = optimizer ?? template.optimizer;
  if (lr !== undefined) {
    checkNumber('lr', lr, 0);
    checkLearningRate(base, 'lr');
  }
  if (template.swaLr !== null) checkLearningRate(base, 'swaLr');
  checkHyperparameters(hyperparameters, optimizer?.getConfig() ?? template.config, !!optimizer);
  return {
    params,
    optimizer,
    make() {
      if (optimizer) alignSlots(optimizer, params);
      const group = new Group(params, optimizer ?? makeOptimizer(template, hyperparameters));
      if (lr !== undefined) group.lr = lr;
      return group;
    },
  };
}

function checkParams(
  params: unknown,
  index: number,
  others: readonly Pick<GroupPlan, 'params'>[],
): tf.Variable[] {
  const variables = Array.isArray(params) ? (params as unknown[]) : [params];
  if (variables.length === 0) throw new Error(`Parameter group ${index} is empty`);
  const taken: (readonly unknown[])[] = others.map((group) => group.params);
  return variables.map((variable, i) => {
    if (!isVariable(variable)) {
      return invalid(`params[${i}] of parameter group ${index}`, variable, 'a tf.Variable');
    }
    const { name, dtype } = variable;
    checkAlive(variable);
    if (dtype !== 'float32') invalid(`dtype of variable ${name}`, dtype, 'float32');
    const other = [...taken, variables.slice(0, i)].findIndex((list) => list.includes(variable));
    if (other >= 0) throw new Error(`Variable ${name} is in parameter group ${other} already`);
    return variable;
  });
}

/** @param fixed The optimizer is there already, so that nothing else can be asked of it. */
function checkHyperparameters(
  given: Record<string, unknown>,
  { learningRate: _, ...config }: tf.serialization.ConfigDict,
  fixed: boolean,
): void {
  checkKeys(given, ['lr', ...Object.keys(config)], 'hyper-parameter');
  for (const [key, value] of Object.entries(given)) {
    const current = config[key];
    if (fixed && value !== current) invalid(key, value, `${shown(current)}, as in the optimizer`);
    const type = current == null ? typeof value : typeof current;
    if (typeof value !== type) invalid(key, value, `a ${type}`);
    if (type === 'number') checkNumber(key, value, -Infinity, 'a finite number');
  }
}

function makeOptimizer(
  { optimizer, config }: OptimizerTemplate,
  hyperparameters: Record<string, unknown>,
): tf.Optimizer {
  const cls = optimizer.constructor as OptimizerClass;
  const made = cls.fromConfig(cls, { ...config, ...hyperparameters } as typeof config);
  // The caller may stand in a tidy (LayersModel.fit does), which would free the scalar that
  // MomentumOptimizer makes without keeping it (tfjs-core 4.22, momentum_optimizer.ts, `this.m`).
  for (const value of Object.values(made)) if (value instanceof tf.Tensor) tf.keep(value);
  return made;
}

/** Disposes a base optimizer, and what MomentumOptimizer's own `dispose` forgets. */
export function disposeOptimizer(optimizer: tf.Optimizer): void {
  optimizer.dispose();
  // Inherited from SGD, whose dispose it overrides (tfjs-core 4.22, momentum_optimizer.ts).
  const { c } = optimizer as { c?: unknown };
  if (c instanceof tf.Tensor) c.dispose();
}
