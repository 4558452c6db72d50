/** Random programs for a wrapper around SGD, against a model of it in plain float64 numbers. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import * as fc from 'fast-check';
import {
  SWA,
  type ParamGroupOptions,
  type SWAOptions,
  type SWAStateDict,
} from '../../lib/index.js';
import { shareOf } from '../support/backends.js';
import { assertClose, assertFails, random, valuesOf, warningsOf } from '../support/support.js';

type Shape = number[];

interface Schedule {
  swaStart: number;
  swaFreq: number;
  swaLr: number | null;
}

interface GroupPlan {
  shapes: Shape[];
  lr: number | null;
}

/** What a program does, one after another; numbers choose among what there is then. */
type Command =
  | { kind: 'step'; mask: number; seed: number; minimize: boolean }
  | { kind: 'update' }
  | { kind: 'updateGroup'; group: number }
  | { kind: 'swap' }
  | { kind: 'add'; plan: GroupPlan; seed: number }
  | { kind: 'setLr'; group: number; lr: number }
  | { kind: 'reload' }
  | { kind: 'stray'; param: number }
  | { kind: 'wrongShape'; param: number }
  | { kind: 'twice'; param: number };

/** One parameter, in float64. `average` is what the buffer holds, the weights while swapped. */
interface RefParam {
  value: number[];
  average: number[] | null;
}

interface RefGroup {
  params: RefParam[];
  lr: number;
  n_avg: number;
  step_counter: number;
  swapped: boolean;
}

/** torchcontrib's rules, as the contract states them, on plain numbers. */
class Reference {
  readonly groups: RefGroup[] = [];

  constructor(readonly schedule: Schedule | null) {}

  get params(): RefParam[] {
    return this.groups.flatMap(({ params }) => params);
  }

  get swapped(): boolean {
    return this.groups.some(({ swapped }) => swapped);
  }

  add(values: number[][], lr: number): void {
    const params = values.map((value) => ({ value, average: null }));
    this.groups.push({ params, lr, n_avg: 0, step_counter: 0, swapped: false });
  }

  /** `gradients`: one for each parameter across the groups, or none. */
  step(gradients: (number[] | null)[]): void {
    let index = 0;
    for (const group of this.groups) {
      const { schedule } = this;
      if (schedule && schedule.swaLr !== null && group.step_counter >= schedule.swaStart) {
        group.lr = schedule.swaLr;
      }
      for (const param of group.params) {
        const gradient = gradients[index++];
        if (gradient) param.value = param.value.map((x, i) => x - group.lr * gradient[i]!);
      }
      group.step_counter += 1;
      const { step_counter } = group;
      if (!schedule || step_counter <= schedule.swaStart) continue;
      if (step_counter % schedule.swaFreq === 0) this.update(group);
    }
  }

  update(group: RefGroup): void {
    for (const param of group.params) {
      const { value, average } = param;
      param.average = average
        ? average.map((a, i) => a + (value[i]! - a) / (group.n_avg + 1))
        : [...value];
    }
    group.n_avg += 1;
  }

  swap(): void {
    const back = this.swapped;
    for (const group of this.groups) {
      if (back ? !group.swapped : group.n_avg === 0) continue;
      for (const param of group.params) {
        [param.value, param.average] = [param.average!, param.value];
      }
      group.swapped = !group.swapped;
    }
  }
}

const sizeOf = tf.util.sizeFromShape;

function numbers(size: number, next: () => number): number[] {
  return Array.from({ length: size }, () => Math.fround(2 * next() - 1));
}

/** The rate that the wrapped SGD has. */
const BASE_LR = 0.125;

/** A wrapper, its variables and its float64 model, side by side. */
class Bench {
  swa: SWA;
  private params: tf.Variable[][] = [];
  private readonly reference: Reference;
  private warned = new Set<string>();
  private readonly before = tf.memory().numTensors;

  constructor(
    private readonly schedule: Schedule | null,
    private readonly plans: GroupPlan[],
    seed: number,
  ) {
    this.reference = new Reference(schedule);
    const next = random(seed);
    for (const { shapes, lr } of plans) this.make(shapes, lr, next);
    this.swa = this.build();
  }

  dispose(): void {
    this.swa.dispose();
    tf.dispose(this.params.flat());
    assert.equal(tf.memory().numTensors, this.before, 'tensors after dispose');
  }

  /** Does one command to both, and compares. */
  async run(command: Command): Promise<void> {
    let expectedWarnings: string[] = [];
    const warnings = await warningsOf(async () => {
      expectedWarnings = await this.perform(command);
    });
    assert.deepEqual(warnings, expectedWarnings);
    await this.compare();
  }

  async compare(): Promise<void> {
    const { groups } = this.reference;
    const state = await this.swa.stateDict();
    assert.equal(this.swa.swapped, this.reference.swapped, 'swapped');
    assert.deepEqual(
      this.swa.paramGroups.map(({ lr, n_avg, step_counter }) => ({ lr, n_avg, step_counter })),
      groups.map(({ lr, n_avg, step_counter }) => ({ lr, n_avg, step_counter })),
    );
    assert.deepEqual(
      state.param_groups.map(({ swapped }) => swapped),
      groups.map(({ swapped }) => swapped),
    );
    const values = await valuesOf(this.params.flat());
    let index = 0;
    let buffers = 0;
    groups.forEach(({ params }, g) => {
      assert.deepEqual(
        state.param_groups[g]!.params,
        params.map((_, i) => index + i),
      );
      params.forEach(({ value, average }) => {
        // Some 40 steps of up to 0.25 stay below 16, where float32 steps by 1e-6.
        assertClose(values[index]!, value, 2e-5, `parameter ${index}`);
        const buffer = state.swa_state[index]?.swa_buffer;
        assert.equal(buffer !== undefined, average !== null, `average ${index} is there`);
        if (average) {
          assertClose(buffer!.values, average, 2e-5, `average ${index}`);
          buffers += 1;
        }
        index += 1;
      });
    });
    // Each variable, each average, and the learning rate that SGD keeps as a scalar.
    const owned = index + buffers + groups.length;
    assert.equal(tf.memory().numTensors - this.before, owned, 'tensors');
  }

  /** Exactly what everything is, bit for bit. */
  private async snapshot(): Promise<unknown> {
    const { opt_state: _, ...state } = await this.swa.stateDict();
    return structuredClone({
      state,
      values: await valuesOf(this.params.flat()),
    });
  }

  private async refused(f: () => unknown, message: RegExp): Promise<void> {
    const before = await this.snapshot();
    await assertFails(f, message);
    assert.deepEqual(await this.snapshot(), before);
  }

  private make(shapes: Shape[], lr: number | null, next: () => number): tf.Variable[] {
    const values = shapes.map((shape) => numbers(sizeOf(shape), next));
    const made = values.map((value, i) => variableOf(value, shapes[i]!));
    this.params.push(made);
    this.reference.add(values, lr ?? BASE_LR);
    return made;
  }

  private build(): SWA {
    const paramGroups = this.params.map((params, g): ParamGroupOptions => {
      const { lr } = this.plans[g]!;
      return lr === null ? { params } : { params, lr };
    });
    const options: SWAOptions = { ...this.schedule, paramGroups };
    return new SWA(tf.train.sgd(BASE_LR), options);
  }

  /** @returns The warnings that are due. */
  private async perform(command: Command): Promise<string[]> {
    const { swa, reference } = this;
    const all = this.params.flat();
    const { swapped } = swa;
    switch (command.kind) {
      case 'step': {
        const next = random(command.seed);
        const gradients = all.map(({ size }, i) => {
          const gradient = numbers(size, next);
          return (command.mask >> (i % 8)) & 1 ? gradient : null;
        });
        const step = () => this.step(gradients, command.minimize);
        if (swapped) {
          await this.refused(step, /^Cannot step while swapped.*swapSwaSgd\(\) first$/);
          return [];
        }
        const { swaLr, swaStart } = this.schedule ?? { swaLr: null, swaStart: 0 };
        const overwrites = reference.groups.some(
          ({ lr, step_counter }) => swaLr !== null && step_counter > swaStart && lr !== swaLr,
        );
        step();
        reference.step(gradients);
        const message = `swaLr ${swaLr} overwrites a learning rate that was set after swaStart`;
        if (!overwrites || this.warned.has(message)) return [];
        this.warned.add(message);
        return [message];
      }
      case 'update':
        if (swapped) await this.refused(() => swa.updateSwa(), /^Cannot update.*while swapped/);
        else {
          swa.updateSwa();
          for (const group of reference.groups) reference.update(group);
        }
        return [];
      case 'updateGroup': {
        const g = command.group % reference.groups.length;
        const update = () => swa.updateSwaGroup(swa.paramGroups[g]!);
        if (swapped) await this.refused(update, /^Cannot update.*while swapped/);
        else {
          update();
          reference.update(reference.groups[g]!);
        }
        return [];
      }
      case 'swap': {
        const skipped = swapped ? [] : reference.groups.map(({ n_avg }) => n_avg === 0);
        const messages = this.params
          .flatMap((params, g) => (skipped[g] ? params : []))
          .map(({ name }) => `SWA wasn't applied to param ${name}; skipping it`);
        const due = messages.filter((message) => !this.warned.has(message));
        for (const message of due) this.warned.add(message);
        swa.swapSwaSgd();
        reference.swap();
        return due;
      }
      case 'add': {
        const { shapes, lr } = command.plan;
        if (swapped) {
          const params = this.params[0]!;
          await this.refused(() => swa.addParamGroup({ params }), /^Cannot add.*while swapped/);
          return [];
        }
        const params = this.make(shapes, lr, random(command.seed));
        this.plans.push(command.plan);
        const group = swa.addParamGroup(lr === null ? { params } : { params, lr });
        assert.strictEqual(group, swa.paramGroups.at(-1));
        return [];
      }
      case 'setLr': {
        const g = command.group % reference.groups.length;
        swa.paramGroups[g]!.lr = command.lr;
        reference.groups[g]!.lr = command.lr;
        return [];
      }
      case 'reload':
        await this.reload();
        return [];
      case 'stray': {
        const stray = variableOf([1], []);
        const gradient = tf.scalar(1);
        const known = all[command.param % all.length]!;
        const gradients = { [known.name]: tf.onesLike(known), [stray.name]: gradient };
        const message = swapped ? /while swapped/ : /is in no parameter group.*addParamGroup\(\)/;
        await this.refused(() => swa.applyGradients(gradients), message);
        tf.dispose([stray, gradients]);
        return [];
      }
      case 'wrongShape': {
        const known = all[command.param % all.length]!;
        const gradients = { [known.name]: tf.ones([7]) };
        const message = swapped ? /while swapped/ : /has shape \[7\], not \[/;
        await this.refused(() => swa.applyGradients(gradients), message);
        tf.dispose(gradients);
        return [];
      }
      case 'twice': {
        const known = all[command.param % all.length]!;
        const message = swapped ? /while swapped/ : /is in parameter group \d already/;
        await this.refused(() => swa.addParamGroup({ params: known }), message);
        return [];
      }
    }
  }

  /** One step, with these gradients or with a loss that has them. */
  private step(gradients: (number[] | null)[], minimize: boolean): void {
    const all = this.params.flat();
    const given = all.flatMap((variable, i) => {
      const gradient = gradients[i];
      return gradient ? [{ variable, tensor: tf.tensor(gradient, variable.shape) }] : [];
    });
    try {
      if (minimize && given.length > 0) {
        // sum(g1 x1) + sum(g2 x2) + ..., whose gradients are the g
        const terms = () => given.map(({ variable, tensor }) => tf.sum(tf.mul(variable, tensor)));
        const loss = () => terms().reduce((a, b) => tf.add(a, b)) as tf.Scalar;
        const varList = given.map(({ variable }) => variable);
        assert.isNull(this.swa.minimize(loss, false, varList));
      } else {
        this.swa.applyGradients(
          given.map(({ variable, tensor }) => ({ name: variable.name, tensor })),
        );
      }
    } finally {
      tf.dispose(given.map(({ tensor }) => tensor));
    }
  }

  /** Goes on with a fresh wrapper and fresh variables, as after a restart. */
  private async reload(): Promise<void> {
    const state: SWAStateDict = structuredClone(await this.swa.stateDict());
    const old = this.swa;
    const fresh = await copiesOf(this.params);
    old.dispose();
    tf.dispose(this.params.flat());
    this.params = fresh;
    this.warned = new Set();
    this.swa = this.build();
    await this.swa.loadStateDict(state);
    assert.deepEqual(await this.snapshot(), {
      state: {
        swa_state: state.swa_state,
        param_groups: state.param_groups.map((group, g) => ({
          ...group,
          param_names: fresh[g]!.map(({ name }) => name),
        })),
      },
      values: await valuesOf(fresh.flat()),
    });
  }
}

function variableOf(values: number[], shape: Shape): tf.Variable {
  return tf.tidy(() => tf.variable(tf.tensor(values, shape)));
}

/** New variables that hold what these do, list by list. */
async function copiesOf(lists: readonly tf.Variable[][]): Promise<tf.Variable[][]> {
  const values = await valuesOf(lists.flat());
  return lists.map((list) => list.map(({ shape }) => variableOf(values.shift()!, shape)));
}

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const rates = fc.constantFrom(0, 0.01, 0.05, 0.1, 0.25);
const shapes = fc.constantFrom<Shape>([], [1], [2], [3], [2, 2], [1, 3]);
const plans: fc.Arbitrary<GroupPlan> = fc.record({
  shapes: fc.array(shapes, { minLength: 1, maxLength: 3 }),
  lr: fc.option(rates),
});
const schedules: fc.Arbitrary<Schedule | null> = fc.option(
  fc.record({
    swaStart: fc.integer({ min: 0, max: 8 }),
    swaFreq: fc.integer({ min: 1, max: 5 }),
    swaLr: fc.option(rates),
  }),
  { freq: 4 },
);
const steps: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('step' as const),
  mask: fc.integer({ min: 0, max: 255 }),
  seed: seeds,
  minimize: fc.boolean(),
});
const choices = fc.nat({ max: 11 });
const commands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: steps },
  { weight: 1, arbitrary: fc.constant<Command>({ kind: 'update' }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('updateGroup' as const), group: choices }),
  },
  { weight: 3, arbitrary: fc.constant<Command>({ kind: 'swap' }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('add' as const), plan: plans, seed: seeds }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('setLr' as const), group: choices, lr: rates }),
  },
  { weight: 1, arbitrary: fc.constant<Command>({ kind: 'reload' }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('stray' as const, 'wrongShape' as const, 'twice' as const),
      param: choices,
    }),
  },
);

describe('any program of steps, updates, swaps, added groups and reloads', () => {
  it('gives the counters, rates, parameters, averages and tensors of the float64 model', async () => {
    await fc.assert(
      fc.asyncProperty(
        schedules,
        fc.array(plans, { minLength: 1, maxLength: 4 }),
        seeds,
        fc.array(commands, { minLength: 5, maxLength: 40, size: 'max' }),
        async (schedule, groups, seed, program) => {
          const bench = new Bench(schedule, [...groups], seed);
          await bench.compare();
          for (const command of program) await bench.run(command);
          bench.dispose();
        },
      ),
      { seed: 1803, numRuns: shareOf(150) },
    );
  });

  const optimizers: Record<string, () => tf.Optimizer> = {
    sgd: () => tf.train.sgd(0.1),
    momentum: () => tf.train.momentum(0.1, 0.9),
    adagrad: () => tf.train.adagrad(0.1),
    adadelta: () => tf.train.adadelta(0.5),
    adam: () => tf.train.adam(0.1),
    adamax: () => tf.train.adamax(0.1),
    rmsprop: () => tf.train.rmsprop(0.05, 0.9, 0.3),
  };

  it('is the same bit for bit with a restart at any moment, on any optimizer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(optimizers)),
        schedules,
        fc.array(plans, { minLength: 1, maxLength: 3 }),
        fc.array(steps, { minLength: 2, maxLength: 12 }),
        fc.array(fc.constantFrom('none', 'reload', 'swapped reload'), {
          minLength: 12,
          maxLength: 12,
        }),
        async (name, schedule, groups, program, restarts) => {
          const straight = await finish(optimizers[name]!, schedule, groups, program, []);
          const resumed = await finish(optimizers[name]!, schedule, groups, program, restarts);
          assert.deepEqual(resumed, straight);
        },
      ),
      { seed: 5407, numRuns: shareOf(100) },
    );
  });
});

/** Runs steps, with restarts after some of them, and tells where it ends. */
async function finish(
  optimizer: () => tf.Optimizer,
  schedule: Schedule | null,
  groups: GroupPlan[],
  program: Command[],
  restarts: string[],
): Promise<unknown> {
  const next = random(99);
  let params = groups.map(({ shapes }) =>
    shapes.map((shape) => variableOf(numbers(sizeOf(shape), next), shape)),
  );
  const build = () => {
    const paramGroups = params.map((list, g): ParamGroupOptions => {
      const { lr } = groups[g]!;
      return lr === null ? { params: list } : { params: list, lr };
    });
    return new SWA(optimizer(), { ...schedule, paramGroups });
  };
  let swa = build();
  for (const [i, command] of program.entries()) {
    if (command.kind !== 'step') continue;
    const gradients = random(command.seed);
    const given = params.flat().flatMap(({ name, shape, size }, p) => {
      const values = numbers(size, gradients);
      return (command.mask >> (p % 8)) & 1 ? [{ name, tensor: tf.tensor(values, shape) }] : [];
    });
    swa.applyGradients(given);
    tf.dispose(given.map(({ tensor }) => tensor));
    if (!schedule && i % 3 === 0) swa.updateSwa();

    if ((restarts[i] ?? 'none') === 'none') continue;
    const swaps = restarts[i] === 'swapped reload' && swa.paramGroups.every(({ n_avg }) => n_avg);
    if (swaps) swa.swapSwaSgd();
    const state = structuredClone(await swa.stateDict());
    const fresh = await copiesOf(params);
    swa.dispose();
    tf.dispose(params.flat());
    params = fresh;
    swa = build();
    await swa.loadStateDict(state);
    assert.equal(swa.swapped, Boolean(swaps));
    if (swaps) swa.swapSwaSgd();
  }
  const { swa_state, opt_state, param_groups } = structuredClone(await swa.stateDict());
  const end = {
    values: await valuesOf(params.flat()),
    swa_state,
    opt_state,
    groups: param_groups.map(({ param_names: _, ...group }) => group),
  };
  swa.dispose();
  tf.dispose(params.flat());
  return end;
}
