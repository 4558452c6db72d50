/**
 * What Redis has to carry for as many jobs as one likes, which train nothing: memory, file, commands
 * and bytes a job. `npx tsx examples/parallel/scale/redis.ts [--jobs N]`
 */
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { integer, readArguments } from '../../demo/options.js';
import { connectionTo, JobQueue, QUEUE, type Job, type JobResult } from '../queue.js';
import { RedisServer } from '../redis.js';

const EPOCHS = 10;
const given = readArguments(process.argv.slice(2), { jobs: { type: 'string' } });
const count = integer('jobs', given.jobs ?? '1000', 1, 100_000);
const fail = (error: Error) => process.stderr.write(`${error.message}\n`);

const folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-redis-'));
const server = await RedisServer.start(folder, () => {}, fail);
const client = new Redis(connectionTo(server.port));
const queue = new JobQueue(server.port);
const connection = connectionTo(server.port);
const fileOf = (id: string) => `${id}/epoch-0010.safetensors`;
const worker = new Worker<Job, JobResult>(
  QUEUE,
  async (job) => {
    for (let epoch = 1; epoch <= EPOCHS; epoch++) await job.updateProgress({ epoch, loss: 1 });
    return { file: fileOf(job.data.id), resumed: 0 };
  },
  { connection, concurrency: 100 },
);
try {
  const before = await figures();
  const start = performance.now();
  const jobs = Array.from({ length: count }, (_, k): Job => {
    const id = `seed1-round1-worker${k + 1}`;
    const task = { id, seed: 1, order: k, part: [0, 4000] as const, epochs: EPOCHS };
    return { ...task, from: 'seed1-start/epoch-0010.safetensors', kill: null };
  });
  let [ended, told] = [0, 0];
  const { signal } = new AbortController();
  await queue.finish(
    jobs,
    signal,
    () => (told += 1),
    async () => void (ended += 1),
  );
  const seconds = (performance.now() - start) / 1000;
  const after = await figures();
  const rows: [string, string][] = [
    [`${ended} jobs, ${EPOCHS} epochs each, ${told} times told`, `${seconds.toFixed(1)} s`],
    ...Object.entries(after).map(([name, value]): [string, string] => {
      return [`${name} a job`, ((value - before[name]!) / count).toFixed(1)];
    }),
  ];
  for (const [label, value] of rows) process.stdout.write(`${label.padEnd(48)}${value}\n`);
} finally {
  await worker.close(true);
  await queue.close();
  client.disconnect();
  await server.stop();
  rmSync(folder, { recursive: true });
}

/** What the server says of itself. */
async function figures(): Promise<Record<string, number>> {
  const info = await client.info();
  const of = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)![1]);
  const place = path.join(folder, 'appendonlydir');
  const sizes = readdirSync(place).map((name) => statSync(path.join(place, name)).size);
  return {
    'bytes of memory': of('used_memory'),
    'bytes of file': sizes.reduce((sum, size) => sum + size, 0),
    commands: of('total_commands_processed'),
    'bytes in': of('total_net_input_bytes'),
    'bytes out': of('total_net_output_bytes'),
  };
}
