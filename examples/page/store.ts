/** Keeps the last checkpoint in IndexedDB. It knows nothing of what is in it. */
import { del, get, set } from 'idb-keyval';

const KEY = 'tfjs-swa/page/checkpoint';

/**
 * Keeps a checkpoint in place of the one before, in one transaction: cut short by a reload, the
 * one before is still there whole.
 *
 * @throws Error if the browser refuses or has no room.
 */
export async function keep(checkpoint: unknown): Promise<void> {
  await set(KEY, checkpoint);
}

/** What was kept, `undefined` if nothing was. */
export async function kept(): Promise<unknown> {
  return get(KEY);
}

/** Removes what was kept, if anything was. */
export async function forget(): Promise<void> {
  await del(KEY);
}
