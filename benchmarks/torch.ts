/** The same average in PyTorch, in a process that lives as long as the comparison. */
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Peers } from './average.js';

const python = process.env['PYTHON'] ?? 'python3';

/** Whether `import torch` works; the environment variable PYTHON names another interpreter. */
export const hasTorch = (): boolean => spawnSync(python, ['-c', 'import torch']).status === 0;

/** torch's AveragedModel of tensors of the shapes, as documented and with its fastest function. */
export async function startTorch(shapes: readonly number[][]): Promise<Peers> {
  const script = path.join(import.meta.dirname, 'averaged_model.py');
  const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  // Who asks next hears of it.
  for (const end of [child, child.stdin]) end.on('error', () => child.kill());
  const ask = async <T>(line: string): Promise<T> => {
    child.stdin.write(`${line}\n`);
    const answer = await lines.next();
    if (answer.done) throw new Error('averaged_model.py ended');
    return JSON.parse(answer.value) as T;
  };
  const { version, names } = await ask<{ version: string; names: string[] }>(
    JSON.stringify(shapes),
  );
  return {
    list: names.map((name) => ({
      against: `torch ${version} ${name}, 1 thread`,
      update: async () => ({ overriddenDuration: await ask<number>(name) }),
    })),
    stop: () => child.stdin.end(),
  };
}
