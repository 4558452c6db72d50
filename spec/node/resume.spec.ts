/**
 * Stopped and gone on with in another process is never stopped, bit for bit; on another backend, but
 * for its rounding. One process trains all runs of resume_run.ts without a stop, one saves them in
 * the middle, one loads them.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { loadStateDict, type SWA } from '../../lib/index.js';
import { fileSystem } from '../../lib/node.js';
import { bundleChild } from '../support/child.js';
import {
  compile,
  filesOf,
  fit,
  modelOutcome,
  RUNS,
  smallModel,
  STEPS,
  type Outcome,
} from './resume_run.js';
import { assertClose, assertFails, valuesOf } from '../support/support.js';

const temporary = path.join(import.meta.dirname, '../.tmp');

/** The backend of the run that is saved, and of the process that goes on with it. */
const BACKENDS = [
  ['cpu', 'cpu'],
  ['wasm', 'wasm'],
  ['wasm', 'cpu'],
] as const;

for (const [from, to] of BACKENDS) {
  describe(`resume in a fresh process, from ${from} on ${to}`, () => {
    let folder = '';

    before(async function () {
      this.timeout(300_000);
      mkdirSync(temporary, { recursive: true });
      folder = mkdtempSync(path.join(temporary, 'resume-'));
      const script = await bundleChild('resume_child', folder);
      for (const action of ['unbroken', 'save', 'resume']) {
        const env = { ...process.env, BACKEND: action === 'resume' ? to : from };
        await promisify(execFile)(process.execPath, [script, action, folder], { env });
      }
    });
    after(() => rmSync(folder, { recursive: true, force: true }));

    // A bias before batch normalization has a gradient of rounding alone, which Adam and Adamax make
    // as large as any: two backends part there.
    for (const run of RUNS.filter(
      ({ title }) => from === to || !title.startsWith('model.save with ada'),
    )) {
      it(run.title, async () => {
        const files = filesOf(folder, run);
        const unbroken = await loadStateDict<Outcome>(fileSystem(files.unbroken));
        const resumed = await loadStateDict<Outcome>(fileSystem(files.resumed));
        if (from === to) assert.deepEqual(resumed, unbroken);
        // Kernels of another backend round otherwise; what was saved is what was loaded.
        assert.deepEqual(resumed.groups, unbroken.groups);
        for (const part of ['params', 'averages'] as const) {
          unbroken[part].forEach((values, i) => assertClose(resumed[part][i]!, values, 1e-4, part));
        }
        // 11 and 12 steps; averaged after 6, 9, 12, 15, 18, 21.
        for (const group of unbroken.groups) {
          assert.include(group as object, { step_counter: STEPS[0] + STEPS[1], n_avg: 6 });
        }
        assert.isTrue(unbroken.params.flat().every(Number.isFinite), 'the run trains');
      });
    }
  });
}

/** The trainable variables of a model, in its order. */
function variablesOf(model: tfl.LayersModel): tf.Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as tf.Variable);
}

/** Saves and loads a model with its optimizer. */
const passed: Record<string, (model: tfl.LayersModel) => Promise<tfl.LayersModel>> = {
  'a handler in memory': async (model) => {
    let artifacts: tf.io.ModelArtifacts | undefined;
    const memory = tf.io.withSaveHandler(async (given) => {
      artifacts = given;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    });
    await model.save(memory, { includeOptimizer: true });
    return tfl.loadLayersModel(tf.io.fromMemory(artifacts!));
  },
  'fileSystem(path)': async (model) => {
    const folder = mkdtempSync(path.join(temporary, 'resume-'));
    const file = path.join(folder, 'model.swa');
    try {
      await model.save(fileSystem(file), { includeOptimizer: true });
      return await tfl.loadLayersModel(fileSystem(file));
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

describe('several groups through model.save, beside the model that was saved', () => {
  // Three groups, of which the first holds the last layer, in the middle of an averaging interval.
  const halves = async (name: string) => {
    const model = smallModel(layersName());
    compile(model, name, true);
    await fit(model, 0, 11);
    return model;
  };
  let count = 0;
  const layersName = () => `groups${count++}`;
  const unbroken = async (name: string) => {
    const model = await halves(name);
    return modelOutcome(model, await fit(model, 11, 12));
  };
  for (const name of ['adam', 'momentum', 'adamax']) {
    for (const [by, pass] of Object.entries(passed)) {
      it(`${name}: a second model in the process goes on through ${by}`, async () => {
        const first = await halves(name);
        const second = await pass(first);
        const [names, others] = [first, second].map((model) =>
          variablesOf(model).map((variable) => variable.name),
        );
        assert.deepEqual(
          others,
          names!.map((variable) => `${variable}_1`),
        );
        const expected = await unbroken(name);
        assert.deepEqual(await modelOutcome(second, await fit(second, 11, 12)), expected);
        // The first one was not touched, and goes on too.
        assert.deepEqual(await modelOutcome(first, await fit(first, 11, 12)), expected);
      });
    }
  }

  it('a swapped one finds its variables by itself once the first is gone', async () => {
    const first = await halves('adam');
    (first.optimizer as SWA).swapSwaSgd();
    const second = await passed['a handler in memory']!(first);
    const swa = second.optimizer as SWA;
    assert.isTrue(swa.swapped);
    // While both are there either could be meant, and neither is touched.
    const both = () => valuesOf([first, second].flatMap(variablesOf));
    const before = await both();
    await assertFails(() => swa.swapSwaSgd(), /name them with addParamGroup\(\)$/);
    assert.deepEqual(await both(), before);
    first.optimizer.dispose();
    first.dispose();
    swa.swapSwaSgd();
    assert.isFalse(swa.swapped);
    assert.deepEqual(await modelOutcome(second, await fit(second, 11, 12)), await unbroken('adam'));
  });

  it('a swapped one beside the first swaps once its groups are named', async () => {
    const first = await halves('momentum');
    (first.optimizer as SWA).swapSwaSgd();
    const second = await passed['fileSystem(path)']!(first);
    const swa = second.optimizer as SWA;
    const byName = new Map(variablesOf(second).map((variable) => [variable.name, variable]));
    for (const { params, lr, optimizer } of (first.optimizer as SWA).paramGroups) {
      const { momentum } = optimizer.getConfig() as { momentum: number };
      swa.addParamGroup({
        params: params.map(({ name }) => byName.get(`${name}_1`)!),
        lr,
        momentum,
      });
    }
    swa.swapSwaSgd();
    first.optimizer.dispose();
    first.dispose();
    assert.deepEqual(
      await modelOutcome(second, await fit(second, 11, 12)),
      await unbroken('momentum'),
    );
  });

  it('updateSwa takes the weights of a loaded model before its first step', async () => {
    const first = await halves('sgd');
    const second = await passed['a handler in memory']!(first);
    first.optimizer.dispose();
    first.dispose();
    const swa = second.optimizer as SWA;
    swa.updateSwa();
    assert.deepEqual(
      swa.paramGroups.map(({ n_avg }) => n_avg),
      [3, 3, 3],
    );
    swa.dispose();
    second.dispose();
  });
});
