/**
 * Stopped and gone on with in another process is never stopped, bit for bit. One process saves all
 * runs of resume_run.ts, another loads them; they run on the backend of the specs.
 */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { build } from 'esbuild';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { loadStateDict } from '../lib/index.js';
import { fileSystem } from '../lib/node.js';
import { filesOf, RUNS, STEPS, type Outcome } from './resume_run.js';

describe('resume in a fresh process', () => {
  const temporary = path.join(import.meta.dirname, '.tmp');
  let folder = '';

  before(async function () {
    this.timeout(180_000);
    mkdirSync(temporary, { recursive: true });
    folder = mkdtempSync(path.join(temporary, 'resume-'));
    const script = path.join(folder, 'resume_child.mjs');
    await build({
      entryPoints: [path.join(import.meta.dirname, 'resume_child.ts')],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      logLevel: 'silent',
    });
    const env = { ...process.env, BACKEND: tf.getBackend() };
    for (const action of ['save', 'resume']) {
      await promisify(execFile)(process.execPath, [script, action, folder], { env });
    }
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const run of RUNS) {
    it(run.title, async () => {
      const unbroken = await run.unbroken();
      const resumed = await loadStateDict<Outcome>(fileSystem(filesOf(folder, run).outcome));
      assert.deepEqual(resumed, unbroken);
      // 11 and 12 steps; averaged after 6, 9, 12, 15, 18, 21.
      for (const group of unbroken.groups) {
        assert.include(group as object, { step_counter: STEPS[0] + STEPS[1], n_avg: 6 });
      }
      assert.isTrue(unbroken.params.flat().every(Number.isFinite), 'the run trains');
    });
  }
});
