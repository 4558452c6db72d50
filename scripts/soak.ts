/** The specs that try at random, for as long as one likes to wait: 1,000 kills, 1,000,000 inputs. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const { status } = spawnSync(
  process.execPath,
  [
    path.join('node_modules', 'mocha', 'bin', 'mocha.js'),
    ...['kill', 'checkpoint_fuzz', 'checkpoint_damage'].map((name) => `spec/node/${name}.spec.ts`),
  ],
  {
    cwd: path.dirname(import.meta.dirname),
    stdio: 'inherit',
    env: { ...process.env, SOAK: 'true' },
  },
);
process.exitCode = status ?? 1;
