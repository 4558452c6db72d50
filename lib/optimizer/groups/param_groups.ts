/**
 * Parameter groups: which variables belong together, the base optimizer that steps them, their
 * counters and what is kept beside them. It knows nothing of modes, schedules or checkpoints.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkKeys, checkNumber, invalid, shown } from '../../check.js';
import {
  checkLearningRate,
  getLearningRate,
  setLearningRate,
} from '../../schedule/learning_rate.js';
import { checkAlive, isVariable } from '../../state/tensor_data.js';
import { alignSlots, dropSlots } from '../base/fields.js';
import { disposeOptimizer, isOptimizer, makeOptimizer } from '../base/make.js';

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
  /** Whether the group is averaged; default true. If not it is stepped, and a swap leaves it. */
  average?: boolean;
  [hyperparameter: string]: unknown;
}

/** A {@link ParamGroup} with what the wrapper keeps for it. */
export class Group implements ParamGroup {
  n_avg = 0;
  step_counter = 0;
  /** Whether the variables hold the averages and a buffer the weights. */
  swapped = false;
  /** What is kept beside the parameters, by name: a tensor for each, in their order. */
  buffers: Record<string, tf.Variable[]> = {};
  /** Numbers that a kind of wrapper keeps beside those of every wrapper. */
  counters: Record<string, number> = {};

  constructor(
    readonly params: tf.Variable[],
    readonly optimizer: tf.Optimizer,
    /** Whether it is averaged at all. */
    readonly averaged = true,
  ) {}

  get lr(): number {
    return getLearningRate(this.optimizer);
  }

  set lr(learningRate: number) {
    setLearningRate(this.optimizer, learningRate);
  }

  /** Forgets a parameter that is no more, and frees what was kept for it. */
  drop(param: tf.Variable): void {
    const position = this.params.indexOf(param);
    this.params.splice(position, 1);
    for (const list of Object.values(this.buffers)) tf.dispose(list.splice(position, 1));
    dropSlots(this.optimizer, position);
  }

  /** Frees what is kept and the base optimizer; the parameters stay the caller's. */
  dispose(): void {
    tf.dispose(this.buffers);
    disposeOptimizer(this.optimizer);
  }
}

/** The wrapped optimizer, and how to make one like it. */
export interface OptimizerTemplate {
  readonly optimizer: tf.Optimizer;
  /** Its configuration when it was wrapped. */
  readonly config: tf.serialization.ConfigDict;
  /** Whether every group's optimizer has to take a rate, since the wrapper sets one: `swaLr`. */
  readonly setsRate: string | null;
}

/** A group whose options were found to be sound, before anything is made or changed for it. */
export interface GroupPlan {
  readonly params: tf.Variable[];
  /** The base optimizer as given; `undefined`: one is made from the template. */
  readonly optimizer: tf.Optimizer | undefined;
  /** Makes the group, and changes nothing that was there before. */
  make(): Group;
  /** Puts to work what {@link make} made: its optimizer, if it was used before, is changed now. */
  start(group: Group): void;
}

/**
 * Checks one group's options. Its base optimizer is the wrapped one for the first group, else the
 * `optimizer` that it brings, else one made from the template. A variable that is listed twice is one
 * parameter.
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
  const label = `parameter group ${index}`;
  if (options === null || typeof options !== 'object') {
    return invalid(`paramGroups[${index}]`, options, 'an object {params, ...}');
  }
  const first = index === 0;
  const {
    lr,
    optimizer = first ? template.optimizer : undefined,
    average = true,
    params: _,
    ...hyperparameters
  } = options;
  const params = checkParams(options.params, index, others);
  const shared = others.some((group) => group.optimizer === optimizer);
  const fits = isOptimizer(optimizer) && (first ? optimizer === template.optimizer : !shared);
  if (optimizer !== undefined && !fits) {
    const expected = first ? 'the wrapped optimizer' : 'a tf.train optimizer of its own';
    invalid(`optimizer of ${label}`, optimizer, expected);
  }
  if (typeof average !== 'boolean') invalid(`average of ${label}`, average, 'a boolean');
  const base = optimizer ?? template.optimizer;
  if (lr !== undefined) {
    checkNumber('lr', lr, 0);
    checkLearningRate(base, 'lr');
  }
  if (template.setsRate !== null) checkLearningRate(base, template.setsRate);
  checkHyperparameters(hyperparameters, optimizer?.getConfig() ?? template.config, !!optimizer);
  return {
    params,
    optimizer,
    make() {
      const config = { ...template.config, ...hyperparameters } as tf.serialization.ConfigDict;
      const own = optimizer ?? makeOptimizer(template.optimizer, config, label);
      return new Group(params, own, average);
    },
    start(group) {
      if (optimizer) alignSlots(optimizer, params);
      if (lr !== undefined) group.lr = lr;
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
  variables.forEach((variable, i) => {
    if (!isVariable(variable)) {
      return invalid(`params[${i}] of parameter group ${index}`, variable, 'a tf.Variable');
    }
    const { name, dtype } = variable;
    checkAlive(variable);
    if (dtype !== 'float32') invalid(`dtype of variable ${name}`, dtype, 'float32');
    const other = others.findIndex((group) => group.params.includes(variable));
    if (other >= 0) throw new Error(`Variable ${name} is in parameter group ${other} already`);
  });
  return [...new Set(variables as tf.Variable[])];
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
