/** The kind of an averaging function in words, for a state. It knows nothing of models. */
import { avgFnConfig, type AvgFn } from './average.js';

/** `swa`, `ema(decay 0.99)`, `ema(decay 0.99, warmup)`, or `own` for a caller's. */
export function avgFnKind(avgFn: AvgFn): string {
  const config = avgFnConfig(avgFn);
  if (config === undefined) return 'own';
  if (config === null) return 'swa';
  return `ema(decay ${config.decay}${config.warmup ? ', warmup' : ''})`;
}
