/**
 * Evaluates a running average in its model after every epoch, and keeps the best one. Weights and
 * statistics are as before after each evaluation. It knows nothing of `fit`.
 */
import { updateBn } from '../batchnorm/update_bn.js';
import type { BnLoader } from '../batchnorm/batches.js';
import type { Evaluation } from './evaluation.js';
import type { Held, RunAverage } from './model_average.js';

/** The best average so far: what the model held when it was evaluated, statistics included. */
interface Best {
  readonly held: Held;
  readonly loss: number;
  readonly epoch: number;
}

/** What was put into the model for good. */
export interface Put {
  /** Of what it is the average, in words. */
  readonly averages: string;
  readonly loss: number;
}

export class JudgedAverage {
  /** The results of the average as it is, by the number of values that it holds. */
  private last: { count: number; logs: Record<string, number> } | null = null;
  private best: Best | null = null;

  /**
   * @param bnData Batches to re-estimate the statistics with; `null`: there are none.
   */
  constructor(
    private readonly average: RunAverage,
    private readonly model: object,
    protected readonly evaluation: Evaluation,
    protected readonly bnData: BnLoader<unknown> | null,
    private readonly keepBest: boolean,
  ) {}

  /**
   * The loss and the metrics of the average, as entries of an epoch's logs.
   *
   * @param epoch From 0.
   */
  async evaluate(epoch: number): Promise<Record<string, number>> {
    const { average, bnData } = this;
    if (this.last?.count === average.count) return this.last.logs;
    const logs = await average.during(async () => {
      if (bnData !== null) await updateBn(bnData, this.model);
      const results = await this.evaluation.run();
      if (this.keepBest) this.consider(results['loss']!, epoch);
      return results;
    });
    const named = Object.entries(logs).map(([name, value]) => [`swa_val_${name}`, value] as const);
    this.last = { count: average.count, logs: Object.fromEntries(named) };
    return this.last.logs;
  }

  /** Puts the best average into the model, with its statistics; `null`: none was kept. */
  async putBest(): Promise<Put | null> {
    const { best } = this;
    best?.held.putBack();
    return best && { averages: `epoch ${best.epoch + 1}`, loss: best.loss };
  }

  dispose(): void {
    this.best?.held.dispose();
    this.best = null;
  }

  /** Keeps what the model holds if it is better than all before; no number is worse than any. */
  private consider(loss: number, epoch: number): void {
    const { best } = this;
    if (best && !Number.isNaN(best.loss) && !(loss < best.loss)) return;
    best?.held.dispose();
    this.best = { held: this.average.hold(), loss, epoch };
  }
}
