/**
 * The worker processes: a number of them, replaced where one ends, all ended at the end. It knows
 * nothing of what they do.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** How many may end at their start, one after another, before it is no use to start more. */
const PATIENCE = 5;

export class WorkerProcesses {
  /** Processes that ended by SIGKILL. */
  killed = 0;
  private readonly children = new Set<ChildProcess>();
  private stopping = false;
  private vain = 0;

  /**
   * @param script What each runs.
   * @param onNews Told when one ended and another takes its place.
   * @param onFailure Told when they end as soon as they begin.
   */
  constructor(
    count: number,
    private readonly script: string,
    private readonly args: readonly string[],
    private readonly onNews: (line: string) => void,
    private readonly onFailure: (error: Error) => void,
  ) {
    for (let i = 0; i < count; i++) this.start();
  }

  /** Ends all, at once: whatever they were at can be gone on with. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(
      [...this.children].map(async (child) => {
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }),
    );
  }

  private start(): void {
    const started = Date.now();
    // A group of its own: Ctrl-C is for us, and a worker ends when the channel to us closes.
    const child = fork(this.script, this.args, {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      detached: true,
    });
    this.children.add(child);
    child.once('exit', (code, signal) => {
      this.children.delete(child);
      if (this.stopping) return;
      if (signal === 'SIGKILL') this.killed += 1;
      this.vain = code !== null && Date.now() - started < 5000 ? this.vain + 1 : 0;
      if (this.vain === PATIENCE) {
        this.onFailure(
          new Error(`The worker processes end as soon as they begin (status ${code})`),
        );
        return;
      }
      this.onNews(`Worker process ${child.pid} ended (${signal ?? code}); another takes its place`);
      this.start();
    });
  }
}
