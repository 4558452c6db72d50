/**
 * Makes an optimizer like another, and frees one. It knows nothing of parameter groups.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ownFields, tfjsAncestor } from './fields.js';

type OptimizerClass = tf.serialization.SerializableConstructor<tf.Optimizer> & {
  fromConfig: tf.serialization.FromConfigMethod<tf.Optimizer>;
};

/** `instanceof tf.Optimizer` asks for methods, and fails on null (tfjs-core 4.22, optimizer.ts). */
export function isOptimizer(value: unknown): value is tf.Optimizer {
  return value != null && value instanceof tf.Optimizer;
}

/**
 * Makes an optimizer of the same class.
 *
 * @param like The optimizer whose class it is.
 * @param config What it is made from; found again in its `getConfig()`.
 * @param label What is made, for messages.
 * @throws Error if the class makes another.
 */
export function makeOptimizer(
  like: tf.Optimizer,
  config: tf.serialization.ConfigDict,
  label: string,
): tf.Optimizer {
  const cls = like.constructor as OptimizerClass;
  const made = kept(cls.fromConfig(cls, { ...config }));
  const problem = differs(made, cls, config);
  if (problem === null) return made;
  disposeOptimizer(made);
  const other = makeByParent(like, config);
  if (other && differs(other, cls, config) === null) return other;
  if (other) disposeOptimizer(other);
  throw new Error(
    `Cannot make the optimizer of ${label}: ${cls.name}.fromConfig() gives ${problem}. Give the class ` +
      'a fromConfig() of its own, or the group an optimizer',
  );
}

/** In what an optimizer is not what was asked for; `null`: in nothing. */
function differs(
  made: tf.Optimizer,
  cls: OptimizerClass,
  config: tf.serialization.ConfigDict,
): string | null {
  if (made.constructor !== cls) return `an optimizer of the class ${made.constructor.name}`;
  const got = made.getConfig();
  const wrong = Object.keys(config).find((key) => textOf(got[key]) !== textOf(config[key]));
  if (wrong === undefined) return null;
  return `${wrong} ${textOf(got[wrong])}, not ${textOf(config[wrong])}`;
}

/**
 * A subclass of a tfjs optimizer whose constructor takes other arguments inherits a `fromConfig` that
 * hands it its parent's (tfjs-core 4.22, adam_optimizer.ts, `fromConfig`). Where its options are plain
 * fields that `getConfig()` tells, and it has no other, the parent can be made and become one of it.
 */
function makeByParent(
  like: tf.Optimizer,
  config: tf.serialization.ConfigDict,
): tf.Optimizer | null {
  const parent = tfjsAncestor(like) as OptimizerClass | null;
  const { fromConfig } = like.constructor as OptimizerClass;
  const own = Object.entries(like).some(
    ([key, value]) => !(key in config) && typeof value === 'function',
  );
  if (parent?.fromConfig !== fromConfig || own || Object.keys(ownFields(like)).length > 0)
    return null;
  const made = kept(parent.fromConfig(parent, { ...config }));
  Object.setPrototypeOf(made, Object.getPrototypeOf(like) as object);
  for (const [key, value] of Object.entries(config)) {
    if (!Object.hasOwn(made, key)) Object.assign(made, { [key]: value });
  }
  return made;
}

/**
 * The caller may stand in a tidy (LayersModel.fit does), which would free the scalar that
 * MomentumOptimizer makes without keeping it (tfjs-core 4.22, momentum_optimizer.ts, `this.m`).
 */
function kept(made: tf.Optimizer): tf.Optimizer {
  for (const value of Object.values(made)) if (value instanceof tf.Tensor) tf.keep(value);
  return made;
}

const textOf = (value: unknown): string => JSON.stringify(value) ?? 'nothing';

/** A hyper-parameter to compare by. An optimizer in it is to be the same whatever its live rate is. */
export const hyperparameterText = (value: unknown): string =>
  JSON.stringify(value, (key, part: unknown) => (key === 'learningRate' ? undefined : part));

/**
 * The class name and configuration from which `tf.serialization` makes an optimizer again.
 *
 * @throws Error if the name is another class's: a subclass without a name of its own has its parent's.
 */
export function serialized(optimizer: tf.Optimizer): {
  className: string;
  config: tf.serialization.ConfigDict;
} {
  const className = optimizer.getClassName();
  const [known] = tf.serialization.SerializationMap.getMap().classNameMap[className] ?? [];
  const cls = optimizer.constructor as unknown;
  if (known !== undefined && known !== cls) {
    throw new Error(
      `Cannot save the optimizer ${(cls as { name: string }).name} as ${className}, which is ` +
        'another: give it a static className, and tf.serialization.registerClass() it',
    );
  }
  return { className, config: optimizer.getConfig() };
}

/** An optimizer from what {@link serialized} told. */
export function deserialized({ className, config }: ReturnType<typeof serialized>): tf.Optimizer {
  const known = tf.serialization.SerializationMap.getMap().classNameMap[className];
  if (known === undefined) {
    throw new Error(`The optimizer ${className} is not registered with tf.serialization`);
  }
  const [cls, fromConfig] = known;
  return fromConfig(cls, config) as tf.Optimizer;
}

/** Disposes an optimizer, and what MomentumOptimizer's own `dispose` forgets. */
export function disposeOptimizer(optimizer: tf.Optimizer): void {
  optimizer.dispose();
  // Inherited from SGD, whose dispose it overrides (tfjs-core 4.22, momentum_optimizer.ts).
  const { c } = optimizer as { c?: unknown };
  if (c instanceof tf.Tensor) c.dispose();
}
