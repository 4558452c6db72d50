/** What `swaCallback` takes, and its checks that need no optimizer. It knows nothing of `fit`. */
import { checkLoader, type BnLoader } from '../batchnorm/batches.js';
import { checkAvgFn, factsOf, swaAvgFn, type AvgFn } from '../average/avg_fn.js';
import { checkInteger, checkKeys, checkNumber, invalid } from '../check.js';
import type { RateSettings } from './callback_rates.js';
import { checkValidationData, type ValidationData } from './evaluation.js';
import type { FittedModel } from './fitted_model.js';

/** Options of {@link swaCallback}. */
export interface SwaCallbackOptions {
  /**
   * The first epoch whose weights are averaged, counted from 1, an integer >= 2; or 'auto': every
   * batch is averaged, and where averaging starts is chosen on `validationData` after the last epoch.
   */
  startEpoch: number | 'auto';
  /** Who sets the learning rate: 'manual' (the default) leaves it to others. */
  lrSchedule?: 'manual' | 'constant' | 'cyclic';
  /** The rate of the averaged phase, from 0 to the optimizer's; default, 'auto': a tenth of it. */
  swaLr?: number | 'auto';
  /** Where a cycle starts, >= `swaLr`; default, 'auto': a quarter of the way to the initial rate. */
  swaLr2?: number | 'auto';
  /** Epochs from one averaging to the next, and of a cycle; an integer >= 1, cyclic >= 2. */
  swaFreq?: number;
  /** Batches to re-estimate batch normalization with, as {@link updateBn} takes them. */
  bnData?: BnLoader<unknown>;
  /** How to average; default {@link swaAvgFn}, the equal average. */
  avgFn?: AvgFn;
  /** What the averages are evaluated on: `[xs, ys]`, or a tf.data Dataset of `{xs, ys}`. */
  validationData?: ValidationData;
  /** Whether the model ends with the average of the least `swa_val_loss`; default false. */
  keepBest?: boolean;
  /** 1 tells with `console.log` what happens when; default 0. */
  verbose?: 0 | 1;
}

/** The options, checked; epochs are counted from 0 from here on. */
export interface Settings extends RateSettings {
  /** Where averaging starts is chosen at the end; `start` is 0, and epochs are all averaged. */
  readonly auto: boolean;
  readonly bnData: BnLoader<unknown> | null;
  readonly avgFn: AvgFn;
  readonly validationData: ValidationData | null;
  readonly keepBest: boolean;
  readonly say: (message: string) => void;
}

/**
 * Checks model and options.
 *
 * @throws Error `Invalid NAME: VALUE (expected ...)`.
 */
export function checkOptions(model: unknown, options: SwaCallbackOptions): Settings {
  if (!Array.isArray((model as Partial<FittedModel> | null | undefined)?.weights)) {
    invalid('model', model, 'a tfjs-layers model');
  }
  if (options === null || typeof options !== 'object') {
    invalid('options', options, 'an object with startEpoch');
  }
  checkKeys(options, KEYS);
  const { lrSchedule = 'manual', swaFreq = 1, bnData = null, verbose = 0 } = options;
  const { avgFn = swaAvgFn(), validationData = null, keepBest = false } = options;
  const auto = options.startEpoch === 'auto';
  const start = auto ? 0 : checkInteger('startEpoch', options.startEpoch, 2, " or 'auto'") - 1;
  if (!['manual', 'constant', 'cyclic'].includes(lrSchedule)) {
    invalid('lrSchedule', lrSchedule, "'manual', 'constant' or 'cyclic'");
  }
  if (lrSchedule === 'cyclic') checkInteger('swaFreq', swaFreq, 2, " with lrSchedule 'cyclic'");
  else checkInteger('swaFreq', swaFreq, 1);
  const swaLr = checkRate('swaLr', options.swaLr);
  const swaLr2 = checkRate('swaLr2', options.swaLr2);
  if (swaLr2 !== null && swaLr === null) {
    invalid('swaLr2', swaLr2, "'auto' as long as swaLr is 'auto'");
  }
  if (lrSchedule === 'cyclic' && swaLr !== null && swaLr2 !== null && swaLr > swaLr2) {
    invalid('swaLr', swaLr, `at most swaLr2, ${swaLr2}`);
  }
  if (bnData !== null) checkLoader(bnData, 'bnData');
  checkAvgFn(avgFn);
  if (validationData !== null) checkValidationData(validationData);
  if (typeof keepBest !== 'boolean') invalid('keepBest', keepBest, 'a boolean');
  if (keepBest && validationData === null) throw new Error('keepBest requires validationData');
  if (auto) checkAuto({ lrSchedule, swaFreq, avgFn, validationData, keepBest });
  if (validationData !== null && isIterator(bnData)) {
    invalid('bnData', bnData, 'batches that can be read again, for each evaluation');
  }
  if (verbose !== 0 && verbose !== 1) invalid('verbose', verbose, '0 or 1');
  const unused = {
    swaLr: lrSchedule === 'manual' && swaLr,
    swaLr2: lrSchedule !== 'cyclic' && swaLr2,
  };
  for (const [name, value] of Object.entries(unused)) {
    if (typeof value === 'number') {
      console.warn(`swaCallback: lrSchedule is '${lrSchedule}', ignoring ${name}`);
    }
  }
  const say = verbose === 1 ? (message: string) => console.log(message) : () => {};
  const evaluated = { avgFn, validationData, keepBest };
  return { auto, start, lrSchedule, swaLr, swaLr2, swaFreq, bnData, ...evaluated, say };
}

const KEYS = [
  ...['startEpoch', 'lrSchedule', 'swaLr', 'swaLr2', 'swaFreq', 'bnData'],
  ...['avgFn', 'validationData', 'keepBest', 'verbose'],
];

/** Refuses what makes no sense where the start is chosen at the end. */
function checkAuto({
  lrSchedule,
  swaFreq,
  avgFn,
  ...judged
}: Pick<Settings, 'lrSchedule' | 'swaFreq' | 'avgFn' | 'validationData' | 'keepBest'>): void {
  if (judged.validationData === null) throw new Error("startEpoch 'auto' requires validationData");
  if (judged.keepBest) {
    throw new Error(
      "startEpoch 'auto' and keepBest exclude one another: each says what to end with",
    );
  }
  if (lrSchedule !== 'manual') {
    const expected =
      "'manual' with startEpoch 'auto': the others lay out their rates by startEpoch";
    invalid('lrSchedule', lrSchedule, expected);
  }
  if (swaFreq !== 1) {
    invalid('swaFreq', swaFreq, "1 with startEpoch 'auto', which averages every batch");
  }
  const { config, guard } = factsOf(avgFn);
  if (config !== null || guard) {
    invalid('avgFn', avgFn, "swaAvgFn() with startEpoch 'auto', whose windows are equal averages");
  }
}

/** Whether batches can be read once only, as those of a generator. */
function isIterator(loader: unknown): boolean {
  return typeof (loader as { next?: unknown } | null)?.next === 'function';
}

function checkRate(name: string, value: unknown): number | null {
  if (value == null || value === 'auto') return null;
  return checkNumber(name, value, 0, "a finite number >= 0 or 'auto'");
}
