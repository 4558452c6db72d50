/**
 * The page: hands each of its workers a task, and merges in their order what they post. It trains
 * nothing itself.
 */
import { assignWeights, averageOf, readWeights, type TensorData } from 'tfjs-swa';
import { evaluate, reestimate, trainableVariables } from '../demo/model.js';
import { startBackend } from '../page/backend.js';
import { fetchImages } from '../page/images.js';
import { OrderedMerge, type Merged } from '../parallel/merge.js';
import { imagesOf, newModel, type Task, type WorkerState } from '../parallel/run.js';
import type { News, Order } from './messages.js';

/** How many workers, epochs of each and of the start, and training images: `?workers=3&epochs=2`. */
const query = new URLSearchParams(location.search);
const numberOf = (name: string, usual: number, most: number): number => {
  const value = Number(query.get(name) ?? usual);
  return Number.isInteger(value) && value >= 1 && value <= most ? value : usual;
};
const [workers, epochs] = [numberOf('workers', 3, 16), numberOf('epochs', 4, 100)];
const [start, count] = [numberOf('start', 4, 100), numberOf('images', 4000, 4000)];
const SEED = 1;

const button = document.querySelector('button')!;
const list = document.querySelector('ul')!;
const status = document.querySelector('output')!;
button.addEventListener('click', () => {
  button.disabled = true;
  run().then(
    () => phase('done'),
    (error: Error) => phase('failed', error.message),
  );
});

/** A worker that is done ends, and so does its engine. */
function trained(order: Order, line: HTMLLIElement): Promise<WorkerState> {
  const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
  const state = new Promise<WorkerState>((resolve, reject) => {
    worker.addEventListener('error', ({ message }) => {
      reject(new Error(message || 'its script does not load'));
    });
    worker.addEventListener('message', ({ data }: MessageEvent<News>) => {
      if (data.type === 'failed') reject(new Error(data.reason));
      else if (data.type === 'done') resolve(data.state);
      else {
        const { epoch, loss } = data;
        line.textContent = `${data.id}: epoch ${epoch} of ${order.task.epochs}, loss ${loss.toFixed(3)}`;
      }
    });
  });
  worker.postMessage(order);
  return state.finally(() => worker.terminate());
}

async function run(): Promise<void> {
  phase('training', `One worker trains ${start} epochs, then ${workers} go on from there.`);
  const { train, test } = await fetchImages();
  await startBackend('wasm');
  const part: Task['part'] = [0, count];
  const task = { seed: SEED, part };
  const first = { ...task, id: 'start', order: 0, epochs: start };
  const begun = await trained({ task: first, start: null }, newLine(first.id));

  const model = newModel(SEED);
  const tasks = Array.from({ length: workers }, (_, k): Task => {
    return { ...task, id: `worker ${k + 1}`, order: k + 1, epochs };
  });
  const merge = new OrderedMerge(
    tasks.map(({ id }) => id),
    epochs,
    { model: await readWeights(model), average: trainableVariables(model) },
  );
  await Promise.all(
    tasks.map(async (task) => {
      const line = newLine(task.id);
      const state = trained({ task, start: begun.model }, line);
      await state.catch((error: Error) => (line.textContent = `${task.id}: ${error.message}`));
      await merge.put(task.id, () => state);
    }),
  );

  const merged = await merge.result();
  if (!merged.last || !merged.average) throw new Error('No worker is left to merge');
  const images = imagesOf(task, train);
  const errorOf = async (weights: TensorData[], averages: TensorData[]): Promise<string> => {
    assignWeights(model, weights);
    assignWeights(trainableVariables(model), averages);
    await reestimate(model, images);
    const { error } = await evaluate(model, test);
    return `test error ${error.toFixed(2)} %`;
  };
  newLine(`the start's average: ${await errorOf(begun.model, averageOf(begun.swa).weights)}`);
  newLine(`merged: ${await errorOf(merged.last, merged.average)}`);
  for (const { id, reason } of merged.leftOut) newLine(`left out ${id}: ${reason}`);
  status.textContent = `Merged ${merged.members.length} of ${workers}.`;
  Object.assign(window, { merged }); // for the console
  model.dispose();
}

function newLine(text: string): HTMLLIElement {
  const line = document.createElement('li');
  line.textContent = text;
  list.append(line);
  return line;
}

function phase(name: string, text = status.textContent): void {
  document.body.dataset['phase'] = name;
  status.textContent = text;
}

declare global {
  interface Window {
    /** What the last run merged. */
    merged?: Merged;
  }
}
