/** The command on files that lie, on many and large ones, and when it is stopped. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import type { WriteStream } from 'node:tty';
import {
  loadStateDict,
  mergeStateDicts,
  saveStateDict,
  SWA,
  type SWAStateDict,
  type TensorData,
} from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { startProgress } from '../../lib/cli/progress.js';
import {
  commandBundle,
  f32,
  runCommand,
  safetensors,
  SAY_MEMORY,
  writeModel,
  type Ran,
} from '../support/command.js';
import { inFolder } from '../support/handlers.js';
import { own, variable } from '../support/support.js';

const memoryOf = ({ stderr }: Ran): number => Number(stderr.trimEnd().split('\n').at(-1));

/** A file of a header's text and bytes of tensors. */
function fileOf(header: string | Buffer, data = 0): Buffer {
  const json = Buffer.from(header as string);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(data)]);
}

/** Writes a file of so many bytes of one F32 tensor, zeros that take no place on the disk. */
function writeSparse(file: string, bytes: number): void {
  const head = fileOf(
    JSON.stringify({ w: { dtype: 'F32', shape: [bytes / 4], data_offsets: [0, bytes] } }),
  );
  const fd = openSync(file, 'w');
  writeSync(fd, head);
  ftruncateSync(fd, head.length + bytes);
  closeSync(fd);
}

/** What these specs change of a `model.json` of one group. */
interface ModelJson {
  weightsManifest: [
    { paths: string[]; weights: { name: string; shape: number[]; dtype: string }[] },
  ];
}

describe('tfjs-swa average', function () {
  before(commandBundle);

  describe('of files that lie', () => {
    const x = '"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
    const good = fileOf(`{${x}}`, 8);
    const two = (a: string, b: string): string =>
      `{"x":{"dtype":"F32","shape":[2],"data_offsets":${a}},"y":{"dtype":"F32","shape":[2],"data_offsets":${b}}}`;
    const header100 = Buffer.alloc(1e8, ' ');
    header100.write(`{${x}}`);
    const cases: Record<string, [bytes: () => Buffer, message: RegExp]> = {
      'cut in the tensors': [() => good.subarray(0, -1), /it has 7 bytes of tensors, not 8/],
      'cut in the header': [() => good.subarray(0, 30), /it is cut off, or no safetensors file/],
      'cut in the length': [() => good.subarray(0, 5), /it has 5 bytes: it is cut off/],
      empty: [() => Buffer.alloc(0), /it has 0 bytes/],
      overlapping: [
        () => fileOf(two('[0,8]', '[4,12]'), 12),
        /"y" begins at byte 4 of the data, not 8/,
      ],
      'with a hole': [
        () => fileOf(two('[0,8]', '[12,20]'), 20),
        /"y" begins at byte 12 of the data/,
      ],
      'of 2^53 bytes': [
        () =>
          fileOf(
            `{"x":{"dtype":"U8","shape":[9007199254740992],"data_offsets":[0,9007199254740992]}}`,
          ),
        /Invalid shape of tensor "x"/,
      ],
      'of 2^50 bytes': [
        () => fileOf(`{"x":{"dtype":"U8","shape":[${2 ** 50}],"data_offsets":[0,${2 ** 50}]}}`),
        /it has 0 bytes of tensors, not 1125899906842624/,
      ],
      'with a header of 2^63 bytes': [
        () => Buffer.from('0000000000000080', 'hex'),
        /its header has 9223372036854775808 bytes/,
      ],
      'with a name twice': [() => fileOf(`{${x},${x}}`, 8), /its header has a key twice/],
      'with a header of 100 MB': [() => fileOf(header100, 8), /its header has 100000000 bytes/],
      'with NaN in the JSON': [
        () => fileOf('{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', 8),
        /its header is no JSON of one/,
      ],
      'with a shape of more than its bytes': [
        () => fileOf('{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}', 8),
        /its tensor "x" has 8 bytes, and its shape asks for 12/,
      ],
      'with a dtype that is none': [
        () => fileOf('{"x":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', 8),
        /Invalid dtype of tensor "x": "F33"/,
      ],
      'with half a byte': [
        () => fileOf('{"x":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', 1),
        /its tensor "x" has 1 bytes, and its shape asks for 1.5/,
      ],
    };
    for (const [what, [bytes, message]] of Object.entries(cases)) {
      it(`${what}: refused, with little memory, and nothing is written`, () =>
        inFolder(async (folder) => {
          writeFileSync(path.join(folder, 'good'), good);
          writeFileSync(path.join(folder, 'bad'), bytes());
          const args = ['average', 'good', 'bad', '--out', 'mean'];
          const ran = await runCommand(args, { cwd: folder, node: SAY_MEMORY });
          assert.equal(ran.code, 1, ran.stderr);
          assert.match(ran.stderr, /^tfjs-swa: Cannot load bad: /);
          assert.match(ran.stderr, message);
          assert.isBelow(memoryOf(ran), 100);
          assert.sameMembers(readdirSync(folder), ['good', 'bad']);
          const info = await runCommand(['info', 'bad'], { cwd: folder });
          assert.equal(info.code, 1);
          assert.match(info.stderr, message);
        }));
    }

    const models: Record<string, [(model: ModelJson) => unknown, RegExp]> = {
      'with a weight twice': [
        ({ weightsManifest: [group] }) => (group.weights[1]!.name = 'w'),
        /it has two tensors "w"/,
      ],
      'with a shard too short': [
        ({ weightsManifest: [group] }) => (group.weights[0]!.shape = [3]),
        /its shards have 16 bytes, and its weights ask for 20/,
      ],
      'with a shape of 2^53': [
        ({ weightsManifest: [group] }) => (group.weights[0]!.shape = [2 ** 53]),
        /Invalid weightsManifest\[0\].weights\[0\].shape/,
      ],
      'with a shard that is not there': [
        ({ weightsManifest: [group] }) => (group.paths = ['none.bin']),
        /Cannot load none.bin: there is no such file/,
      ],
      'with a shard elsewhere': [
        ({ weightsManifest: [group] }) => (group.paths = ['../x.bin']),
        /Invalid weightsManifest\[0\].paths: a list of 1 \(expected names of files beside it\)/,
      ],
      'with no manifest': [
        (model) => delete (model as Partial<ModelJson>).weightsManifest,
        /Invalid weightsManifest: undefined/,
      ],
    };
    for (const [what, [change, message]] of Object.entries(models)) {
      it(`a model ${what}: refused`, () =>
        inFolder(async (folder) => {
          const file = path.join(folder, 'model.json');
          writeModel(file, { w: [1, 2], b: [3, 4] });
          const model = JSON.parse(readFileSync(file, 'utf8')) as ModelJson;
          change(model);
          writeFileSync(file, JSON.stringify(model));
          const ran = await runCommand(['average', 'model.json', '--out', 'x/mean.json'], {
            cwd: folder,
          });
          assert.equal(ran.code, 1);
          assert.match(ran.stderr, message);
          assert.lengthOf(readdirSync(folder), 2);
        }));
    }

    it('a model.json that is none: refused', () =>
      inFolder(async (folder) => {
        const deep = `{"weightsManifest":${'['.repeat(1e6)}`;
        for (const [text, message] of [
          ['{"weightsManifest": [NaN]}', /it is no JSON, or damaged/],
          ['\ud800'.repeat(3), /Invalid weightsManifest|it is no JSON/],
          ['[]', /Invalid weightsManifest: undefined/],
          [deep, /it has more than 1000 levels/],
        ] as const) {
          writeFileSync(path.join(folder, 'm.json'), text);
          const ran = await runCommand(['info', 'm.json'], { cwd: folder, node: SAY_MEMORY });
          assert.equal(ran.code, 1);
          assert.match(ran.stderr, message);
          assert.isBelow(memoryOf(ran), 100);
        }
      }));

    it('that are not there, folders and pipes: refused', () =>
      inFolder(async (folder) => {
        const ran = await runCommand(['average', 'none', '--out', 'mean'], { cwd: folder });
        assert.equal(ran.code, 1);
        assert.match(ran.stderr, /Cannot load none: there is no such file\n$/);
        const place = await runCommand(['info', '.'], { cwd: folder });
        assert.match(place.stderr, /Cannot load model.json: there is no such file\n$/);
        const last = await runCommand(['average', '--last', '1', 'none', '--out', 'm'], {
          cwd: folder,
        });
        assert.equal(last.code, 1);
        assert.match(last.stderr, /Cannot load none: there is no such file\n$/);
      }));
  });

  describe('of ten files of 100 MB', function () {
    this.timeout(120_000);

    it('takes little memory: less than one of them, Node included', () =>
      inFolder(async (folder) => {
        const files = Array.from({ length: 10 }, (_, i) => `${i}.safetensors`);
        for (const file of files) writeSparse(path.join(folder, file), 1e8);
        const ran = await runCommand(['average', ...files, '--out', 'mean'], {
          cwd: folder,
          node: SAY_MEMORY,
        });
        assert.equal(ran.code, 0, ran.stderr);
        assert.isBelow(memoryOf(ran), 100);
        // Plain lines where there is no terminal: one for each tenth.
        const lines = ran.stderr.split('\n').slice(0, 10);
        assert.deepEqual(
          lines,
          Array.from(
            { length: 10 },
            (_, i) => `${String(10 * i + 10).padStart(3)}% of 1000.0 MB, w`,
          ),
        );
      }));
  });

  describe('that is stopped', function () {
    this.timeout(120_000);
    const SIZE = 2e9;

    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      it(`by ${signal} leaves nothing half written, and what was there: exit code ${code}`, () =>
        inFolder(async (folder) => {
          for (const file of ['a', 'b']) writeSparse(path.join(folder, file), SIZE);
          writeFileSync(path.join(folder, 'mean'), 'old');
          for (const out of ['mean', 'new/folder/mean']) {
            const { code: ended, stdout } = await runCommand(['average', 'a', 'b', '--out', out], {
              cwd: folder,
              onStart: (child) => {
                // In the middle: the first tenth was said.
                child.stderr!.once('data', () => child.kill(signal));
              },
            });
            assert.equal(ended, code);
            assert.equal(stdout, '');
            assert.sameMembers(readdirSync(folder), ['a', 'b', 'mean']);
            assert.equal(readFileSync(path.join(folder, 'mean'), 'utf8'), 'old');
          }
        }));
    }

    it('with shards leaves none, or, by kill, none that the next does not clear', () =>
      inFolder(async (folder) => {
        writeModel(path.join(folder, 'model.json'), { w: [1] });
        const model = JSON.parse(
          readFileSync(path.join(folder, 'model.json'), 'utf8'),
        ) as ModelJson;
        // 400 MB, in shards of 100.
        const shards = ['a', 'b', 'c', 'd'].map((name) => `${name}.bin`);
        for (const shard of shards) {
          const fd = openSync(path.join(folder, shard), 'w');
          ftruncateSync(fd, 1e8);
          closeSync(fd);
        }
        model.weightsManifest = [
          { paths: shards, weights: [{ name: 'w', shape: [1e8], dtype: 'float32' }] },
        ];
        const text = JSON.stringify(model);
        writeFileSync(path.join(folder, 'model.json'), text);
        const before = readdirSync(folder);
        const args = ['average', ...Array<string>(5).fill('model.json'), '--out', 'model.json'];
        const stopped = (signal: NodeJS.Signals) =>
          runCommand(args, {
            cwd: folder,
            onStart: (child) => {
              // In the second shard.
              child.stderr!.on('data', (said: string) => {
                if (said.includes('40%')) child.kill(signal);
              });
            },
          });
        assert.equal((await stopped('SIGINT')).code, 130);
        assert.sameMembers(readdirSync(folder), before);
        assert.equal(readFileSync(path.join(folder, 'model.json'), 'utf8'), text);

        assert.isNull((await stopped('SIGKILL')).code);
        assert.isAtLeast(readdirSync(folder).length, before.length + 3); // two shards, model.json
        assert.equal(readFileSync(path.join(folder, 'model.json'), 'utf8'), text);
        writeModel(path.join(folder, 'small.json'), { w: [1] });
        const next = ['average', 'small.json', '--out', 'model.json'];
        assert.equal((await runCommand(next, { cwd: folder })).code, 0);
        const more = readdirSync(folder).filter((name) => !before.includes(name));
        assert.lengthOf(more, 2); // small.json and a new shard
      }));

    it('by kill is cleared by the next', () =>
      inFolder(async (folder) => {
        for (const file of ['a', 'b']) writeSparse(path.join(folder, file), SIZE);
        const { code } = await runCommand(['average', 'a', 'b', '--out', 'mean'], {
          cwd: folder,
          onStart: (child) => child.stderr!.once('data', () => child.kill('SIGKILL')),
        });
        assert.isNull(code);
        assert.lengthOf(readdirSync(folder), 3);
        writeFileSync(path.join(folder, 'a'), safetensors({ w: f32(1) }));
        const next = await runCommand(['average', 'a', '--out', 'mean'], { cwd: folder });
        assert.equal(next.code, 0);
        assert.sameMembers(readdirSync(folder), ['a', 'b', 'mean']);
      }));

    it('by a reader that closes is no mistake', () =>
      inFolder(async (folder) => {
        const tensors = Array.from({ length: 20_000 }, (_, i) => [`tensor ${i}`, f32(1)] as const);
        writeFileSync(path.join(folder, 'a'), safetensors(Object.fromEntries(tensors)));
        const { code, stderr } = await runCommand(['info', 'a'], {
          cwd: folder,
          onStart: (child) => child.stdout!.once('data', () => child.stdout!.destroy()),
        });
        assert.equal(code, 0);
        assert.equal(stderr, '');
      }));
  });

  describe('of files of tfjs-swa', () => {
    /** The state of an SWA that averaged values. */
    async function stateOf(...values: number[]): Promise<SWAStateDict> {
      const x = variable([0], 'layer/kernel');
      const swa = own(new SWA(tf.train.momentum(0.1, 0.9), { paramGroups: [{ params: x }] }));
      for (const value of values) {
        tf.tidy(() => x.assign(tf.tensor1d([value])));
        swa.updateSwa();
      }
      const state = await swa.stateDict();
      swa.dispose();
      x.dispose();
      return state;
    }

    it('merges checkpoints as mergeStateDicts does', () =>
      inFolder(async (folder) => {
        const states = [await stateOf(1), await stateOf(2, 4, 6)];
        for (const [i, state] of states.entries()) {
          await saveStateDict(fileSystem(path.join(folder, `${i}`)), state);
        }
        const ran = await runCommand(['average', '0', '1', '--out', 'mean'], { cwd: folder });
        assert.equal(ran.code, 0, ran.stderr);
        assert.match(ran.stdout, /^mean: the average of 2 files, \d+ tensors\n$/);
        const merged = await loadStateDict(fileSystem(path.join(folder, 'mean')));
        // (1 + 2 + 4 + 6) / 4
        assert.deepEqual([...merged.swa_state['0']!.swa_buffer.values], [3.25]);
        assert.equal(merged.param_groups[0]!.n_avg, 4);
        assert.deepEqual(merged, await mergeStateDicts(states));
      }));

    it('refuses in its words, and what is no state by itself', () =>
      inFolder(async (folder) => {
        const state = await stateOf(1);
        const swapped = structuredClone(state);
        swapped.param_groups[0]!.swapped = true;
        const save = (name: string, tree: unknown) =>
          saveStateDict(fileSystem(path.join(folder, name)), tree as never);
        await save('state', state);
        await save('swapped', swapped);
        await save('run', { swa: state, epoch: 3 });
        writeFileSync(path.join(folder, 'other'), safetensors({ w: f32(1) }));
        for (const [args, message] of [
          [['state', 'swapped'], /^tfjs-swa: Cannot merge swapped: .*swapped/],
          [['run', 'state'], /^tfjs-swa: Cannot merge run: Invalid state\.opt_state/],
          [['state', 'other'], /^tfjs-swa: other is no checkpoint of tfjs-swa, and others are/],
          [
            ['state', 'state', '--weights', '1,2'],
            /^tfjs-swa: --weights: checkpoints .* by their n_avg/,
          ],
        ] as const) {
          const ran = await runCommand(['average', ...args, '--out', 'mean'], { cwd: folder });
          assert.match(ran.stderr, message);
          assert.equal(ran.code, 2);
        }
        assert.lengthOf(readdirSync(folder), 4);
      }));

    it('averages weights and models, which are whole again', () =>
      inFolder(async (folder) => {
        const at = (name: string): string => path.join(folder, name);
        const weight = (x: number): TensorData => {
          return { name: 'w', dtype: 'float32', shape: [1], values: Float32Array.of(x) };
        };
        await saveStateDict(fileSystem(at('a')), { w: weight(1), list: [weight(10)] });
        await saveStateDict(fileSystem(at('b')), { w: weight(2), list: [weight(30)] });
        const ran = await runCommand(['average', 'a', 'b', '--out', 'mean'], { cwd: folder });
        assert.equal(ran.code, 0, ran.stderr);
        const mean = await loadStateDict<unknown>(fileSystem(at('mean'))); // with its checksum
        assert.deepEqual(mean, { w: weight(1.5), list: [weight(20)] });

        for (const [name, value] of [
          ['one', 1],
          ['two', 5],
        ] as const) {
          const weights = [tf.fill([2, 1], value), tf.zeros([1])].map(own);
          const layers = [tfl.layers.dense({ units: 1, inputShape: [2], name: 'd', weights })];
          const model = own(tfl.sequential({ layers, name: 'm' }));
          model.compile({ optimizer: own(tf.train.adam(0.1)), loss: 'meanSquaredError' });
          tf.engine().startScope(); // tfjs-layers leaves the optimizer's iterations
          await model.save(fileSystem(at(name)), { includeOptimizer: true });
          tf.engine().endScope();
        }
        const models = await runCommand(['average', 'one', 'two', '--out', 'three'], {
          cwd: folder,
        });
        assert.equal(models.code, 0, models.stderr);
        assert.match(models.stdout, /2 tensors; [0-9]+ of the optimizer as in one\n$/);
        const loaded = own(await tfl.loadLayersModel(fileSystem(at('three'))));
        assert.deepEqual([...(await loaded.getWeights()[0]!.data())], [3, 3]);
        own((loaded as unknown as { optimizer: tf.Optimizer }).optimizer);
        const info = await runCommand(['info', 'one'], { cwd: folder });
        assert.match(info.stdout, /^one: a tfjs model, saved by tfjs-swa, /);
      }));

    it('that are damaged, in any byte of them, are refused', () =>
      inFolder(async (folder) => {
        const at = (name: string): string => path.join(folder, name);
        const w: TensorData = {
          name: 'w',
          dtype: 'float32',
          shape: [2],
          values: Float32Array.of(1, 2),
        };
        await saveStateDict(fileSystem(at('a')), { w });
        const bytes = readFileSync(at('a'));
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(at('b'), bytes);
        const ran = await runCommand(['average', 'a', 'b', '--out', 'mean'], { cwd: folder });
        assert.equal(ran.code, 1);
        assert.match(ran.stderr, /Cannot load b: it is damaged: its checksum is/);
      }));
  });

  describe('on a terminal', () => {
    it('draws a bar', async () => {
      const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
      for (const name of ['cursorTo', 'moveCursor', 'clearLine', 'clearScreenDown'] as const) {
        Object.assign(stream, { [name]: () => true });
      }
      let drawn = '';
      stream.on('data', (text) => (drawn += String(text)));
      const display = await startProgress(stream as unknown as WriteStream);
      display.update(0, 2e6, 'layer/kernel');
      display.update(2e6, 2e6, 'layer/bias');
      display.stop();
      display.stop();
      assert.match(drawn, /\u2591{20} 0% \| 2\.0 MB \| layer\/kernel/);
      assert.match(drawn, /\u2588{20} 100% \| 2\.0 MB \| layer\/bias/);
    });
  });

  it('imports neither tfjs nor the bar before they are needed', async () => {
    const { outputs } = (await commandBundle()).metafile;
    const all = new Set<string>();
    const atStart = new Set<string>();
    const visit = (file: string): void => {
      if (atStart.has(file)) return;
      atStart.add(file);
      for (const { path: to, kind } of outputs[file]?.imports ?? []) {
        if (kind === 'import-statement') visit(to);
      }
    };
    for (const { imports } of Object.values(outputs)) for (const { path } of imports) all.add(path);
    visit(Object.keys(outputs).find((file) => file.endsWith('/main.mjs'))!);
    const packages = (files: Set<string>): string[] =>
      [...files].filter((file) => !/^node:|\.mjs$/.test(file)).sort();
    assert.deepEqual(packages(atStart), []);
    assert.deepEqual(packages(all), ['@tensorflow/tfjs-core', 'cli-progress']);
  });
});
