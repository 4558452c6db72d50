/** `fileSystem`: one file, whole at any moment, and errors that say what to do. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { deepStrictEqual } from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadStateDict, saveStateDict, SWA } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { NOBODY, numberIn, saveInChild, saveNumber, withFs } from '../support/files.js';
import { inFolder } from '../support/handlers.js';
import { assertFails, own } from '../support/support.js';

const { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } =
  fs;
const mebibyte = {
  modelTopology: { a: 1 },
  weightSpecs: [{ name: 'x', dtype: 'float32' as const, shape: [2 ** 18] }],
  weightData: new ArrayBuffer(2 ** 20),
};

const failure = (code: string): Error => Object.assign(new Error(`injected ${code}`), { code });

describe('fileSystem', () => {
  describe('keeps', () => {
    it("a model's artifacts: every dtype of tf.io, in one buffer or cut anywhere, and every field", () =>
      inFolder(async (folder) => {
        const fields = {
          modelTopology: { class_name: 'Model', 'ü \u{1F600}': [null, 1.5], $: { values: [1] } },
          trainingConfig: { optimizer_config: {}, loss: 'mse' },
          format: 'layers-model',
          generatedBy: 'spec',
          convertedBy: null,
          userDefinedMetadata: { a: {}, weight: 1, left: undefined as unknown as number },
        };
        const { left: _, ...userDefinedMetadata } = fields.userDefinedMetadata;
        const tensors = {
          bools: own(tf.tensor1d([true, false, true])),
          floats: own(tf.tensor([[1, NaN]])),
          text: own(tf.tensor(['ü', '', 'abc'], [3], 'string')),
          none: own(tf.zeros([0, 2])),
          complex: own(tf.complex([1, 2], [3, 4])),
          ints: own(tf.scalar(-7, 'int32')),
        };
        const { data, specs } = await tf.io.encodeWeights(tensors, 'model');
        const small = { name: 'small', shape: [2], dtype: 'float32' as const, group: 'optimizer' };
        const quantization = { dtype: 'uint8' as const, scale: 0.5, min: 1 };
        const weightSpecs = [...specs, { ...small, quantization }] as never;
        const whole = Uint8Array.of(...new Uint8Array(data), 2, 4).buffer;
        const handler = fileSystem(path.join(folder, 'all'));
        for (const weightData of [whole, [whole.slice(0, 5), whole.slice(5)]]) {
          const { modelArtifactsInfo } = await handler.save!({
            ...fields,
            weightSpecs,
            weightData,
          });
          deepStrictEqual(await handler.load!(), {
            ...fields,
            userDefinedMetadata,
            weightSpecs,
            weightData: whole,
          });
          const { weightDataBytes, modelTopologyBytes } = modelArtifactsInfo;
          assert.equal(weightDataBytes, whole.byteLength);
          assert.equal(modelTopologyBytes, Buffer.byteLength(JSON.stringify(fields.modelTopology)));
        }
        const { weights } = await loadStateDict<{ weights: unknown[] }>(handler);
        deepStrictEqual(weights.slice(0, 3), [
          { name: 'bools', dtype: 'bool', shape: [3], values: Uint8Array.of(1, 0, 1) },
          { name: 'floats', dtype: 'float32', shape: [1, 2], values: Float32Array.of(1, NaN) },
          {
            name: 'text',
            dtype: 'int32',
            shape: [17],
            // Three times a length and the bytes: 2, 0 and 3 of them.
            values: Int32Array.from([2, 0, 0, 0, 195, 188, 0, 0, 0, 0, 3, 0, 0, 0, 97, 98, 99]),
          },
        ]);
        await handler.save!({ modelTopology: {} });
        deepStrictEqual(await handler.load!(), { modelTopology: {} });
        await handler.save!({ modelTopology: {}, weightSpecs: [], weightData: [] });
        const empty = { modelTopology: {}, weightSpecs: [], weightData: new ArrayBuffer() };
        deepStrictEqual(await handler.load!(), empty);
      }));

    it('a tfjs-layers model, and its optimizer', () =>
      inFolder(async (folder) => {
        const layers = [tfl.layers.dense({ units: 2, inputShape: [3] })];
        const model = own(tfl.sequential({ layers }));
        model.compile({ optimizer: own(new SWA(tf.train.sgd(0.1))), loss: 'meanSquaredError' });
        const [x, y] = [own(tf.ones([4, 3])), own(tf.ones([4, 2]))];
        await model.fit(x, y, { epochs: 1, verbose: 0 });
        const handler = fileSystem(path.join(folder, 'model.safetensors'));
        await model.save(handler, { includeOptimizer: true });
        const loaded = own(await tfl.loadLayersModel(handler));
        own(loaded.optimizer);
        const values = (m: tfl.LayersModel): number[][] =>
          m.getWeights().map((weight) => [...weight.dataSync()]);
        deepStrictEqual(values(loaded), values(model));
        assert.equal(loaded.optimizer.getClassName(), 'SWA');
      }));

    it('a checkpoint under a path, a relative path, a file URL and a link', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'a b.safetensors');
        const link = path.join(folder, 'link.safetensors');
        await saveNumber(file, 1);
        symlinkSync('a b.safetensors', link);
        assert.equal(await numberIn(path.relative('.', file)), 1);
        await fileSystem(pathToFileURL(file)).save!({ modelTopology: { n: 2 } });
        assert.equal(await numberIn(link), 2);
        await saveNumber(link, 3);
        assert.isTrue(fs.lstatSync(link).isSymbolicLink(), 'the link is still one');
        assert.equal(await numberIn(file), 3);
        assert.sameMembers(readdirSync(folder), ['a b.safetensors', 'link.safetensors']);
      }));

    it('the permissions of the file', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'secret.safetensors');
        await saveNumber(file, 1);
        chmodSync(file, 0o600);
        await saveNumber(file, 2);
        assert.equal(statSync(file).mode & 0o777, 0o600);
      }));

    it('the state of the save that was called last, and leaves nothing else', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        const first = fileSystem(file).save!({ ...mebibyte, modelTopology: { n: 0 } });
        const saves = Array.from({ length: 20 }, async (_, n) => saveNumber(file, n + 1));
        await Promise.all([first, ...saves]);
        assert.equal(await numberIn(file), 20);
        assert.deepEqual(readdirSync(folder), ['state.safetensors']);
      }));

    it('going after a save that failed', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'new', 'state.safetensors');
        const failed = assertFails(() => saveNumber(file, 1), /there is no folder/);
        const second = fileSystem(file, { createFolder: true }).save!({ modelTopology: { n: 2 } });
        await Promise.all([failed, second]);
        assert.equal(await numberIn(file), 2);
      }));
  });

  describe('writes aside', () => {
    it('in this order: the file, its mode, its sync, its name, the sync of the folder', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        await saveNumber(file, 1);
        const events: string[] = [];
        let reading = false; // readFileSync calls closeSync itself
        const note = (what: string): void => {
          if (reading) return;
          events.push(what);
          const renamed = events.some((event) => event.startsWith('rename'));
          reading = true;
          const n = Number(/n\\":(\d)/.exec(readFileSync(file, 'latin1'))![1]);
          reading = false;
          assert.equal(n, renamed && !what.startsWith('rename') ? 2 : 1, 'what the path holds');
        };
        const noted =
          (what: string) =>
          (original: unknown) =>
          (...args: unknown[]): unknown => {
            note(what);
            return (original as (...args: unknown[]) => unknown)(...args);
          };
        const opened = (original: typeof fs.promises.open) =>
          (async (...args: Parameters<typeof original>) => {
            const handle = await original(...args);
            const sync = handle.sync.bind(handle);
            handle.sync = async () => {
              note(args[0] === folder ? 'sync the folder' : `sync ${String(args[0])}`);
              return sync();
            };
            return handle;
          }) as unknown;
        let run = (): Promise<unknown> => saveNumber(file, 2);
        for (const name of ['writeSync', 'fchmodSync', 'fsync', 'closeSync'] as const) {
          const inner = run;
          run = () => withFs(fs, name, noted(name), inner);
        }
        await withFs(fs.promises, 'open', opened, () =>
          withFs(fs.promises, 'rename', noted('rename'), run),
        );
        assert.deepEqual(
          events.filter((event, i) => event !== events[i - 1]),
          ['writeSync', 'fchmodSync', 'fsync', 'closeSync', 'rename', 'sync the folder'],
        );
      }));

    it('all of it where the system takes a part at a time', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        const weightData = Uint8Array.from({ length: 15 }, (_, i) => i).buffer;
        const weightSpecs = [3, 5, 7].map((length) => {
          return { name: `x${length}`, dtype: 'bool' as const, shape: [length] };
        });
        const artifacts = { modelTopology: {}, weightSpecs, weightData };
        type Write = (fd: number, bytes: Uint8Array, from: number, n: number, at: null) => number;
        const two = (original: unknown): Write => {
          const write = original as Write;
          return (fd, bytes, from, n, at) => write(fd, bytes, from, Math.min(n, 2), at);
        };
        await withFs(fs, 'writeSync', two, () => fileSystem(file).save!(artifacts));
        const part =
          (original: typeof fs.promises.open) =>
          async (...args: Parameters<typeof original>) => {
            const handle = await original(...args);
            const read = handle.read.bind(handle) as (...args: unknown[]) => Promise<unknown>;
            handle.read = (async (b: Uint8Array, offset: number, length: number, at: number) =>
              read(b, offset, Math.min(length, 2), at)) as never;
            return handle;
          };
        await withFs(fs.promises, 'open', part, async () =>
          deepStrictEqual(await fileSystem(file).load!(), artifacts),
        );
        await fileSystem(file).load!();
      }));
  });

  describe('says why it cannot save', () => {
    /** Saves over a file, expects the message, the old state and no other file. */
    const refused = (message: RegExp, f: (file: string) => Promise<unknown>): Promise<void> =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        await saveNumber(file, 'old');
        let error: Error | undefined;
        await f(file).catch((caught: Error) => (error = caught));
        assert.match(error?.message ?? 'nothing was refused', message);
        assert.include(error!.message, `Cannot save ${file}: `);
        assert.equal(await numberIn(file), 'old');
        assert.deepEqual(readdirSync(folder), ['state.safetensors']);
      });

    const injected: [code: string, message: RegExp][] = [
      ['ENOSPC', /: the disk is full$/],
      ['EDQUOT', /: the disk quota is used up$/],
      ['EROFS', /: the disk is read-only$/],
      ['EACCES', /: no permission$/],
      ['EPERM', /: no permission$/],
      ['EIO', /: injected EIO$/],
    ];
    const fails =
      (code: string) =>
      () =>
      (...args: unknown[]): never => {
        const done = args.at(-1);
        if (typeof done === 'function') return (done as (error: Error) => never)(failure(code));
        throw failure(code);
      };
    for (const name of ['openSync', 'writeSync', 'fchmodSync', 'fsync'] as const) {
      for (const [code, message] of injected) {
        it(`${code} at ${name}`, () =>
          refused(message, (file) => withFs(fs, name, fails(code), () => saveNumber(file, 'new'))));
      }
    }
    for (const [code, message] of injected) {
      it(`${code} at rename`, () =>
        refused(message, (file) =>
          withFs(fs.promises, 'rename', fails(code), () => saveNumber(file, 'new')),
        ));
      it(`${code} at close`, () =>
        refused(message, (file) =>
          withFs(
            fs,
            'closeSync',
            (original) => (fd: number) => {
              original(fd);
              throw failure(code);
            },
            () => saveNumber(file, 'new'),
          ),
        ));
    }

    it('a disk that takes nothing more, without an error', () =>
      refused(/: the disk is full$/, (file) =>
        withFs(
          fs,
          'writeSync',
          () => () => 0,
          () => saveNumber(file, 'new'),
        ),
      ));

    it('a topology that is no JSON', () =>
      refusedBare(/Invalid modelTopology: .*not a binary graph/, (file) =>
        fileSystem(file).save!({ modelTopology: new ArrayBuffer(1) }),
      ));
    const spec = { name: 'x', shape: [2], dtype: 'float32' };
    const unfit: [what: string, weightSpecs: unknown, bytes: number, message: RegExp][] = [
      ['weights without specs', undefined, 8, /Invalid weightSpecs: undefined/],
      ['too few bytes', [spec], 7, /Invalid weightData: "7 bytes" \(expected 8, which weightSpecs/],
      ['too many bytes', [spec], 9, /Invalid weightData: "9 bytes" \(expected 8/],
      ['a string that is longer', [{ ...spec, dtype: 'string' }], 5, /Invalid weightData/],
      ['a dtype of no tf.io', [{ ...spec, dtype: 'int64' }], 16, /weightSpecs\[0\].dtype: "int64"/],
      [
        'a shape that is none',
        [{ ...spec, shape: [-2] }],
        8,
        /Invalid weightSpecs\[0\]: an object/,
      ],
      ['a spec that is none', [null], 8, /Invalid weightSpecs\[0\]: null/],
    ];
    for (const [what, weightSpecs, bytes, message] of unfit) {
      it(`weights that do not fit: ${what}`, () =>
        refusedBare(message, (file) => {
          const weightData = new ArrayBuffer(bytes);
          return fileSystem(file).save!({ modelTopology: {}, weightSpecs, weightData } as never);
        }));
    }
    it('more text than a header may have, before anything is written', () =>
      refusedBare(
        /^Invalid state: "\d+ bytes of text" \(expected less than 100000000 beside/,
        (file) => saveStateDict(fileSystem(file), { text: 'a'.repeat(1e8) }),
      ));
    const refusedBare = (message: RegExp, f: (file: string) => Promise<unknown>): Promise<void> =>
      inFolder(async (folder) => {
        await assertFails(() => f(path.join(folder, 'state.safetensors')), message);
        assert.deepEqual(readdirSync(folder), []);
      });

    it('a folder that is not there', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'no', 'state.safetensors');
        const message = `Cannot save ${file}: there is no folder ${path.join(folder, 'no')}`;
        await assertFails(() => saveNumber(file, 1), message);
        assert.deepEqual(readdirSync(folder), []);
      }));

    it('a path that is a folder, or goes through a file', () =>
      inFolder(async (folder) => {
        await assertFails(() => saveNumber(folder, 1), `Cannot save ${folder}: it is a folder`);
        const file = path.join(folder, 'state.safetensors');
        await saveNumber(file, 1);
        const through = path.join(file, 'x');
        const message = `Cannot save ${through}: a part of the path is no folder`;
        await assertFails(() => saveNumber(through, 1), message);
      }));

    it('a device', () => assertFails(() => saveNumber('/dev/full', 1), /dev.full: it is no file$/));

    for (const what of ['folder', 'file']) {
      it(`no permission, for real: of the ${what}`, () =>
        inFolder(async (folder) => {
          const states = path.join(folder, 'states');
          const file = path.join(states, 'state.safetensors');
          mkdirSync(states);
          await saveNumber(file, 'old');
          chmodSync(folder, 0o755);
          chmodSync(states, what === 'folder' ? 0o555 : 0o777);
          chmodSync(file, what === 'folder' ? 0o666 : 0o444);
          const said = await saveInChild(folder, `${file} ${NOBODY}`);
          assert.equal(said, `Cannot save ${file}: no permission`);
          assert.equal(await numberIn(file), 'old');
          assert.deepEqual(readdirSync(states), ['state.safetensors']);
          chmodSync(states, 0o755);
        }));
    }

    it('a file that may not grow, for real: the write fails in the middle', () =>
      inFolder(async (folder) => {
        const states = path.join(folder, 'states');
        const file = path.join(states, 'state.safetensors');
        await fileSystem(file, { createFolder: true }).save!({ modelTopology: { n: 'old' } });
        // 64 blocks of 512 bytes (1024 in some shells) of the mebibyte.
        const said = await saveInChild(folder, file, 'ulimit -f 64;');
        assert.match(said, /^Cannot save .*state.safetensors: EFBIG/);
        assert.equal(await numberIn(file), 'old');
        assert.deepEqual(readdirSync(states), ['state.safetensors']);
      }));

    it('says nothing of a folder that the system cannot sync', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        await withFs(
          fs.promises,
          'open',
          (original: typeof fs.promises.open) =>
            async (...args: Parameters<typeof original>) =>
              args[0] === folder ? Promise.reject(failure('EISDIR')) : original(...args),
          () => saveNumber(file, 1),
        );
        assert.equal(await numberIn(file), 1);
      }));
  });

  describe('says why it cannot load', () => {
    const refused = (message: RegExp, change: (bytes: Buffer) => Uint8Array): Promise<void> =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        await saveStateDict(fileSystem(file), { x: bools(1, 2, 3) });
        writeFileSync(file, change(readFileSync(file)));
        await assertFails(() => loadStateDict(fileSystem(file)), message);
      });
    const bools = (...values: number[]) => {
      const dtype = 'bool' as const;
      return { name: 'x', dtype, shape: [values.length], values: Uint8Array.from(values) };
    };

    it('there is none', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        const message = `Cannot load ${file}: there is no such file`;
        await assertFails(() => fileSystem(file).load!(), message);
        await assertFails(() => loadStateDict(fileSystem(file)), message);
        await assertFails(
          () => fileSystem(folder).load!(),
          `Cannot load ${folder}: it is a folder`,
        );
        await assertFails(() => fileSystem('/dev/null').load!(), /dev.null: it is no file$/);
      }));

    it('it is empty', () => refused(/it has 0 bytes: it is cut off/, () => new Uint8Array()));
    it('it is another', () =>
      refused(/its header has \d+ bytes, and the file only \d+/, () =>
        readFileSync('package.json'),
      ));
    it('its header is longer than it', () =>
      Promise.all(
        [2n ** 53n, 2n ** 64n - 1n, 1000n].map((length) =>
          refused(
            new RegExp(`its header has ${length} bytes, and the file only \\d+: it is cut off`),
            (bytes) => {
              bytes.writeBigUInt64LE(length);
              return bytes;
            },
          ),
        ),
      ));
    it('it is cut, or longer', async () => {
      await refused(/it has 2 bytes of tensors, not 3/, (bytes) => bytes.subarray(0, -1));
      await refused(/it has 4 bytes of tensors, not 3/, (bytes) =>
        Buffer.concat([bytes, bytes.subarray(0, 1)]),
      );
      await refused(/it is damaged: its checksum is/, (bytes) => bytes.fill(7, bytes.length - 1));
    });
    it('it holds a model, or a state, and the other was asked for', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        const load = (): Promise<unknown> => fileSystem(file).load!();
        for (const state of [{ x: bools(1) }, [], null, 3, { modelTopology: 1 }]) {
          await saveStateDict(fileSystem(file), state);
          const message = `Cannot load ${file}: it holds no model: loadStateDict reads its state`;
          await assertFails(load, message);
        }
        // What only looks like a model's.
        const model = {
          modelTopology: {},
          weightSpecs: [{ name: 'x', shape: [9], dtype: 'bool' }],
        };
        for (const weights of [[bools(1)], 3, [], [null], [{ bytes: 1 }]]) {
          await saveStateDict(fileSystem(file), { ...model, weights });
          await assertFails(load, /Invalid weightData: "\d bytes" \(expected 9/);
        }
      }));
    it('it is cut while it is read', () =>
      inFolder(async (folder) => {
        const file = path.join(folder, 'state.safetensors');
        await fileSystem(file).save!(mebibyte);
        await withFs(
          fs.promises,
          'open',
          (original) =>
            async (...args: Parameters<typeof original>) => {
              const handle = await original(...args);
              const stat = handle.stat.bind(handle);
              handle.stat = (async () => {
                const stats = await stat();
                fs.truncateSync(file, 1000);
                return stats;
              }) as never;
              return handle;
            },
          () => assertFails(() => fileSystem(file).load!(), /it ends after 1000 bytes$/),
        );
      }));
  });

  it('refuses a path that is none, and options that it does not know', async () => {
    const file = fileSystem as (...args: unknown[]) => unknown;
    await assertFails(() => file(''), 'Invalid file: "" (expected a path or a file URL)');
    await assertFails(() => file(), /^Invalid file: undefined/);
    await assertFails(() => file(['a']), /^Invalid file: a list of 1/);
    await assertFails(() => file('a', { mkdir: true }), /Unknown option mkdir .*createFolder/);
    await assertFails(() => file('a', { createFolder: 1 }), /^Invalid createFolder: 1/);
  });

  it('makes the folder with createFolder', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'a', 'b', 'state.safetensors');
      await saveStateDict(fileSystem(file, { createFolder: true }), { epoch: 1 });
      deepStrictEqual(await loadStateDict<unknown>(fileSystem(file)), { epoch: 1 });
    }));
});
