/** A pause between two pieces of work, in which events arrive. It knows nothing of the work. */

/**
 * Lets Node or the browser handle what has come in, such as Ctrl-C or a message to a worker: the
 * backends' work itself never yields.
 */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else sendBack(resolve);
  });
}

/** Browsers have no setImmediate, and hold up timers; a message to oneself is not held up. */
function sendBack(done: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    done();
  };
  port2.postMessage(null);
}
