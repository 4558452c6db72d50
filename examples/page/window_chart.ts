/**
 * What is shown of a run's windows, as a drawing and in words. It knows nothing of how they are
 * measured or picked.
 */
import { padded, percent, type Picture } from './charts.js';
import { drawLines } from './line_chart.js';
import type { Checkpoint } from './run.js';
import { HELD_OUT } from './settings.js';
import type { EpochWindow, Windows } from './windows.js';

/** The windows of a run, and the one that is looked at; both `null` before there is any. */
export interface Shown {
  windows: Windows | null;
  picked: EpochWindow | null;
}

/** Test error by the number of epochs averaged, which is none for the last weights. */
export function windowPicture(
  { settings, curve }: Pick<Checkpoint, 'settings' | 'curve'>,
  { windows, picked }: Shown,
): Picture {
  const { all, chosen } = windows ?? { all: [], chosen: null };
  const last = windows && curve.at(-1)!;
  const alone = last ? [{ x: 0, y: last.error }] : [];
  const points = all.map(({ epochs, error }) => ({ x: epochs, y: error }));
  const ring = picked ? [{ x: picked.epochs, y: picked.error }] : [];
  const best = all.find(({ epochs }) => epochs === chosen);
  return [
    (width) =>
      drawLines(width, {
        xRange: [0, settings.epochs],
        xTitle: 'averaged over the last … epochs',
        yRange: padded([...alone, ...points].map(({ y }) => y)),
        yTitle: 'test error (%)',
        rule: chosen === null ? null : { x: chosen, text: 'chosen' },
        series: [
          { name: 'last weights', kind: 'weights', points: alone, line: false, dots: 'circle' },
          { name: 'average', kind: 'average', points, line: true, dots: 'diamond' },
          { name: 'picked', kind: 'rate', points: ring, line: false, dots: 'ring' },
        ],
      }),
    {
      summary: best
        ? `It is ${percent(last!.error)} for the last weights and ${percent(best.error)} for the ` +
          `average over the ${lastEpochs(chosen!)}, which is chosen.`
        : `${all.length} of ${settings.epochs} windows are measured.`,
      columns: ['Epochs', 'Test error', `${HELD_OUT} held-out images (nats)`, 'Which'],
      rows: [
        ...(last ? [['none', percent(last.error), '', 'last weights']] : []),
        ...all.map(({ epochs, error, heldOut }) => [
          epochs,
          percent(error),
          heldOut.nll.toFixed(3),
          epochs === chosen ? 'chosen' : '',
        ]),
      ],
    },
  ];
}

/** The slider's value in words. */
export function valueText({ windows, picked }: Shown): string {
  if (!picked) return 'nothing yet';
  const { epochs, error } = picked;
  const isChosen = epochs === windows!.chosen;
  return `${lastEpochs(epochs)}: ${percent(error)} errors${isChosen ? ', chosen' : ''}`;
}

/** What there is to say of the window that is picked. */
export function windowText(
  { guesses, curve }: Pick<Checkpoint, 'guesses' | 'curve'>,
  { windows, picked }: Shown,
): string {
  if (!picked) {
    return (
      'Once the net is trained, the average over each window of epochs is measured, and one is ' +
      `chosen by ${HELD_OUT} images held out for that.`
    );
  }
  // Of each class there is one of the ten.
  const right = (list: Checkpoint['guesses']['weights']) =>
    list.filter(({ label }, i) => label === i).length;
  const { epochs, error } = picked;
  const { chosen } = windows!;
  return (
    `The average over the ${lastEpochs(epochs)} calls ${percent(error)} of the test images wrongly ` +
    `and ${right(picked.guesses)} of the ten below rightly; the last weights ` +
    `${percent(curve.at(-1)!.error)} and ${right(guesses.weights)}. ` +
    (epochs === chosen
      ? `Chosen: its likelihood of ${HELD_OUT} held-out images is the highest.`
      : `Chosen by ${HELD_OUT} held-out images is that over the ${lastEpochs(chosen!)}.`)
  );
}

/** A window in words. */
export function lastEpochs(epochs: number): string {
  return epochs === 1 ? 'last epoch' : `last ${epochs} epochs`;
}
