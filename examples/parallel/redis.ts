/**
 * A Redis server of one's own: a free port, a folder, append-only persistence; started again where it
 * ends by itself, stopped at the end. It knows nothing of queues.
 */
import { Redis } from 'ioredis';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { UsageError } from '../demo/options.js';
import { freePort } from './free_port.js';

/** How long a server may take to answer. */
const PATIENCE = 20_000;

export class RedisServer {
  private child: ChildProcess | null = null;
  private stopping = false;

  private constructor(
    private readonly folder: string,
    readonly port: number,
    private readonly onNews: (line: string) => void,
    private readonly onFailure: (error: Error) => void,
  ) {}

  /**
   * Starts a server with what an earlier one kept in the folder. One that was left there, because
   * whoever started it was killed, is ended before.
   *
   * @param onNews Told when the server ended by itself and is started again.
   * @param onFailure Told if it does not start again.
   * @throws UsageError where there is no `redis-server`.
   */
  static async start(
    folder: string,
    onNews: (line: string) => void,
    onFailure: (error: Error) => void,
  ): Promise<RedisServer> {
    mkdirSync(folder, { recursive: true });
    await endLeft(folder);
    const port = await freePort();
    const server = new RedisServer(path.resolve(folder), port, onNews, onFailure);
    try {
      await server.run();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Ends the server; all that it was told is in its file. */
  async stop(): Promise<void> {
    this.stopping = true;
    const { child } = this;
    const runs = child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
    if (!runs) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM'); // at which Redis writes what is left to write
    await ended;
  }

  private async run(): Promise<void> {
    const { folder, port } = this;
    const settings = {
      ...{ port, bind: '127.0.0.1', dir: folder, pidfile: path.join(folder, 'redis.pid') },
      ...{ logfile: path.join(folder, 'redis.log'), appendonly: 'yes', save: '' },
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    // A group of its own, for Ctrl-C is meant for us: the workers have to end first.
    const child = spawn('redis-server', args, { stdio: 'ignore', detached: true });
    this.child = child;
    let problem: Error | null = null;
    child.once('error', (error: NodeJS.ErrnoException) => {
      problem = error.code === 'ENOENT' ? missing() : error;
    });
    await pause(0); // spawn tells of a missing program in the next turn
    await answered(port, () => {
      if (problem) throw problem;
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`redis-server ended; ${path.join(folder, 'redis.log')} says why`);
      }
    });
    writeFileSync(path.join(folder, 'redis.port'), String(port));
    child.once('exit', (code, signal) => {
      if (this.stopping) return;
      this.onNews(`Redis ended (${signal ?? code}); it is started again from its file`);
      this.run().catch(this.onFailure);
    });
  }
}

/** The line that says how to get it. */
function missing(): UsageError {
  return new UsageError(
    'redis-server is not on the PATH (apt-get install -y redis-server, or brew install redis)',
  );
}

/** Ends a server that was left running on a folder: two on one file would spoil it. */
async function endLeft(folder: string): Promise<void> {
  const port = Number(textOf(path.join(folder, 'redis.port')));
  const pid = Number(textOf(path.join(folder, 'redis.pid')));
  if (!port || !pid || !isAlive(pid)) return;
  const client = connect(port);
  try {
    await client.connect();
    // The number may be another program's by now, and the port another server's.
    const [, dir] = (await client.config('GET', 'dir')) as string[];
    if (dir !== path.resolve(folder)) return;
    await client.shutdown().catch(() => {}); // it hangs up instead of answering
    for (const end = Date.now() + PATIENCE; isAlive(pid) && Date.now() < end;) await pause(20);
  } catch {
    // Nobody is there.
  } finally {
    client.disconnect();
  }
}

/** Waits until a server answers, its file read. */
async function answered(port: number, check: () => void): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end) {
    await pause(20);
    check();
    const client = connect(port);
    try {
      await client.connect();
      await client.ping();
      return;
    } catch {
      // Not yet.
    } finally {
      client.disconnect();
    }
  }
  throw new Error(`redis-server does not answer on port ${port}`);
}

function connect(port: number): Redis {
  const client = new Redis({
    ...{ host: '127.0.0.1', port, lazyConnect: true, maxRetriesPerRequest: 0 },
    retryStrategy: () => null, // one try
  });
  return client.on('error', () => {});
}

/** What a file holds; nothing if it is not there. */
export function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
