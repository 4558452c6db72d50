/** Shows how far the work is: a bar on a terminal, else plain lines. It knows nothing of the work. */
import cliProgress from 'cli-progress';
import type { WriteStream } from 'node:tty';

export interface Progress {
  /** So much of the total is done, and this is what was just done. */
  advance(amount: number, text: string): void;
  /** Ends the display; the cursor is on a line of its own. */
  stop(): void;
}

/**
 * Starts a display.
 *
 * @param total What the amounts sum up to, in seconds.
 * @param done How much of it was done before.
 */
export function startProgress(
  total: number,
  done = 0,
  stream: NodeJS.WriteStream = process.stderr,
): Progress {
  return isTerminal(stream) ? bar(total, done, stream) : lines(total, done, stream);
}

function bar(total: number, done: number, stream: WriteStream): Progress {
  const display = new cliProgress.SingleBar(
    {
      format: '{bar} {percentage}% | {text}',
      barsize: 10,
      hideCursor: true,
      gracefulExit: false, // main.ts handles signals
      stream,
    },
    cliProgress.Presets.shades_classic,
  );
  // A hair less, since the amounts are rounded fractions whose sum may stay below the total.
  display.start(total * (1 - 1e-9), done, { text: 'starting' });
  let running = true;
  return {
    advance: (amount, text) => display.increment(amount, { text }),
    stop() {
      if (running) display.stop();
      running = false;
    },
  };
}

function lines(total: number, done: number, stream: NodeJS.WritableStream): Progress {
  return {
    advance(amount, text) {
      done += amount;
      const percent = Math.min(100, Math.round((100 * done) / total));
      stream.write(`${String(percent).padStart(3)}% | ${text}\n`);
    },
    stop() {},
  };
}

function isTerminal(stream: NodeJS.WriteStream): stream is WriteStream {
  return stream.isTTY;
}
