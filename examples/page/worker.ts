/** The worker: trains as it is told and reports. It knows nothing of what the page looks like. */
import { loadStateDict, saveStateDict } from 'tfjs-swa';
import { breathe } from '../demo/breathe.js';
import { startBackend } from './backend.js';
import { measurePlane, NoPlane } from './error_plane.js';
import { fetchImages, oneOfEach } from './images.js';
import type { News, Order } from './messages.js';
import { stepsPerEpoch } from './rates.js';
import { startRun, VERSION, type Checkpoint, type Run } from './run.js';
import { forget, isKept, store } from './store.js';
import { measureUncertainty, NoSamples } from './uncertainty.js';
import { measureWindows } from './windows.js';

let goOn: (() => void) | null = null;
let paused: Promise<void> | null = null;

self.addEventListener('message', ({ data }: MessageEvent<Order>) => {
  if (data.type === 'find') void find();
  else if (data.type === 'run') void run(data);
  else if (data.type === 'pause') paused ??= new Promise((resolve) => (goOn = resolve));
  else {
    goOn?.();
    paused = null;
  }
});

function tell(news: News): void {
  self.postMessage(news);
}

async function find(): Promise<void> {
  let checkpoint: Checkpoint | null = null;
  try {
    if (await isKept()) checkpoint = await loadStateDict<Checkpoint>(store);
    // One that another version of the page left is of no use.
    if (checkpoint?.version !== VERSION) checkpoint = null;
  } catch (error) {
    tell({ type: 'storage', problem: messageOf(error) });
  }
  tell({ type: 'found', checkpoint });
}

async function run(order: Order & { type: 'run' }): Promise<void> {
  let lost = new Promise<string>(() => {});
  try {
    const backend = await startBackend(order.backend);
    ({ lost } = backend);
    void lost.then((reason) => tell({ type: 'stopped', reason }));
    const images = await fetchImages().catch((error: unknown) => {
      tell({ type: 'failed', reason: `The images do not load: ${messageOf(error)}.` });
    });
    if (!images) return;
    tell({ type: 'started', ten: oneOfEach(images.test) });
    const run = await startRun(order.settings, order.backend, images, order.from);
    await train(run, order.keeps);
  } catch (error) {
    // Where the GPU is gone its work fails first, and for reasons that say less.
    const soon = new Promise<null>((resolve) => setTimeout(() => resolve(null), 200));
    if ((await Promise.race([lost, soon])) === null) {
      tell({ type: 'stopped', reason: messageOf(error) });
    }
  }
}

async function train(run: Run, keeps: boolean): Promise<void> {
  const { settings } = run;
  const steps = stepsPerEpoch(settings);
  let checkpoint = await run.checkpoint();
  tell({ type: 'epoch', checkpoint });
  while (run.epoch() < settings.epochs) {
    await run.advance(async (step) => {
      tell({ type: 'step', done: run.epoch() * steps + step });
      await pause();
    });
    checkpoint = await run.checkpoint();
    await breathe(); // a loss of the GPU is told before what it spoiled
    tell({ type: 'epoch', checkpoint });
    if (keeps) await stored(() => saveStateDict(store, checkpoint));
    await pause();
  }
  const { windows, average } = await measureWindows(run, async (windows) => {
    tell({ type: 'windows', windows });
    await pause();
  });
  tell({ type: 'windows', windows });
  const window = { epochs: windows.chosen!, average };
  const [uncertainty, noSamples] = await unless(NoSamples, measureUncertainty(run, pause));
  tell({ type: 'uncertainty', uncertainty, problem: noSamples });
  const [plane, noPlane] = await unless(
    NoPlane,
    measurePlane(run, checkpoint, window, async (plane) => {
      tell({ type: 'plane', plane });
      await pause();
    }),
  );
  if (keeps) await stored(forget);
  tell({ type: 'finished', plane, problem: noPlane });
}

/** What comes out, or in words why there is nothing to measure. */
async function unless<T>(
  reason: new () => Error,
  work: Promise<T>,
): Promise<[outcome: T | null, problem: string | null]> {
  try {
    return [await work, null];
  } catch (error) {
    if (!(error instanceof reason)) throw error;
    return [null, error.message];
  }
}

/** Waits while the page says so. */
async function pause(): Promise<void> {
  while (paused) await paused;
}

async function stored(f: () => Promise<void>): Promise<void> {
  try {
    await f();
  } catch (error) {
    tell({ type: 'storage', problem: messageOf(error) });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message ? error.message : String(error);
}
