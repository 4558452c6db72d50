/**
 * What is shown of how sure a net is of images with noise, as a drawing and in words. It knows nothing
 * of how that is measured.
 */
import { percent, type Picture } from './charts.js';
import { drawLines } from './line_chart.js';
import { SHARES } from './noise.js';
import { SAMPLES } from './settings.js';
import type { Uncertainty } from './uncertainty.js';

/** What is said of the ten images with so much noise. */
interface Summary {
  noise: number;
  /** Mean over the images of the entropy of their probabilities, in nats. */
  entropy: number;
  /** Mean standard deviation of the likeliest class's probability, in percent. */
  spread: number;
  /** How many of the ten are called rightly. */
  right: number;
}

/** Entropy by the share of noise; the one that is picked stands out. */
export function uncertaintyPicture(uncertainty: Uncertainty | null, picked: number): Picture {
  const all = summariesOf(uncertainty);
  const points = all.map(({ noise, entropy }) => ({ x: noise, y: entropy }));
  const ring = points.filter(({ x }) => x === picked);
  const most = Math.max(...all.map(({ entropy }) => entropy));
  const [first, last] = [all[0], all.at(-1)];
  return [
    (width) =>
      drawLines(width, {
        xRange: [0, SHARES.at(-1)!],
        xTitle: 'noise (%)',
        // Of ten classes nobody knows less than log 10.
        yRange: [0, Math.log(10)],
        yTitle: 'entropy (nats), mean of the ten',
        rule: null,
        series: [
          { name: `${SAMPLES} samples`, kind: 'average', points, line: true, dots: 'diamond' },
          { name: 'picked', kind: 'rate', points: ring, line: false, dots: 'ring' },
        ],
      }),
    {
      summary: first
        ? `The entropy is ${first.entropy.toFixed(2)} nats without noise, ` +
          `${most.toFixed(2)} at most and ${last!.entropy.toFixed(2)} for noise alone.`
        : 'Nothing is measured yet.',
      columns: ['Noise (%)', 'Entropy (nats)', 'Interval', 'Right'],
      rows: all.map(({ noise, entropy, spread, right }) => [
        noise,
        entropy.toFixed(2),
        `±\u00a0${percent(spread)}`,
        `${right} of 10`,
      ]),
    },
  ];
}

/** The slider's value in words. */
export function noiseText(uncertainty: Uncertainty | null, picked: number): string {
  const found = summariesOf(uncertainty).find(({ noise }) => noise === picked);
  if (!found) return 'nothing yet';
  return `${picked}\u00a0% noise: entropy ${found.entropy.toFixed(2)} nats, ${found.right} of ten right`;
}

/** What there is to say of the share of noise that is picked. */
export function uncertaintyText(uncertainty: Uncertainty | null, picked: number): string {
  const all = summariesOf(uncertainty);
  const found = all.find(({ noise }) => noise === picked);
  if (!found) return `Once the net is trained, ${SAMPLES} samples of its weights are asked.`;
  const { noise, entropy, spread, right } = found;
  const plain = all[0]!;
  const aside = (text: string) => (noise === 0 ? '' : ` (without ${text})`);
  return (
    `With ${noise}\u00a0% noise, ${right} of the ten are called rightly` +
    `${aside(String(plain.right))}. Entropy ${entropy.toFixed(2)} nats` +
    `${aside(plain.entropy.toFixed(2))}; who knows nothing has 2.30. The likeliest class's ` +
    `interval is ±\u00a0${percent(spread)}${aside(`±\u00a0${percent(plain.spread)}`)}.`
  );
}

function summariesOf(uncertainty: Uncertainty | null): Summary[] {
  if (!uncertainty) return [];
  return SHARES.map((noise, share) => {
    const rows = uncertainty.mean[share]!;
    const guesses = rows.map((row) => row.indexOf(Math.max(...row)));
    return {
      noise,
      entropy: meanOf(rows.map(entropyOf)),
      spread: 100 * meanOf(guesses.map((label, i) => uncertainty.std[share]![i]![label]!)),
      // Of each class there is one of the ten.
      right: guesses.filter((label, i) => label === i).length,
    };
  });
}

function entropyOf(probabilities: readonly number[]): number {
  return -probabilities.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
