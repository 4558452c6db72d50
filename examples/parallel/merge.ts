/**
 * Merges what workers made: in the order of their ids, each once, those left out by name that do not
 * fit. It knows nothing of where the states come from.
 */
import { averageOf, WeightAccumulator, type TensorData } from 'tfjs-swa';
import { VERSION, type WorkerState } from './run.js';

/** A tensor's dtype and shape. */
type Described = Pick<TensorData, 'shape'> & { readonly dtype: string };

/** What the weights of a model are. */
export interface Structure {
  /** All of them, by layer. */
  model: readonly Described[];
  /** Those that are trained and averaged. */
  average: readonly Described[];
}

/** A worker that was left out. */
export interface LeftOut {
  id: string;
  reason: string;
}

/** What merging gives. */
export interface Merged {
  /** The average of the workers' averages, weighted by their examples; `null`: of none. */
  average: TensorData[] | null;
  /** That of their last weights and statistics. */
  last: TensorData[] | null;
  /** Whose are in it, in order. */
  members: string[];
  leftOut: LeftOut[];
}

/**
 * Takes workers' states as they come and adds them up in the order of the ids, so that the sums are
 * the same bit for bit whoever ends first. In memory there are the sums and one state: of those that
 * come before their turn only what loads them is kept.
 */
export class OrderedMerge {
  private readonly waiting = new Map<string, () => WorkerState | Promise<WorkerState>>();
  private readonly average = new WeightAccumulator();
  private readonly last = new WeightAccumulator();
  private readonly members: string[] = [];
  private readonly leftOut: LeftOut[] = [];
  private turn = 0;
  private working: Promise<void> = Promise.resolve();

  /**
   * @param ids The workers in order.
   * @param epochs How many each was to train.
   * @param like What the weights have to be.
   */
  constructor(
    private readonly ids: readonly string[],
    private readonly epochs: number,
    private readonly like: Structure,
  ) {}

  /**
   * A worker is done, and this loads its state, or throws why it has none; a second time is not
   * counted.
   */
  put(id: string, load: () => WorkerState | Promise<WorkerState>): Promise<void> {
    if (!this.ids.includes(id))
      throw new Error(`Invalid id: ${id} (expected one of ${this.ids.join(', ')})`);
    this.waiting.set(id, load); // after its turn nobody asks for it
    this.working = this.working.then(() => this.takeInTurn());
    return this.working;
  }

  /** The result, once all have come. */
  async result(): Promise<Merged> {
    await this.working;
    const { average, last, members, ids, turn } = this;
    if (turn < ids.length) throw new Error(`Not all are there: ${ids.slice(turn).join(', ')}`);
    const weights = (sums: WeightAccumulator) => (sums.count > 0 ? sums.result().weights : null);
    return { average: weights(average), last: weights(last), members, leftOut: this.leftOut };
  }

  private async takeInTurn(): Promise<void> {
    for (;;) {
      const id = this.ids[this.turn];
      const load = id === undefined ? undefined : this.waiting.get(id);
      if (!id || !load) return;
      this.waiting.delete(id);
      this.turn += 1;
      try {
        this.add(await load(), id);
        this.members.push(id);
      } catch (error) {
        this.leftOut.push({ id, reason: (error as Error).message });
      }
    }
  }

  private add(state: WorkerState, id: string): void {
    const average = check(state, id, this.epochs, this.like);
    this.average.add(average, state.examples);
    this.last.add(state.model, state.examples);
  }
}

/**
 * Returns the average in a state.
 *
 * @throws Error that says why it is not what a worker of this run makes.
 */
function check(state: WorkerState, id: string, epochs: number, like: Structure): TensorData[] {
  const { version, epoch, examples, model, swa } = Object(state) as WorkerState;
  if (version !== VERSION) throw new Error(`it is of version ${version}, not ${VERSION}`);
  if (state.id !== id) throw new Error(`it is the state of ${state.id}`);
  if (epoch !== epochs) throw new Error(`it has ${epoch} epochs, not ${epochs}`);
  if (!(Number.isInteger(examples) && examples > 0)) throw new Error(`it has ${examples} examples`);
  const { weights } = averageOf(swa);
  checkShapes('weights', model, like.model);
  checkShapes('average', weights, like.average);
  const broken = [...model, ...weights].find(({ values }) => !values.every(Number.isFinite));
  if (broken) throw new Error(`its weights are not finite: ${broken.name}`);
  return weights;
}

function checkShapes(what: string, given: readonly Described[], expected: readonly Described[]) {
  const text = (list: readonly Described[]) =>
    list.map(({ dtype, shape }) => `${dtype} [${shape.join(',')}]`).join(' ');
  if (text(given) !== text(expected)) {
    throw new Error(`the shapes of its ${what} are others: ${text(given)}, not ${text(expected)}`);
  }
}
