/** Shows how far the work is: a bar on a terminal, else a line for each tenth. */
import type { Progress } from './average.js';
import { megabytes, printable } from './text.js';

/** A display that is running. */
export interface Display {
  readonly update: Progress;
  /** Ends it; the cursor is on a line of its own then. At any moment, from a signal too. */
  readonly stop: () => void;
}

/** Milliseconds between two looks of a bar. */
const INTERVAL = 100;

/** Starts a display. */
export async function startProgress(stream: NodeJS.WriteStream): Promise<Display> {
  return stream.isTTY ? bar(stream) : lines(stream);
}

async function bar(stream: NodeJS.WriteStream): Promise<Display> {
  // Only a terminal needs it.
  const { default: cliProgress } = await import('cli-progress');
  const display = new cliProgress.SingleBar({
    format: '{bar} {percentage}% | {of} | {tensor}',
    barCompleteChar: '\u2588',
    barIncompleteChar: '\u2591',
    barsize: 20,
    hideCursor: true,
    gracefulExit: false, // main.ts handles signals
    stream,
  });
  let next = 0;
  let isRunning = false;
  return {
    update(done, total, name) {
      const now = performance.now();
      if (now < next && done < total) return;
      next = now + INTERVAL;
      const texts = { of: megabytes(total), tensor: printable(name) };
      if (isRunning) display.update(done, texts);
      else display.start(total, done, texts);
      isRunning = true;
    },
    stop() {
      if (isRunning) display.stop();
      isRunning = false;
    },
  };
}

function lines(stream: NodeJS.WriteStream): Display {
  let tenths = 0;
  return {
    update(done, total, name) {
      const now = Math.floor((10 * done) / total);
      if (now === tenths) return;
      tenths = now;
      stream.write(`${String(10 * now).padStart(3)}% of ${megabytes(total)}, ${printable(name)}\n`);
    },
    stop: () => {},
  };
}
