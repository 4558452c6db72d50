/**
 * A loaded state that waits for its variables: they are named group by group, told by the first step,
 * or found by their names. It knows nothing of how a state is put into groups.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isNumber, NAME_KEYS, stem } from '../../state/match_names.js';
import type { SWAStateDict } from '../../state/state_dict.js';
import { hyperparameterText } from '../base/make.js';
import type { LoadOptions } from './load_state.js';

/** What to do where it cannot be known which variables a state means. */
export const NEEDS_GROUPS =
  'Name the parameter groups of the state first, with paramGroups or addParamGroup()';

/** The variables of a state. */
export interface Taken {
  /** Those of each of its groups, in order. */
  readonly groups: tf.Variable[][];
  /** What was told and is in none of them. */
  readonly strays: tf.Variable[];
}

/** A loaded state before its variables are known. */
export class WaitingState {
  /**
   * @param state The wrapper's own: the rates of its groups are read and written there, NaN where an
   *   optimizer shows none.
   * @param options As given when it was loaded.
   */
  constructor(
    readonly state: SWAStateDict,
    readonly options: LoadOptions,
  ) {}

  /** How many groups it has, at least one. */
  get groupCount(): number {
    return this.state.param_groups.length;
  }

  /** Whether its variables hold the averages. */
  get swapped(): boolean {
    return this.state.param_groups.some(({ swapped }) => swapped);
  }

  /** The steps that its first group's optimizer had taken, where that is told. */
  get iterations(): number | undefined {
    return this.state.opt_state[0]?.find(({ name }) => name === 'iterations')?.values[0];
  }

  /** In what a group's optimizer was made otherwise than by this configuration. */
  hyperparametersOf(group: number, config: Record<string, unknown>): Record<string, unknown> {
    const saved = this.state.param_groups[group]!;
    const other = Object.keys(config).filter(
      (key) => key in saved && hyperparameterText(saved[key]) !== hyperparameterText(config[key]),
    );
    return Object.fromEntries(other.map((key) => [key, saved[key]]));
  }

  /**
   * The variables of the state, when a step tells some: by their names if all of the state's are
   * among those told; by position if they are as many and of one group; else by the names that are
   * among them, the others being looked up among all variables.
   *
   * @param told Each once.
   * @throws Error that asks for the groups where that leaves it open.
   */
  take(told: readonly tf.Variable[]): Taken {
    const found =
      this.byName(told, false) ??
      (told.length === this.names.length ? null : this.byName(told, true));
    if (found) return found;
    // By position, or the comparison with the state then says what is missing and unexpected.
    if (this.groupCount === 1) return { groups: [[...told]], strays: [] };
    throw new Error(NEEDS_GROUPS);
  }

  /**
   * The variables of the state where no step has told any: of all variables a single one fits each
   * name. `null` where a second one, of the model that was saved say, leaves it open.
   */
  find(): tf.Variable[][] | null {
    const all = Object.values(tf.engine().registeredVariables);
    return this.byName(all, false, [stem])?.groups ?? null;
  }

  private get names(): string[] {
    return this.state.param_groups.flatMap(({ param_names }) => param_names);
  }

  /** Whether what is left of the names by a key tells them apart, and more than tfjs's numbers do. */
  private tells(keyOf: (name: string) => string): boolean {
    const keys = this.names.map(keyOf);
    return new Set(keys).size === keys.length && !this.names.some(isNumber);
  }

  /** @param lookUp Whether those that were not told are looked up among all variables. */
  private byName(told: readonly tf.Variable[], lookUp: boolean, keys = NAME_KEYS): Taken | null {
    for (const keyOf of keys) {
      if (!this.tells(keyOf)) continue;
      const ours = this.names.map((name) => told.filter((v) => keyOf(v.name) === keyOf(name)));
      if (ours.some(({ length }) => length > 1)) continue;
      const known = ours.flat();
      if (known.length === 0 || (!lookUp && known.length < ours.length)) continue;
      // What tfjs-layers put after the names that were told it put after the others too.
      const endings = new Set(known.map(({ name }) => name.slice(stem(name).length)));
      const all = ours.map(
        ([variable], i) => variable ?? lookedUp(this.names[i]!, keyOf === stem ? endings : null),
      );
      if (!all.every((variable) => variable !== undefined)) continue;
      return { groups: this.grouped(all), strays: told.filter((v) => !all.includes(v)) };
    }
    return null;
  }

  /** The variables of all names, group by group. */
  private grouped(variables: readonly tf.Variable[]): tf.Variable[][] {
    return this.state.param_groups.map(({ params }) => params.map((index) => variables[index]!));
  }
}

/**
 * The one variable of a saved name.
 *
 * @param endings The numbers that tfjs-layers put after the names that are known, where those are not
 *   as they were saved; `null` where they are.
 */
function lookedUp(name: string, endings: ReadonlySet<string> | null): tf.Variable | undefined {
  const { registeredVariables } = tf.engine();
  if (endings === null) return registeredVariables[name];
  const [ending, ...others] = endings;
  const same = others.length === 0 ? registeredVariables[stem(name) + ending!] : undefined;
  const fitting = Object.values(registeredVariables).filter((v) => stem(v.name) === stem(name));
  return same ?? (fitting.length === 1 ? fitting[0] : undefined);
}
