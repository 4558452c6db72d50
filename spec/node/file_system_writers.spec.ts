/** `fileSystem` beside others: saves that wait, other writers, links, pipes, permissions, names. */
import { assert } from 'chai';
import { build } from 'esbuild';
import { deepStrictEqual } from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { loadStateDict, saveStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { NOBODY, numberIn, saveInChild, saveNumber, withFs } from '../support/files.js';
import { inFolder } from '../support/handlers.js';
import { assertFails } from '../support/support.js';

/** A state of one tensor. */
const filled = (value: number, length = 1000) => ({
  x: {
    name: 'x',
    dtype: 'float32' as const,
    shape: [length],
    values: new Float32Array(length).fill(value),
  },
});

/** The names in a folder that a save writes aside under. */
const strays = (folder: string): string[] =>
  fs.readdirSync(folder).filter((name) => name.startsWith('.tfjs-swa.'));

describe('saves to one path', () => {
  it('hold what the arrays held at the call, whatever becomes of them: the first, and one that waits', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'state');
      const state = filled(1);
      const first = saveStateDict(fileSystem(file), state);
      state.x.values.fill(2);
      const second = saveStateDict(fileSystem(path.join(folder, 'other')), state);
      const third = saveStateDict(fileSystem(file), state);
      state.x.values.fill(3);
      await first;
      deepStrictEqual(await loadStateDict<unknown>(fileSystem(file)), filled(1));
      await third;
      deepStrictEqual(await loadStateDict<unknown>(fileSystem(file)), filled(2));
      await second;
    }));

  it('that wait give way to the last of them, which answers for all', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'state');
      let renames = 0;
      await withFs(
        fs.promises,
        'rename',
        (original) => async (from: string, to: string) => {
          renames += 1;
          return original(from, to);
        },
        async () => {
          const saves = Array.from({ length: 30 }, async (_, n) => {
            const done = saveNumber(file, n);
            assert.isAtMost(strays(folder).length, 2, 'one is written and one waits');
            await done;
            return numberIn(file);
          });
          const [first, ...others] = await Promise.all(saves);
          assert.include([0, 29], first);
          assert.deepEqual(new Set(others), new Set([29]), 'answered when the last is there');
        },
      );
      assert.equal(renames, 2);
      assert.deepEqual(fs.readdirSync(folder), ['state']);
    }));

  it('that wait for one that fails take place, and fail together if theirs fails', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'state');
      for (const failing of [0, 1]) {
        let renames = 0;
        await withFs(
          fs.promises,
          'rename',
          (original) => async (from: string, to: string) => {
            if (renames++ === failing) throw new Error('injected');
            return original(from, to);
          },
          async () => {
            const saves = [1, 2, 3].map((n) => saveNumber(file, n));
            const outcomes = await Promise.allSettled(saves);
            const expected = [0, 1, 1].map((turn) => (turn === failing ? 'rejected' : 'fulfilled'));
            assert.deepEqual(
              outcomes.map(({ status }) => status),
              expected,
            );
          },
        );
        assert.equal(await numberIn(file), failing === 0 ? 3 : 1);
        assert.deepEqual(strays(folder), []);
      }
    }));

  it('by links to it are in one line', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'state');
      fs.symlinkSync('state', path.join(folder, 'link'));
      await Promise.all(
        Array.from({ length: 9 }, (_, n) =>
          saveNumber(n % 2 ? file : path.join(folder, 'link'), n),
        ),
      );
      assert.equal(await numberIn(file), 8);
    }));

  it('of two copies of the module, CommonJS and ES, leave one another alone and are in one line', () =>
    inFolder(async (folder) => {
      const outfile = path.join(folder, 'copy.cjs');
      await build({
        entryPoints: [path.join(import.meta.dirname, '../../lib/node.ts')],
        outfile,
        bundle: true,
        platform: 'node',
        format: 'cjs',
        logLevel: 'silent',
      });
      const copy = createRequire(import.meta.url)(outfile) as { fileSystem: typeof fileSystem };
      const file = path.join(folder, 'state');
      for (let i = 0; i < 10; i++) {
        await Promise.all([
          saveStateDict(fileSystem(file), filled(i, 1e6)),
          saveStateDict(copy.fileSystem(file), filled(i + 1)),
        ]);
        deepStrictEqual(await loadStateDict<unknown>(fileSystem(file)), filled(i + 1));
      }
      assert.deepEqual(strays(folder), []);
    }));
});

describe('files that others wrote aside', () => {
  const start = (pid: number): string =>
    fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').split(' ')[20]!;
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const yesterday = Date.now() / 1000 - 25 * 60 * 60;

  /** What this process calls its own: the digest of the target's name, and of where it runs. */
  const own = async (): Promise<{ target: string; place: string; name: string }> =>
    inFolder(async (folder) => {
      const saving = saveNumber(path.join(folder, 'state'), 1);
      const [name] = strays(folder);
      await saving;
      const [, target, place, pid, started] =
        /^\.tfjs-swa\.(\w{16})\.(\w{16})-(\d+)-(\d+)\.\w{16}\.tmp$/.exec(name!)!;
      assert.deepEqual([Number(pid), started], [process.pid, start(process.pid)]);
      return { target: target!, place: place!, name: name! };
    });

  type Made = (own: { target: string; place: string; name: string }) => string;
  const by = (owner: (place: string) => string): Made => {
    return ({ target, place }) => `.tfjs-swa.${target}.${owner(place)}.0123456789abcdef.tmp`;
  };
  const elsewhere = (): string => `0123456789abcdef-${dead}-1`;
  const cases: [what: string, name: Made, old: boolean, cleared: boolean][] = [
    ['of a process that is gone', by((place) => `${place}-${dead}-1`), false, true],
    ['of this process', ({ name }) => name, false, false],
    ['of this process, a day old', ({ name }) => name, true, false],
    [
      'of another that lives, a day old',
      by((place) => `${place}-${process.ppid}-${start(process.ppid)}`),
      true,
      false,
    ],
    ['of one that had the number of ours before', by((p) => `${p}-${process.pid}-1`), false, true],
    ['of another machine or container', by(elsewhere), false, false],
    ['of another machine or container, a day old', by(elsewhere), true, true],
    ['of nobody knows whom', by(() => 'unknown'), false, false],
    ['of nobody knows whom, a day old', by(() => 'unknown'), true, true],
    [
      'of another path',
      ({ place }) => `.tfjs-swa.0123456789abcdef.${place}-${dead}-1.0123456789abcdef.tmp`,
      true,
      false,
    ],
    ["that is the user's", ({ target }) => `.tfjs-swa.${target}.notes.tmp`, true, false],
  ];
  for (const [what, name, old, cleared] of cases) {
    it(`are ${cleared ? 'cleared' : 'left'}: ${what}`, () =>
      inFolder(async (folder) => {
        const stray = path.join(folder, name(await own()));
        fs.writeFileSync(stray, '');
        if (old) fs.utimesSync(stray, yesterday, yesterday);
        await saveNumber(path.join(folder, 'state'), 1);
        assert.equal(fs.existsSync(stray), !cleared);
      }));
  }

  it("are left: of another user's process that lives", () =>
    inFolder(async (folder) => {
      // Process 1 is root's, so a signal to it is not permitted to nobody.
      const name = by((place) => `${place}-1-${start(1)}`)(await own());
      const states = path.join(folder, 'states');
      fs.mkdirSync(states);
      fs.writeFileSync(path.join(states, name), '');
      for (const open of [folder, states]) fs.chmodSync(open, 0o777);
      const said = await saveInChild(folder, `${path.join(states, 'state')} ${NOBODY}`);
      assert.equal(said, '');
      assert.sameMembers(fs.readdirSync(states), [name, 'state']);
    }));

  it('do not keep a save from a folder that cannot be listed', () =>
    inFolder(async (folder) => {
      const states = path.join(folder, 'states');
      fs.mkdirSync(states);
      fs.chmodSync(folder, 0o755);
      fs.chmodSync(states, 0o333);
      const said = await saveInChild(folder, `${path.join(states, 'state')} ${NOBODY}`);
      assert.equal(said, '');
      fs.chmodSync(states, 0o755);
      assert.deepEqual(fs.readdirSync(states), ['state']);
    }));

  it('give up their age to the clock of the file system, not to ours', () =>
    inFolder(async (folder) => {
      const stray = path.join(folder, by(elsewhere)(await own()));
      fs.writeFileSync(stray, '');
      const { now } = Date;
      Date.now = () => now() + 48 * 60 * 60 * 1000;
      try {
        await saveNumber(path.join(folder, 'state'), 1);
      } finally {
        Date.now = now;
      }
      assert.isTrue(fs.existsSync(stray));
    }));
});

describe('a save to a path of any kind', () => {
  it('follows a dangling link, over links and folders, and leaves it a link', () =>
    inFolder(async (folder) => {
      const [link, second] = [path.join(folder, 'link'), path.join(folder, 'second')];
      fs.symlinkSync('second', link);
      fs.symlinkSync(path.join(folder, 'new', 'state'), second);
      await assertFails(() => saveNumber(link, 1), /^Cannot save .*link: there is no folder /);
      await fileSystem(link, { createFolder: true }).save!({ modelTopology: { n: 2 } });
      assert.equal(await numberIn(path.join(folder, 'new', 'state')), 2);
      assert.isTrue([link, second].every((name) => fs.lstatSync(name).isSymbolicLink()));
      assert.equal(await numberIn(link), 2);
      assert.sameMembers(fs.readdirSync(folder), ['link', 'second', 'new']);
    }));

  it('refuses links that lead in a circle', () =>
    inFolder(async (folder) => {
      const link = path.join(folder, 'link');
      fs.symlinkSync('link', link);
      const message = `${link}: its symbolic links lead in a circle`;
      await assertFails(() => saveNumber(link, 1), `Cannot save ${message}`);
      await assertFails(() => numberIn(link), `Cannot load ${message}`);
    }));

  it('refuses a pipe at once, and so does a load', () =>
    inFolder(async (folder) => {
      const pipe = path.join(folder, 'pipe');
      execFileSync('mkfifo', [pipe]);
      await assertFails(() => saveNumber(pipe, 1), `Cannot save ${pipe}: it is no file`);
      await assertFails(() => numberIn(pipe), `Cannot load ${pipe}: it is no file`);
      assert.isTrue(fs.statSync(pipe).isFIFO());
    }));

  it('takes every name that a file can have', () =>
    inFolder(async (folder) => {
      // 255 bytes each, which is what Linux allows.
      for (const name of ['a'.repeat(255), 'ü'.repeat(127) + '\n', '$(x) "\'*'.padEnd(255, '.')]) {
        assert.equal(Buffer.byteLength(name), 255);
        await saveNumber(path.join(folder, name), 1);
        await saveNumber(path.join(folder, name), 2);
        assert.equal(await numberIn(path.join(folder, name)), 2);
      }
      assert.lengthOf(fs.readdirSync(folder), 3);
      await assertFails(
        () => saveNumber(path.join(folder, 'a'.repeat(256)), 1),
        /: its name is too/,
      );
    }));

  it("shows nobody what it writes before it is the file; then it is the file's mode, or umask's", () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'state');
      const modes: number[] = [];
      const watched = async (n: number): Promise<void> =>
        withFs(
          fs,
          'writeSync',
          (original) =>
            (...args: Parameters<typeof original>) => {
              for (const name of strays(folder)) {
                modes.push(fs.statSync(path.join(folder, name)).mode & 0o777);
              }
              return original(...args);
            },
          () => saveNumber(file, n),
        );
      const mask = process.umask(0o027);
      try {
        await watched(1);
        assert.equal(fs.statSync(file).mode & 0o777, 0o640, '0o666 without 0o027');
        fs.chmodSync(file, 0o664);
        await watched(2);
        assert.equal(fs.statSync(file).mode & 0o777, 0o664);
      } finally {
        process.umask(mask);
      }
      assert.isAbove(modes.length, 1);
      assert.deepEqual(new Set(modes), new Set([0o600]));
      assert.deepEqual(fs.readdirSync(folder), ['state']);
    }));
});
