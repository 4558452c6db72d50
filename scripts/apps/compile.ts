/** Compiles a program of an app as a strict user does, the declarations of the package included. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { bin } from './app.js';

/** Throws the errors in the program and in our declarations; those in tfjs's own are not ours. */
export function compile(folder: string, what: string, file: string, ...options: string[]): void {
  console.log(`- ${what}, ${path.extname(file)}`);
  const strict = ['--strict', '--target', 'es2022', '--skipLibCheck', 'false', '--pretty', 'false'];
  const { stdout } = spawnSync(bin('tsc'), [...options, ...strict, file], {
    cwd: folder,
    encoding: 'utf8',
  });
  const errors = stdout
    .split('\n')
    .filter((line) => line.includes('error TS') && !/node_modules.(?!tfjs-swa.)/.test(line));
  if (errors.length > 0) throw new Error(errors.join('\n'));
}
