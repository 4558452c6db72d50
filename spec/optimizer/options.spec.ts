import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { SWA, type SWAOptions } from '../../lib/index.js';
import { assertFails, own, warningsOf } from '../support/support.js';

/** The wrapper's schedule and the warnings it gave. */
async function made(options?: object) {
  let swa!: SWA;
  const warnings = await warningsOf(() => {
    swa = own(new SWA(tf.train.sgd(0.5), options as SWAOptions));
  });
  const { autoMode, swaStart, swaFreq, swaLr } = swa;
  return { warnings, autoMode, swaStart, swaFreq, swaLr };
}

const manual = { autoMode: false, swaStart: null, swaFreq: null, swaLr: null };

describe('options of SWA', () => {
  it('swaStart and swaFreq make automatic mode', async () => {
    assert.deepEqual(await made({ swaStart: 0, swaFreq: 1 }), {
      warnings: [],
      autoMode: true,
      swaStart: 0,
      swaFreq: 1,
      swaLr: null,
    });
    assert.deepEqual(await made({ swaStart: 10, swaFreq: 5, swaLr: 0 }), {
      warnings: [],
      autoMode: true,
      swaStart: 10,
      swaFreq: 5,
      swaLr: 0,
    });
  });

  it('neither makes manual mode', async () => {
    assert.deepEqual(await made(), { warnings: [], ...manual });
    const nulls = { swaStart: null, swaFreq: null, swaLr: null };
    assert.deepEqual(await made(nulls), { warnings: [], ...manual });
  });

  it('only one of them is ignored, with a warning', async () => {
    const half = 'Some of swaStart, swaFreq is missing, ignoring';
    for (const options of [{ swaStart: 5 }, { swaFreq: 5 }]) {
      assert.deepEqual(await made(options), { warnings: [`${half} the other`], ...manual });
    }
    assert.deepEqual(await made({ swaStart: 5, swaLr: 0.1 }), {
      warnings: [`${half} the other`, `${half} swaLr`],
      ...manual,
    });
    assert.deepEqual(await made({ swaLr: 0.1 }), { warnings: [`${half} swaLr`], ...manual });
  });

  it('fractions are cast down, with one warning for both', async () => {
    const { warnings, swaStart, swaFreq } = await made({ swaStart: 10.9, swaFreq: 2.5 });
    assert.deepEqual(
      [warnings, swaStart, swaFreq],
      [['Casting swaStart, swaFreq to integers'], 10, 2],
    );
  });

  const whole = (min: number): string => `(expected an integer >= ${min})`;
  const refused: [object, string][] = [
    [{ swaStart: -1, swaFreq: 1 }, `Invalid swaStart: -1 ${whole(0)}`],
    [{ swaStart: -0.5, swaFreq: 1 }, `Invalid swaStart: -0.5 ${whole(0)}`],
    [{ swaStart: NaN, swaFreq: 1 }, `Invalid swaStart: NaN ${whole(0)}`],
    [{ swaStart: '5', swaFreq: 1 }, `Invalid swaStart: "5" ${whole(0)}`],
    [{ swaStart: true, swaFreq: 1 }, `Invalid swaStart: true ${whole(0)}`],
    [{ swaStart: 1, swaFreq: 0 }, `Invalid swaFreq: 0 ${whole(1)}`],
    [{ swaStart: 1, swaFreq: 0.5 }, `Invalid swaFreq: 0.5 ${whole(1)}`],
    [{ swaStart: 1, swaFreq: Infinity }, `Invalid swaFreq: Infinity ${whole(1)}`],
    [{ swaFreq: -2 }, `Invalid swaFreq: -2 ${whole(1)}`],
    [{ swaStart: 1, swaFreq: 1, swaLr: -1 }, 'Invalid swaLr: -1 (expected a finite number >= 0)'],
    [{ swaStart: 1, swaFreq: 1, swaLr: NaN }, 'Invalid swaLr: NaN (expected a finite number >= 0)'],
    [{ swaLr: Infinity }, 'Invalid swaLr: Infinity (expected a finite number >= 0)'],
    [
      { paramGroups: [] },
      'Invalid paramGroups: a list of 0 (expected a list of at least one group)',
    ],
    [{ paramGroups: {} }, 'Invalid paramGroups: an object (expected a list of at least one group)'],
    [
      { swa_start: 1 },
      'Unknown option swa_start (known ones: swaStart, swaFreq, swaLr, paramGroups, avgFn)',
    ],
  ];
  for (const [options, message] of refused) {
    it(message, async () => {
      const optimizer = own(tf.train.sgd(0.5));
      const warnings = await warningsOf(() =>
        assertFails(() => new SWA(optimizer, options as SWAOptions), message),
      );
      assert.deepEqual(warnings, []);
    });
  }
});
