/** results.json: every number that is shown or drawn. It knows nothing of where it is written. */
import * as tf from '@tensorflow/tfjs-core';
import type { Landscape } from './landscape.js';
import type { DemoOptions } from './options.js';
import type { Summary } from './report.js';
import { BATCH, LOW_RATE, MOMENTUM, RATE, type Schedule } from './schedule.js';
import type { SeedScores } from './training.js';

/** What the file is made from. */
export interface Results {
  command: string;
  options: DemoOptions;
  /** The backend that ran, which is not the one asked for where that did not start. */
  backend: string;
  schedule: Schedule;
  summary: Summary;
  sentence: string;
  runs: readonly SeedScores[];
  landscape: Landscape;
  seconds: { estimated: number; taken: number };
}

/** The file's text. Errors are in percent, likelihoods in nats, distances in weight space. */
export function resultsOf(results: Results): string {
  const {
    command,
    options: all,
    backend,
    schedule,
    summary,
    sentence,
    runs,
    landscape,
    seconds,
  } = results;
  // The same whether the run was kept somewhere or not.
  const { checkpoint: _, ...options } = all;
  const { epochs, half, stepsPerEpoch, decayingRate, swaEpochs, emaDecay, method } = schedule;
  const afterEpochs = Array.from({ length: epochs + 1 }, (_, epoch) => epoch);
  return `${JSON.stringify(
    {
      command,
      options,
      ran: { backend, tfjs: tf.version_core, node: process.version },
      seconds,
      summary,
      sentence,
      schedule: {
        batch: BATCH,
        momentum: MOMENTUM,
        stepsPerEpoch,
        // Of the run that is averaged; in cycles only in its second half.
        averagedRate:
          method === 'cyclic'
            ? { constant: RATE, cyclic: { high: RATE, low: LOW_RATE, cycleEpochs: swaEpochs } }
            : { constant: RATE },
        swa: {
          afterEpochs: afterEpochs.filter((epoch) => epoch > half && epoch % swaEpochs === 0),
        },
        ema: { decay: emaDecay, afterEveryStepFrom: half * stepsPerEpoch + 1 },
        decayingRateAfterEpoch: afterEpochs.map((epoch) => decayingRate(epoch * stepsPerEpoch)),
      },
      seeds: runs,
      plane: landscape,
    },
    null,
    1,
  )}\n`;
}
