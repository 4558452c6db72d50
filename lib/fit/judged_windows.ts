/**
 * Evaluates the average of a run after every epoch, and at its end every window, of which the best
 * stays in the model. It knows nothing of how windows are made.
 */
import type { BnLoader } from '../batchnorm/batches.js';
import type { WindowScore } from '../state/weight_history_state.js';
import type { Evaluation } from './evaluation.js';
import { JudgedAverage, type Put } from './judged_average.js';
import type { WindowAverage } from './window_average.js';

/** An epoch, counted from 1, and how many values were averaged by its end. */
interface End {
  readonly epoch: number;
  readonly count: number;
}

export class JudgedWindows extends JudgedAverage {
  private readonly ends: End[] = [];

  /** @param say Is told the scores of all windows, as a table. */
  constructor(
    private readonly windows: WindowAverage,
    model: object,
    evaluation: Evaluation,
    bnData: BnLoader<unknown> | null,
    private readonly say: (message: string) => void,
  ) {
    super(windows, model, evaluation, bnData, false);
  }

  override async evaluate(epoch: number): Promise<Record<string, number>> {
    this.ends.push({ epoch: epoch + 1, count: this.windows.count });
    return super.evaluate(epoch);
  }

  /** Puts the window of the least loss into the model, with its statistics; of equal ones the longest. */
  override async putBest(): Promise<Put> {
    const evaluate = async (): Promise<number> => (await this.evaluation.run())['loss']!;
    const { best, scores } = await this.windows.choose(evaluate, this.bnData);
    this.say(tableOf(scores, best, this.ends));
    return { averages: `every batch of ${epochsOf(best, this.ends)}`, loss: best.score };
  }
}

/** The windows, the shortest first. */
function tableOf(scores: readonly WindowScore[], best: WindowScore, ends: readonly End[]): string {
  const rows = scores.map(({ window, count, score }) => [
    ...[String(window), epochsOf({ count }, ends), String(count), score.toPrecision(4)],
    window === best.window ? '<- chosen' : '',
  ]);
  const table = [['window', 'averaged', 'updates', 'swa_val_loss', ''], ...rows];
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  const lines = table.map((row) => row.map((cell, i) => cell.padStart(widths[i]!)).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** The epochs of the last `count` values: `epoch 7`, `epochs 5 to 7`. */
function epochsOf({ count }: { count: number }, ends: readonly End[]): string {
  const { epoch: last, count: total } = ends.at(-1)!;
  const first = ends.find((end) => end.count > total - count)!.epoch;
  return first === last ? `epoch ${last}` : `epochs ${first} to ${last}`;
}
