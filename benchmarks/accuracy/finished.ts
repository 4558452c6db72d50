/**
 * The runs that are finished, as lines of a file that only grows, and the weights that some of them leave.
 * It knows nothing of how a run is made or what it is for.
 */
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readFile, truncate } from 'node:fs/promises';
import path from 'node:path';
import { loadStateDict, saveStateDict, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { UsageError } from '../../examples/demo/options.js';
import type { Kept, Outcome, Run } from './run.js';

export class Finished {
  private constructor(
    private readonly folder: string,
    private readonly outcomes: Map<string, Outcome>,
  ) {}

  /**
   * What a folder's file holds. A last line that a kill has cut off is no run, and goes.
   *
   * @throws UsageError for a file of something else, which stays as it is.
   */
  static async load(folder: string): Promise<Finished> {
    const file = fileIn(folder);
    const text = existsSync(file) ? await readFile(file, 'utf8') : '';
    const end = text.lastIndexOf('\n') + 1;
    const outcomes = new Map<string, Outcome>();
    for (const [i, line] of text.slice(0, end).split('\n').slice(0, -1).entries()) {
      const { run, outcome } = parsed(line);
      if (!run || !outcome) {
        throw new UsageError(`${file} is no file of this benchmark's runs (line ${i + 1})`);
      }
      outcomes.set(keyOf(run), outcome);
    }
    if (end < text.length) await truncate(file, Buffer.byteLength(text.slice(0, end)));
    return new Finished(folder, outcomes);
  }

  has(run: Run): boolean {
    return this.outcomes.has(keyOf(run));
  }

  /** What a run gave that is finished. */
  readonly outcome = (run: Run): Outcome => this.outcomes.get(keyOf(run))!;

  /** Keeps what a run gave, and of one on test images the weights. */
  async add(run: Run, outcome: Outcome, kept: Kept): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    if (run.on === 'test') {
      const { iterates, window } = kept;
      const state: State = { iterates: iterates.map(dataOf), window: window && dataOf(window) };
      await saveStateDict(fileSystem(weightsOf(this.folder, run), { createFolder: true }), state);
    }
    await appendFile(fileIn(this.folder), `${JSON.stringify({ run, outcome })}\n`);
    this.outcomes.set(keyOf(run), outcome);
  }
}

/** The weights that a finished run on test images has left in a folder. */
export async function keptIn(folder: string, run: Omit<Run, 'takes' | 'on'>): Promise<Kept> {
  const { iterates, window } = await loadStateDict<State>(fileSystem(weightsOf(folder, run)));
  return { iterates: iterates.map(valuesOf), window: window && valuesOf(window) };
}

/** {@link Kept}, as it is saved. */
interface State {
  iterates: TensorData[];
  window: TensorData | null;
}

function fileIn(folder: string): string {
  return path.join(folder, 'accuracy.runs.jsonl');
}

/** All that a run's numbers depend on. */
function keyOf(run: Run): string {
  return JSON.stringify(run);
}

/** `weights/dense-0.2-30-constant-0.1-1.safetensors`: net, noise, epochs, way, rate, seed. */
function weightsOf(
  folder: string,
  { experiment, way, rate, seed }: Omit<Run, 'takes' | 'on'>,
): string {
  const { net, noise, epochs } = experiment;
  const name = [net, noise, epochs, way, rate, seed].join('-');
  return path.join(folder, 'weights', `${name}.safetensors`);
}

function valuesOf({ values }: TensorData): Float32Array {
  return values as Float32Array;
}

function dataOf(values: Float32Array): TensorData {
  return { name: 'weights', dtype: 'float32', shape: [values.length], values };
}

function parsed(line: string): { run?: Run; outcome?: Outcome } {
  try {
    return (JSON.parse(line) ?? {}) as { run?: Run; outcome?: Outcome };
  } catch {
    return {};
  }
}
