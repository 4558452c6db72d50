/** Lets one tab at a time keep checkpoints. It knows nothing of how they are kept. */

/**
 * Whether this tab is the one; it stays so until it is closed. Waits a second for a tab that is
 * just going, such as this one before a reload.
 */
export function claimStorage(): Promise<boolean> {
  // Without a secure context there are no locks; then no harm is done but to the other tab's run.
  if (!('locks' in navigator)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const claim = { signal: AbortSignal.timeout(1000) };
    navigator.locks
      .request('tfjs-swa/page', claim, () => {
        resolve(true);
        return new Promise(() => {}); // held until the tab is closed
      })
      .catch(() => resolve(false));
  });
}
