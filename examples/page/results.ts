/** What is downloaded of a run. It knows nothing of how it is shown. */
import type { TensorData } from 'tfjs-swa';
import type { ErrorPlane } from './error_plane.js';
import { CLASS_NAMES } from './guesses.js';
import { SHARES } from './noise.js';
import type { Checkpoint, Guess } from './run.js';
import type { Uncertainty } from './uncertainty.js';
import type { Windows } from './windows.js';

/** The file's text. Errors are in percent, likelihoods in nats, distances in weight space. */
export function resultsOf(
  { settings, curve, guesses, model, optimizer }: Checkpoint,
  { all, chosen }: Windows,
  uncertainty: Uncertainty | null,
  plane: ErrorPlane | null,
  said: readonly string[],
): string {
  const named = (list: readonly Guess[]) =>
    list.map(({ label, probability }) => ({ class: CLASS_NAMES[label], probability }));
  const averages = Object.values(optimizer.swa_state).map(({ swa_buffer }) => swa_buffer);
  const results = {
    settings,
    curve,
    tenImages: CLASS_NAMES.map((name, i) => ({
      class: name,
      weights: named(guesses.weights)[i],
      average: named(guesses.average)[i],
    })),
    windows: {
      chosen,
      all: all.map(({ guesses, ...window }) => ({ ...window, tenImages: named(guesses) })),
    },
    /** By share of noise in percent, image and class. */
    uncertainty: uncertainty && { noise: SHARES, ...uncertainty },
    averaged: optimizer.param_groups[0]?.n_avg ?? 0,
    /** Two runs that are the same bit for bit have the same. */
    fingerprints: { weightsAndStatistics: fingerprint(model), average: fingerprint(averages) },
    plane,
    said,
  };
  return `${JSON.stringify(results, null, 1)}\n`;
}

/** Hands a file to the person. */
export function download(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser reads it after the click; a minute is ample.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** FNV-1a over the bytes, 32 bits, in hexadecimal. */
function fingerprint(tensors: readonly TensorData[]): string {
  let hash = 0x811c9dc5;
  for (const { values } of tensors) {
    const { buffer, byteOffset, byteLength } = values;
    for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) {
      hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    }
  }
  return hash.toString(16).padStart(8, '0');
}
