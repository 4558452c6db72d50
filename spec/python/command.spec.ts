/** The command on files of Python's own safetensors: the average is numpy's, in every dtype. */
import { assert } from 'chai';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { runCommand } from '../support/command.js';
import { inFolder } from '../support/handlers.js';

describe('tfjs-swa average, of files of Python', () => {
  it("is numpy's, and Python opens it", () =>
    inFolder(async (folder) => {
      const python = (command: string): void => {
        const script = path.join(import.meta.dirname, 'command.py');
        const interpreter = process.env['SAFETENSORS_PYTHON'] ?? 'python3';
        const run = spawnSync(interpreter, [script, command, folder], { encoding: 'utf8' });
        assert.equal(run.status, 0, run.stderr || run.error?.message);
      };
      python('write');
      const files = ['a', 'b', 'c'].map((name) => `${name}.safetensors`);
      const args = ['average', ...files, '--out', 'mean.safetensors', '--weights', '3,1,2'];
      const ran = await runCommand(args, { cwd: folder });
      assert.equal(ran.code, 0, ran.stderr);
      python('check');
    }));
});
