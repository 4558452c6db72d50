/** A Web Worker: trains as it is told, and posts what it made. It knows nothing of other workers. */
import { breathe } from '../demo/breathe.js';
import { startBackend } from '../page/backend.js';
import { fetchImages } from '../page/images.js';
import { LocalRun } from '../parallel/run.js';
import type { News, Order } from './messages.js';

const ready = startBackend('wasm').then(fetchImages);

self.addEventListener('message', ({ data }: MessageEvent<Order>) => {
  train(data).catch((error: Error) => {
    tell({ type: 'failed', id: data.task.id, reason: error.message });
  });
});

async function train({ task, start }: Order): Promise<void> {
  const { train } = await ready;
  const run = new LocalRun(task, train, start);
  try {
    while (run.epoch < task.epochs) {
      await run.advance(breathe);
      const { id, epoch, loss } = await run.state();
      tell({ type: 'epoch', id, epoch, loss });
    }
    tell({ type: 'done', id: task.id, state: await run.state() });
  } finally {
    run.dispose();
  }
}

function tell(news: News): void {
  self.postMessage(news);
}
