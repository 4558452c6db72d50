/** The same average in PyTorch, on the same machine, right after ours. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { Row } from './measure.js';

const python = process.env['PYTHON'] ?? 'python3';

/** Whether `import torch` works; the environment variable PYTHON names another interpreter. */
export const hasTorch = (): boolean => spawnSync(python, ['-c', 'import torch']).status === 0;

/** The row of ours against torch's AveragedModel, as documented and with its fastest function. */
export function benchTorch(row: Row, shapes: readonly number[][], rounds: number): Row[] {
  const { stdout, stderr, status } = spawnSync(
    python,
    [path.join(import.meta.dirname, 'averaged_model.py')],
    { input: JSON.stringify({ shapes, rounds }), encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`averaged_model.py fails: ${stderr}`);
  const { version, ms } = JSON.parse(stdout) as { version: string; ms: Record<string, number> };
  // The goal is for the backend that, like torch at one thread, has SIMD and one thread.
  const goal = row.backend === 'wasm' ? { goal: 1 } : {};
  return Object.entries(ms).map(([name, againstValue]) => ({
    backend: row.backend,
    what: row.what,
    value: row.value,
    unit: row.unit,
    against: `torch ${version} ${name}, 1 thread`,
    againstValue,
    ratio: row.value / againstValue,
    ...goal,
  }));
}
