/**
 * Checkpoints where a browser keeps them: IndexedDB, localStorage, downloads, files that were chosen,
 * and a server. These specs run in browsers alone.
 */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { loadStateDict, saveStateDict, SWA, type SWAStateDict } from 'tfjs-swa';
import { assertFails, half, own, variable } from '../support/support.js';

/** A run that is to be saved in the middle, with slots, averages and a swap. */
function trained(): { swa: SWA; v: tf.Variable } {
  const v = variable([8, -3, 0.1]);
  const swa = own(
    new SWA(tf.train.adam(0.25, 0.9, 0.999, 1e-7), {
      swaStart: 2,
      swaFreq: 2,
      paramGroups: [{ params: v }],
    }),
  );
  for (let i = 0; i < 7; i++) swa.minimize(half(v));
  swa.swapSwaSgd();
  return { swa, v };
}

describe('a checkpoint in the browser', () => {
  for (const url of ['indexeddb://tfjs-swa-spec', 'localstorage://tfjs-swa-spec']) {
    describe(url.replace(/:.*/, ''), () => {
      afterEach(() => tf.io.removeModel(url));

      it('comes back, bit for bit, and the run goes on', async () => {
        const { swa, v } = trained();
        const state = await swa.stateDict();
        await saveStateDict(url, { swa: state, epoch: 3, model: [...(await v.data())] });
        const loaded = await loadStateDict<{ swa: SWAStateDict; epoch: number; model: number[] }>(
          url,
        );
        assert.deepEqual(loaded.swa, state);
        assert.equal(loaded.epoch, 3);

        const w = variable(loaded.model);
        const resumed = own(
          new SWA(tf.train.adam(0.25, 0.9, 0.999, 1e-7), {
            swaStart: 2,
            swaFreq: 2,
            paramGroups: [{ params: w }],
          }),
        );
        await resumed.loadStateDict(loaded.swa);
        for (const [run, x] of [
          [swa, v],
          [resumed, w],
        ] as const) {
          run.swapSwaSgd();
          for (let i = 0; i < 5; i++) run.minimize(half(x));
        }
        assert.deepEqual(await w.data(), await v.data());
        assert.deepEqual(
          (await resumed.stateDict()).swa_state[0]!.swa_buffer.values,
          (await swa.stateDict()).swa_state[0]!.swa_buffer.values,
        );
      });

      it('takes the place of the one before', async () => {
        await saveStateDict(url, { epoch: 1 });
        await saveStateDict(url, { epoch: 2 });
        assert.deepEqual(await loadStateDict<unknown>(url), { epoch: 2 });
      });
    });
  }

  it('that is not there: an error', () =>
    assertFails(() => loadStateDict('indexeddb://tfjs-swa-nothing'), /Cannot find model/));

  it('is downloaded as two files, which load when they are chosen', async () => {
    const { swa } = trained();
    const state = await swa.stateDict();
    const files: File[] = [];
    // A click on a link with `download` is how tfjs hands a file to a person.
    const { click } = HTMLAnchorElement.prototype;
    const links: HTMLAnchorElement[] = [];
    const { dispatchEvent } = HTMLAnchorElement.prototype;
    const take = function (this: HTMLAnchorElement): boolean {
      links.push(this);
      return true;
    };
    HTMLAnchorElement.prototype.dispatchEvent = take;
    HTMLAnchorElement.prototype.click = take;
    try {
      await saveStateDict('downloads://state', state);
    } finally {
      Object.assign(HTMLAnchorElement.prototype, { dispatchEvent, click });
    }
    for (const { href, download } of links) {
      files.push(new File([await (await fetch(href)).blob()], download));
    }
    assert.sameMembers(
      files.map(({ name }) => name),
      ['state.json', 'state.weights.bin'],
    );
    const json = files.find(({ name }) => name.endsWith('.json'))!;
    const others = files.filter((file) => file !== json);
    const loaded = await loadStateDict(tf.io.browserFiles([json, ...others]));
    assert.deepEqual(loaded, state);
  });

  it('of version 1, from a server, is what it was', async () => {
    const folder = `${location.origin}/spec/checkpoints/v1.`;
    const source = tf.io.http(`${folder}json`, {
      weightUrlConverter: async (name) => folder + name,
    });
    const { swa, epoch } = await loadStateDict<{ swa: SWAStateDict; epoch: number }>(source);
    const { state } = await (await fetch(`${folder}expected.json`)).json();
    assert.equal(epoch, state.epoch);
    const plain = JSON.stringify(swa, (_, value: unknown) =>
      ArrayBuffer.isView(value) ? [...(value as Float32Array)] : value,
    );
    assert.deepEqual(JSON.parse(plain), state.swa);
  });

  it('survives a message to a worker and back', async () => {
    const { swa } = trained();
    const state = await swa.stateDict();
    const source = 'onmessage = ({ data }) => postMessage(data)';
    const worker = new Worker(URL.createObjectURL(new Blob([source])));
    const back = new Promise<SWAStateDict>((resolve) => {
      worker.onmessage = ({ data }) => resolve(data as SWAStateDict);
    });
    worker.postMessage(state);
    const received = await back;
    worker.terminate();
    assert.deepEqual(received, state);
    await swa.loadStateDict(received);
  });
});
