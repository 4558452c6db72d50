/**
 * Keeps the last checkpoint in IndexedDB, as a `tf.io` handler through which tfjs-swa saves and loads.
 * It knows nothing of what is in it.
 *
 * Not through tfjs's own `indexeddb://` (4.22): a save that has no room left is never rejected there,
 * and one is called done before its transaction is.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { del, get, set } from 'idb-keyval';

const KEY = 'tfjs-swa/page/checkpoint';

/**
 * Puts what is saved in place of what was there, in one transaction: cut short by a reload, the one
 * before is still there whole. Its errors are the browser's, where it refuses or has no room.
 */
export const store = {
  async save(artifacts: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
    await set(KEY, artifacts);
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
  },
  async load(): Promise<tf.io.ModelArtifacts> {
    return (await get(KEY)) as tf.io.ModelArtifacts;
  },
};

/** Whether anything is there. */
export async function isKept(): Promise<boolean> {
  return (await get(KEY)) !== undefined;
}

/** Removes what is there, if anything is. */
export async function forget(): Promise<void> {
  await del(KEY);
}
