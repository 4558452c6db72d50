/**
 * `tfjs-swa average` of ten files against copying them, and against Python's safetensors with numpy,
 * each a process from its start to its end. It measures memory too, and compares the values.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { runCommand, safetensors, SAY_MEMORY, stored } from '../spec/support/command.js';
import { compare, type Row } from './measure.js';

const FILES = 10;
/** How many tensors a file has. */
const TENSORS = 16;

const python = process.env['SAFETENSORS_PYTHON'] ?? 'python3';
const script = path.join(import.meta.dirname, 'average.py');
const hasPython = (): boolean =>
  spawnSync(python, ['-c', 'import numpy, safetensors.numpy']).status === 0;

/**
 * @param megabytes Of one file.
 * @returns Rows; those of Python are left out, with a warning, where it lacks safetensors and numpy.
 */
export async function benchCommand(megabytes: number, rounds: number): Promise<Row[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));
  const run = promisify(execFile);
  const at = (name: string): string => path.join(folder, name);
  try {
    const files = Array.from({ length: FILES }, (_, i) => at(`${i}.safetensors`));
    for (const file of files) {
      const values = (): Float32Array =>
        new Float32Array((megabytes * 1e6) / 4 / TENSORS).map(Math.random);
      const tensors = Array.from(
        { length: TENSORS },
        (_, i) => [`w${i}`, stored('F32', values())] as const,
      );
      writeFileSync(file, safetensors(Object.fromEntries(tensors)));
    }
    const average = async (node: string[] = []): Promise<string> => {
      const args = ['average', ...files, '--out', at('mean')];
      const { code, stderr } = await runCommand(args, { node });
      if (code !== 0) throw new Error(stderr);
      return stderr;
    };
    const peak = Number((await average(SAY_MEMORY)).trimEnd().split('\n').at(-1));
    mkdirSync(at('copies'));
    const copy = () => run('cp', [...files, at('copies')]);
    const what = `tfjs-swa average, ${FILES} files of ${megabytes} MB (peak ${peak.toFixed(0)} MB, Node's own included)`;
    const row = async (against: string, reference: () => Promise<unknown>): Promise<Row> => ({
      backend: 'none',
      what,
      against,
      ...(await compare(() => average(), reference, rounds)),
    });
    const rows = [await row('cp', copy)];
    if (!hasPython()) {
      console.warn(`${python} has no safetensors and numpy: their row is left out`);
      return rows;
    }
    rows.push(
      await row('numpy, safetensors', () =>
        run(python, [script, 'average', at('numpy'), ...files]),
      ),
    );
    const { stdout } = await run(python, [script, 'compare', at('mean'), at('numpy')]);
    const difference = Number(stdout);
    console.error(`tfjs-swa average and numpy differ by ${difference}, relative to the values`);
    if (!(difference <= 1e-7)) throw new Error(`The averages differ by ${stdout}`);
    if (readFileSync(at('mean')).length < megabytes * 1e6) throw new Error('It is no average');
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
