/**
 * Drives a run from the page: one worker at a time, and where its backend stops, the next one's. It
 * knows nothing of training or of what the page looks like.
 */
import type { Images } from '../demo/data.js';
import type { ErrorPlane } from './error_plane.js';
import type { News, Order } from './messages.js';
import { claimStorage } from './only_tab.js';
import type { Checkpoint } from './run.js';
import { BACKEND_NAMES, BACKENDS, type BackendName, type Settings } from './settings.js';
import { forget } from './store.js';
import type { Uncertainty } from './uncertainty.js';
import type { Windows } from './windows.js';

/** All that the page shows of a run. */
export interface State {
  /** `offered`: a run that was cut short waits to be gone on with. */
  phase:
    | 'idle'
    | 'offered'
    | 'starting'
    | 'training'
    | 'choosing'
    | 'sampling'
    | 'measuring'
    | 'done'
    | 'failed';
  paused: boolean;
  settings: Settings | null;
  /** What runs, or is about to. */
  backend: BackendName | null;
  /** The run after its last whole epoch. */
  checkpoint: Checkpoint | null;
  /** Steps of the run that are done. */
  done: number;
  ten: Images | null;
  windows: Windows | null;
  uncertainty: Uncertainty | null;
  plane: ErrorPlane | null;
}

/** Nothing runs. */
export const IDLE: State = {
  phase: 'idle',
  paused: false,
  settings: null,
  backend: null,
  checkpoint: null,
  done: 0,
  ten: null,
  windows: null,
  uncertainty: null,
  plane: null,
};

/** One run and what drives it. */
export class Driver {
  private state = IDLE;
  private worker: Worker | null = null;
  /** Whether this tab keeps checkpoints. */
  private keeps = false;
  /** Whether it was said that they are not: once is enough. */
  private saidStorage = false;

  /**
   * @param show Told the state whenever it changes.
   * @param say Told in a sentence what a person should know.
   */
  constructor(
    private readonly show: (state: State) => void,
    private readonly say: (line: string) => void,
  ) {}

  /** Offers to go on with a run that was cut short, or, where there is none, starts one. */
  async open(settings: Settings): Promise<void> {
    this.keeps = await claimStorage();
    if (this.state !== IDLE) return; // started by hand in the meantime
    if (!this.keeps) {
      this.say('Another tab has this page open: this one keeps no checkpoints.');
      return this.start(settings);
    }
    const checkpoint = await this.find();
    if (!checkpoint) return this.start(settings);
    const { epoch, backend } = checkpoint;
    this.change({ ...IDLE, phase: 'offered', settings: checkpoint.settings, backend, checkpoint });
    this.say(
      `A run was cut short after epoch ${epoch} of ${checkpoint.settings.epochs}, on ` +
        `${BACKEND_NAMES[backend]}: go on with it, or start afresh.`,
    );
  }

  /** Starts a run, in place of the one that there may be. */
  async start(settings: Settings): Promise<void> {
    this.stop();
    this.change({ ...IDLE, phase: 'starting', settings });
    const mine = this.state;
    await this.forget();
    if (this.state !== mine) return; // started or reset again in the meantime
    this.runOn(settings.backend === 'best' ? BACKENDS[0] : settings.backend);
  }

  pause(): void {
    if (!this.worker || this.state.paused) return;
    this.order({ type: 'pause' });
    this.change({ paused: true });
  }

  /** Goes on after a pause, or with the run that is offered. */
  resume(): void {
    if (this.state.phase === 'offered') {
      this.runOn(this.state.checkpoint!.backend);
    } else if (this.worker) {
      this.order({ type: 'resume' });
      this.change({ paused: false });
    }
  }

  /** Stops the run and forgets it. */
  async reset(): Promise<void> {
    this.stop();
    this.change(IDLE);
    await this.forget();
  }

  private change(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    this.show(this.state);
  }

  private find(): Promise<Checkpoint | null> {
    return new Promise((resolve) => {
      this.work((news) => {
        if (news.type === 'found') resolve(news.checkpoint);
        else if (news.type === 'storage') this.storage(news.problem);
        else if (news.type === 'stopped') resolve(null);
      });
      this.order({ type: 'find' });
    });
  }

  /** Starts the run, or goes on with it from its last whole epoch, on a backend. */
  private runOn(backend: BackendName): void {
    const { settings, checkpoint, paused } = this.state;
    this.change({ phase: 'starting', backend });
    this.work((news) => this.hear(news));
    const { keeps } = this;
    this.order({ type: 'run', backend, settings: settings!, from: checkpoint, keeps });
    if (paused) this.order({ type: 'pause' });
  }

  private hear(news: News): void {
    if (news.type === 'started') {
      this.change({ ten: news.ten });
    } else if (news.type === 'epoch') {
      const { checkpoint } = news;
      const { epoch, settings } = checkpoint;
      if (this.state.phase === 'starting') this.sayStarted(epoch);
      this.change({ phase: epoch === settings.epochs ? 'choosing' : 'training', checkpoint });
    } else if (news.type === 'step') {
      this.change({ done: news.done });
    } else if (news.type === 'windows') {
      const { windows } = news;
      this.change({ windows, ...(windows.chosen !== null && { phase: 'sampling' }) });
    } else if (news.type === 'uncertainty') {
      if (news.problem) this.say(news.problem);
      this.change({ phase: 'measuring', uncertainty: news.uncertainty });
    } else if (news.type === 'plane') {
      this.change({ plane: news.plane });
    } else if (news.type === 'storage') {
      this.storage(news.problem);
    } else if (news.type === 'stopped') {
      this.fallBack(news.reason);
    } else if (news.type === 'failed') {
      this.fail(news.reason);
    } else if (news.type === 'finished') {
      this.stop();
      if (news.problem) this.say(news.problem);
      this.change({ phase: 'done', paused: false, plane: news.plane });
    }
  }

  private sayStarted(epoch: number): void {
    const name = BACKEND_NAMES[this.state.backend!];
    this.say(epoch === 0 ? `It trains on ${name}.` : `It goes on after epoch ${epoch} on ${name}.`);
  }

  private fallBack(reason: string): void {
    this.stop();
    const { backend, phase } = this.state;
    const name = BACKEND_NAMES[backend!];
    const what = phase === 'starting' ? 'does not start' : 'stopped';
    const next = BACKENDS[BACKENDS.indexOf(backend!) + 1];
    if (!next) {
      this.fail(`${name} ${what}: ${reason}. No other backend is left.`);
      return;
    }
    this.say(`${name} ${what}: ${reason}. ${BACKEND_NAMES[next]} is next.`);
    this.runOn(next);
  }

  private fail(reason: string): void {
    this.stop();
    this.say(reason);
    this.change({ phase: 'failed', paused: false });
  }

  private storage(problem: string): void {
    if (this.saidStorage) return;
    this.saidStorage = true;
    this.say(
      `The browser keeps no checkpoint (${problem}): the run goes on, but a reload loses what it ` +
        'has learnt.',
    );
  }

  private async forget(): Promise<void> {
    if (!this.keeps) return;
    await forget().catch((error: unknown) => this.storage(String(error)));
  }

  private work(hear: (news: News) => void): void {
    this.stop();
    const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    worker.addEventListener('message', ({ data }: MessageEvent<News>) => {
      if (worker === this.worker) hear(data);
    });
    worker.addEventListener('error', ({ message }) => {
      if (worker === this.worker) hear({ type: 'stopped', reason: message || 'its worker failed' });
    });
    this.worker = worker;
  }

  private order(order: Order): void {
    this.worker!.postMessage(order);
  }

  private stop(): void {
    this.worker?.terminate();
    this.worker = null;
  }
}
