/** The command `tfjs-swa`: what it makes of files, and what it says. */
import { assert } from 'chai';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  commandBundle,
  f32,
  readSafetensors,
  runCommand,
  safetensors,
  stored,
  valuesIn,
  writeModel,
  type Ran,
  type StoredTensor,
} from '../support/command.js';
import { inFolder } from '../support/handlers.js';

/** Runs a spec in a folder; `run` is the command there. */
const inside =
  (
    f: (
      run: (...args: string[]) => Promise<Ran>,
      put: (
        name: string,
        tensors: Record<string, StoredTensor>,
        metadata?: Record<string, string>,
      ) => void,
      folder: string,
    ) => Promise<void>,
  ) =>
  (): Promise<void> =>
    inFolder((folder) =>
      f(
        (...args) => runCommand(args, { cwd: folder }),
        (name, tensors, metadata) => {
          mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
          writeFileSync(path.join(folder, name), safetensors(tensors, metadata));
        },
        folder,
      ),
    );

const done = ({ code, stderr }: Ran): void => assert.equal(code, 0, stderr);

describe('tfjs-swa', function () {
  before(commandBundle);

  describe('average, of safetensors', () => {
    it(
      'is the mean, tensor by tensor',
      inside(async (run, put, folder) => {
        put('a', { w: f32(1, 2), b: f32(-1) });
        put('b', { b: f32(2), w: f32(3, 5) }); // another order of bytes
        put('c', { w: f32(8, 5), b: f32(5) });
        const ran = await run('average', 'a', 'b', 'c', '--out', 'mean');
        done(ran);
        assert.equal(ran.stdout, 'mean: the average of 3 files, 2 tensors\n');
        // (1 + 3 + 8) / 3, (2 + 5 + 5) / 3; (-1 + 2 + 5) / 3
        assert.deepEqual(valuesIn(path.join(folder, 'mean'), 'w'), [4, 4]);
        assert.deepEqual(valuesIn(path.join(folder, 'mean'), 'b'), [2]);
        assert.sameMembers(readdirSync(folder), ['a', 'b', 'c', 'mean']);
      }),
    );

    it(
      'counts files by their weights',
      inside(async (run, put, folder) => {
        put('a', { w: f32(1) });
        put('b', { w: f32(5) });
        done(await run('average', 'a', 'b', '--out', 'mean', '--weights', '3,1'));
        assert.deepEqual(valuesIn(path.join(folder, 'mean'), 'w'), [2]); // (3 * 1 + 5) / 4
        done(await run('average', '--weights=0.75,.25', '--out=mean', 'a', 'b'));
        assert.deepEqual(valuesIn(path.join(folder, 'mean'), 'w'), [2]);
      }),
    );

    it(
      'takes integers and bools from the last, and keeps the dtypes of floats of the first',
      inside(async (run, put, folder) => {
        put('a', {
          half: stored('F16', Uint16Array.of(0x3c00)), // 1
          brain: stored('BF16', Uint16Array.of(0x3f80)), // 1
          double: stored('F64', Float64Array.of(0.1)),
          i32: stored('I32', Int32Array.of(1), []),
          i64: stored('I64', BigInt64Array.of(1n)),
          i16: stored('I16', Int16Array.of(1)),
          u8: stored('U8', Uint8Array.of(1, 1)),
          bool: stored('BOOL', Uint8Array.of(1)),
          none: stored('F32', new Float32Array(), [0, 3]),
        });
        put('b', {
          half: f32(2),
          brain: f32(2.015625),
          double: stored('F64', Float64Array.of(0.3)),
          i32: stored('I32', Int32Array.of(-7), []),
          i64: stored('I64', BigInt64Array.of(2n ** 62n)),
          i16: stored('I16', Int16Array.of(-2)),
          u8: stored('U8', Uint8Array.of(7, 255)),
          bool: stored('BOOL', Uint8Array.of(0)),
          none: stored('F32', new Float32Array(), [0, 3]),
        });
        const ran = await run('average', 'a', 'b', '--out', 'mean');
        done(ran);
        assert.equal(
          ran.stdout,
          'mean: the average of 2 files, 4 tensors; 5 of integers as in b\n',
        );
        const { tensors } = readSafetensors(path.join(folder, 'mean'));
        const { half, brain, double, none, ...others } = tensors;
        assert.deepEqual(half, stored('F16', Uint16Array.of(0x3e00))); // 1.5
        // 1.5078125 lies between 1.5 and 1.515625, nearer to the latter by none: 1.5 is even.
        assert.deepEqual(brain, stored('BF16', Uint16Array.of(0x3fc1)));
        assert.deepEqual(double, stored('F64', Float64Array.of((0.1 + 0.3) / 2)));
        assert.deepEqual(none!.shape, [0, 3]);
        const {
          half: _h,
          brain: _b,
          double: _d,
          none: _n,
          ...last
        } = readSafetensors(path.join(folder, 'b')).tensors;
        assert.deepEqual(others, last);
      }),
    );

    it(
      "keeps the first file's header, aligned",
      inside(async (run, put, folder) => {
        const metadata = { format: 'pt', ü: '"\\' };
        put('a', { 'a/b "c" ü': f32(1) }, metadata);
        put('b', { 'a/b "c" ü': f32(2) });
        done(await run('average', 'a', 'b', '--out', 'mean'));
        const { json, headerLength } = readSafetensors(path.join(folder, 'mean'));
        assert.equal(headerLength % 8, 0);
        assert.deepEqual(json, readSafetensors(path.join(folder, 'a')).json);
        assert.deepEqual(json['__metadata__'] as unknown, metadata);
      }),
    );

    it(
      'can take the place of one of its files, or of what a link leads to',
      inside(async (run, put, folder) => {
        put('a', { w: f32(1) });
        put('b', { w: f32(2) });
        symlinkSync('b', path.join(folder, 'link'));
        done(await run('average', 'a', 'b', '--out', 'a'));
        assert.deepEqual(valuesIn(path.join(folder, 'a'), 'w'), [1.5]);
        done(await run('average', 'a', 'b', '--out', 'link'));
        assert.deepEqual(valuesIn(path.join(folder, 'b'), 'w'), [1.75]);
        assert.sameMembers(readdirSync(folder), ['a', 'b', 'link']);
      }),
    );

    it(
      'of tensors longer than a piece is that of each value',
      inside(async (run, put, folder) => {
        const length = 2 ** 18 + 3;
        const ramp = (start: number) => Float32Array.from({ length }, (_, i) => start + (i % 1000));
        const more = (values: Float32Array) => ({ x: f32(1), w: stored('F32', values), y: f32(2) });
        put('a', more(ramp(0)));
        put('b', more(ramp(4)));
        done(await run('average', 'a', 'b', '--out', 'mean'));
        assert.deepEqual(valuesIn(path.join(folder, 'mean'), 'w'), [...ramp(2)]);
      }),
    );

    it(
      'says where NaN or infinity is in it',
      inside(async (run, put) => {
        put('a', { good: f32(1), 'mask/x': f32(-Infinity, 0), w: f32(NaN) });
        put('b', { good: f32(1), 'mask/x': f32(-Infinity, 0), w: f32(1) });
        const ran = await run('average', 'a', 'b', '--out', 'mean');
        done(ran);
        assert.include(
          ran.stderr,
          'tfjs-swa: Warning: NaN or infinity in 2 tensors: "mask/x", "w"\n',
        );
      }),
    );
  });

  describe('average --last', () => {
    it(
      'takes the last of a folder in natural order, and never what it writes',
      inside(async (run, put, folder) => {
        for (const [i, step] of [9, 10, 11, 100].entries()) {
          put(`run/step-${step}.safetensors`, { w: f32(2 ** i) }); // 1, 2, 4, 8
        }
        put('run/notes.txt', { w: f32(1000) });
        put('run/.hidden.safetensors', { w: f32(1000) });
        const out = 'run/z-mean.safetensors'; // would be the last one
        for (let i = 0; i < 2; i++) {
          const ran = await run('average', '--last', '3', 'run', '--out', out);
          done(ran);
          assert.include(ran.stdout, 'the average of 3 files');
          assert.deepEqual(valuesIn(path.join(folder, out), 'w'), [14 / 3].map(Math.fround));
        }
        done(await run('average', 'run', '--last=2', '--out', out, '--weights', '1,3'));
        assert.deepEqual(valuesIn(path.join(folder, out), 'w'), [7]); // (4 + 3 * 8) / 4
        const few = await run('average', '--last', '5', 'run', '--out', out);
        assert.equal(few.code, 2);
        assert.equal(few.stderr, `tfjs-swa: --last 5: run has 4 besides ${out}\n`);
      }),
    );

    it(
      'takes models in folders',
      inside(async (run, _put, folder) => {
        for (const epoch of [2, 10, 9]) {
          writeModel(path.join(folder, `run/epoch ${epoch}/model.json`), { w: [epoch] });
        }
        mkdirSync(path.join(folder, 'run/logs'));
        for (let i = 0; i < 2; i++) {
          done(await run('average', '--last', '2', 'run', '--out', 'run/mean/model.json'));
          assert.deepEqual(weightsIn(path.join(folder, 'run/mean/model.json')), [9.5]);
        }
      }),
    );
  });

  /** The float32 values of a model's shards, in their order. */
  function weightsIn(file: string): number[] {
    const { weightsManifest } = JSON.parse(readFileSync(file, 'utf8')) as {
      weightsManifest: { paths: string[] }[];
    };
    const shards = weightsManifest.flatMap(({ paths }) =>
      paths.map((name) => readFileSync(path.join(path.dirname(file), name))),
    );
    return [...new Float32Array(Uint8Array.from(Buffer.concat(shards)).buffer)];
  }

  describe('average, of tfjs models', () => {
    it(
      'reads shards however they are cut, and writes the first form',
      inside(async (run, _put, folder) => {
        const at = (name: string): string => path.join(folder, name);
        const weights = (x: number) => ({ k: [x, 2 * x, 3 * x], b: [x, -x] });
        writeModel(at('a/model.json'), weights(1), { shard: 7, more: { signature: { x: 1 } } });
        writeModel(at('b.json'), weights(2), { shard: 100, name: 'b' });
        writeModel(at('c.json'), weights(6), { shard: 4, name: 'c', format: 'graph-model' });
        const ran = await run('average', 'a', 'b.json', 'c.json', '--out', 'new/deep/mean.json');
        done(ran);
        assert.equal(
          ran.stdout,
          `${path.join('new/deep/mean.json')}: the average of 3 files, 2 tensors\n`,
        );
        // (1 + 2 + 6) / 3 = 3
        assert.deepEqual(weightsIn(at('new/deep/mean.json')), [3, 6, 9, 3, -3]);
        const { weightsManifest, ...others } = JSON.parse(
          readFileSync(at('new/deep/mean.json'), 'utf8'),
        ) as { weightsManifest: { paths: string[]; weights: unknown }[] };
        const { weightsManifest: before, ...first } = JSON.parse(
          readFileSync(at('a/model.json'), 'utf8'),
        ) as { weightsManifest: { paths: string[]; weights: unknown }[] };
        assert.deepEqual(others, first);
        assert.deepEqual(weightsManifest[0]!.weights, before[0]!.weights);
        // 20 bytes in shards of 7: as many, of new names, and no other file.
        assert.lengthOf(weightsManifest[0]!.paths, 3);
        weightsManifest[0]!.paths.forEach((name, i) =>
          assert.match(name, new RegExp(`^averaged-[0-9a-f]{16}-shard${i + 1}of3\\.bin$`)),
        );
        assert.sameMembers(readdirSync(at('new/deep')), [
          'mean.json',
          ...weightsManifest[0]!.paths,
        ]);
      }),
    );

    it(
      'in its own place leaves the old shards, which another may read',
      inside(async (run, _put, folder) => {
        writeModel(path.join(folder, 'model.json'), { w: [1] });
        writeModel(path.join(folder, 'b/model.json'), { w: [2] });
        done(await run('average', 'model.json', 'b', '--out', '.'));
        assert.deepEqual(weightsIn(path.join(folder, 'model.json')), [1.5]);
        assert.lengthOf(readdirSync(folder), 4); // b, model.json, the old shard and the new one
      }),
    );

    it(
      'goes with safetensors, and takes several groups of weights',
      inside(async (run, put, folder) => {
        const file = path.join(folder, 'model.json');
        writeModel(file, { w: [1, 2] });
        const model = JSON.parse(readFileSync(file, 'utf8')) as { weightsManifest: unknown[] };
        const more = { name: 'n', shape: [], dtype: 'int32' };
        const none = { paths: [], weights: [{ name: 'empty', shape: [0], dtype: 'bool' }] };
        writeFileSync(path.join(folder, 'n.bin'), Buffer.from(Int32Array.of(1).buffer));
        model.weightsManifest.push({ paths: ['n.bin'], weights: [more] }, none);
        writeFileSync(file, JSON.stringify(model));
        put('b', {
          empty: stored('BOOL', Uint8Array.of()),
          n: stored('I32', Int32Array.of(8), []),
          w: stored('F64', Float64Array.of(3, 5)),
        });
        done(await run('average', 'model.json', 'b', '--out', 'mean.json'));
        const [a, b, n] = weightsIn(path.join(folder, 'mean.json'));
        assert.deepEqual([a, b], [2, 3.5]);
        assert.deepEqual(new Int32Array(Float32Array.of(n!).buffer), Int32Array.of(8));
        done(await run('average', 'b', 'model.json', '--out', 'mean'));
        const { w } = readSafetensors(path.join(folder, 'mean')).tensors;
        assert.deepEqual(w, stored('F64', Float64Array.of(2, 3.5)));
      }),
    );

    it(
      "keeps the state of the first one's optimizer",
      inside(async (run, _put, folder) => {
        const file = path.join(folder, 'a.json');
        writeModel(file, { w: [1], 'adam/m': [10] }, { name: 'a' });
        const text = readFileSync(file, 'utf8');
        writeFileSync(
          file,
          text.replace('"name":"adam/m",', '"name":"adam/m","group":"optimizer",'),
        );
        writeModel(path.join(folder, 'b.json'), { w: [3] }, { name: 'b' });
        const ran = await run('average', 'a.json', 'b.json', '--out', 'mean.json');
        done(ran);
        assert.match(ran.stdout, /1 tensor; 1 of the optimizer as in a\.json\n$/);
        assert.deepEqual(weightsIn(path.join(folder, 'mean.json')), [2, 10]);
        // Of a later one it is not looked at.
        done(await run('average', 'b.json', 'a.json', '--out', 'mean.json'));
        assert.deepEqual(weightsIn(path.join(folder, 'mean.json')), [2]);
      }),
    );
  });

  describe('average, where it is refused', () => {
    it(
      'lists what does not fit, of all files, and writes nothing',
      inside(async (run, put, folder) => {
        put('a', { w: f32(1, 2), b: f32(1), n: stored('I32', Int32Array.of(1)) });
        put('b', { w: f32(1), c: f32(1), n: stored('I64', BigInt64Array.of(1n)) });
        put('c', { w: f32(1, 2), b: f32(1) });
        const { code, stdout, stderr } = await run('average', 'a', 'b', 'c', '--out', 'x/mean');
        assert.equal(code, 2);
        assert.equal(stdout, '');
        assert.equal(
          stderr,
          'tfjs-swa: b does not fit a; missing: b; unexpected: c; ' +
            'of the wrong shape or value: w (float [1], not float [2]), n (I64 [1], not I32 [1])\n' +
            'tfjs-swa: c does not fit a; missing: n\n',
        );
        assert.sameMembers(readdirSync(folder), ['a', 'b', 'c']);
      }),
    );

    it(
      'names tensors that cannot be averaged',
      inside(async (run, put, folder) => {
        put('a', {
          'x/y': stored('F8_E4M3', Uint8Array.of(1)),
          z: stored('C64', f32(1, 2).bytes, [1]),
        });
        const safe = await run('average', 'a', 'a', '--out', 'mean');
        assert.equal(safe.code, 2);
        assert.include(safe.stderr, 'Cannot average a: tensor "x/y": dtype F8_E4M3\n');
        assert.include(safe.stderr, 'Cannot average a: tensor "z": dtype C64\n');
        const file = path.join(folder, 'model.json');
        const quantization = { dtype: 'uint8', scale: 0.1, min: -1 };
        const weights = [
          { name: 'w', shape: [4], dtype: 'float32', quantization },
          { name: 's', shape: [1], dtype: 'string' },
        ];
        writeModel(file, { w: [1] }, { more: { weightsManifest: [{ paths: [], weights }] } });
        const model = await run('average', 'model.json', '--out', 'mean.json');
        assert.equal(model.code, 2);
        assert.include(
          model.stderr,
          'tensor "w": quantized to uint8: convert the model without quantization\n',
        );
        assert.include(model.stderr, 'tensor "s": dtype string\n');
        assert.sameMembers(readdirSync(folder), ['a', 'group1-shard1of1.bin', 'model.json']);
      }),
    );

    it(
      'says what is beyond the dtype, and leaves what was there',
      inside(async (run, put, folder) => {
        put('a', { x: f32(1), w: stored('F16', Uint16Array.of(0)) });
        put('b', { x: f32(1), w: f32(1e6) });
        writeFileSync(path.join(folder, 'mean'), 'old');
        const { code, stderr } = await run('average', 'a', 'b', '--out', 'mean');
        assert.equal(code, 2);
        assert.match(stderr, /Cannot average tensor "w": 500000 is beyond F16\n$/);
        assert.equal(readFileSync(path.join(folder, 'mean'), 'utf8'), 'old');
        await run('average', 'a', 'b', '--out', 'new/folder/mean');
        assert.sameMembers(readdirSync(folder), ['a', 'b', 'mean']);
      }),
    );

    it(
      'says where it cannot write',
      inside(async (run, put, folder) => {
        put('a', { w: f32(1) });
        mkdirSync(path.join(folder, 'folder'));
        writeModel(path.join(folder, 'm/model.json'), { w: [1] });
        symlinkSync('m/model.json', path.join(folder, 'link.json'));
        const cases = [
          ['a', 'folder', 1, /Cannot save folder: it is a folder\n/],
          ['a', 'a/b', 1, /Cannot save a.b: a part of the path is no folder\n/],
          [
            'a',
            'mean.json',
            2,
            /Invalid --out: mean.json \(expected a safetensors file, as a is one\)/,
          ],
          ['m', 'mean', 2, /Invalid --out: mean \(expected a model.json, as m.model.json is one\)/],
          ['m', 'link.json', 1, /Cannot save link.json: it is a symbolic link/],
        ] as const;
        for (const [input, out, code, message] of cases) {
          const ran = await run('average', input, '--out', out);
          assert.equal(ran.code, code, ran.stderr);
          assert.match(ran.stderr, message);
        }
        assert.sameMembers(readdirSync(folder), ['a', 'folder', 'link.json', 'm']);
        assert.lengthOf(readdirSync(path.join(folder, 'm')), 2);
      }),
    );
  });

  describe('info', () => {
    it(
      'lists the tensors, and what a file says of itself',
      inside(async (run, put, folder) => {
        const x = stored('F8_E5M2', Uint8Array.of(1, 2));
        put('a', { 'layer/kernel': f32(1, 2, 3), x }, { format: 'pt', long: 'x'.repeat(1000) });
        const { stdout, code } = await run('info', 'a');
        assert.equal(code, 0);
        assert.deepEqual(stdout.split('\n'), [
          'a: safetensors, 2 tensors, 14 bytes',
          '  format: pt',
          `  long: ${'x'.repeat(94)}...`,
          '  layer/kernel  F32      [3]  12 bytes',
          '  x             F8_E5M2  [2]   2 bytes  not averaged: dtype F8_E5M2',
          '',
        ]);
        writeModel(path.join(folder, 'm/model.json'), { w: [1, 2] }, { shard: 4 });
        assert.deepEqual((await run('info', 'm')).stdout.split('\n'), [
          `${path.join('m/model.json')}: a tfjs layers model, 1 tensor, 8 bytes`,
          '  shards: 2',
          '  generatedBy: a spec',
          '  w  F32  [2]  8 bytes',
          '',
        ]);
      }),
    );

    it(
      'writes out what a terminal would obey',
      inside(async (run, put) => {
        put('a', { '\u001b[2J\u202e': f32(1) });
        const { stdout } = await run('info', 'a');
        assert.include(stdout, '\\u001b[2J\\u{202e}');
        for (const sign of ['\u001b', '\u202e']) assert.notInclude(stdout, sign);
      }),
    );
  });

  describe('the command line', () => {
    it('tells how it is used', async () => {
      for (const [args, text] of [
        [['--help'], /^Usage: tfjs-swa COMMAND/],
        [['-h'], /^Usage: tfjs-swa COMMAND/],
        [['average', '--help'], /^Usage: tfjs-swa average A B ... --out C/],
        [['info', '--help'], /^Usage: tfjs-swa info FILE/],
      ] as const) {
        const { code, stdout, stderr } = await runCommand(args);
        assert.equal(code, 0);
        assert.match(stdout, text);
        assert.equal(stderr, '');
        assert.isTrue(stdout.split('\n').every((line) => line.length <= 100));
      }
    });

    const wrong: [args: string, message: RegExp][] = [
      ['', /^tfjs-swa: A command is missing \(average or info; --help tells more\)\n$/],
      ['merge a', /^tfjs-swa: Unknown command merge/],
      ['average a b', /--out is missing/],
      ['average --out c', /Files to average are missing/],
      ['average a --out', /--out/],
      ['average a --out c --wieghts 1', /Unknown option '--wieghts' \(--help lists the options\)/],
      ['average a b --out c --weights 1', /Invalid --weights: 1 \(expected 2, one for each file\)/],
      ['average a b --out c --weights 1,0', /Invalid --weights: 0 \(expected finite numbers > 0\)/],
      ['average a b --out c --weights 1,', /Invalid --weights: {2}\(expected finite numbers > 0\)/],
      ['average a b --out c --weights=-1,2', /Invalid --weights: -1/],
      ['average a b --out c --weights 1,Infinity', /Invalid --weights: Infinity/],
      ['average a b --out c --last 2', /--last N goes with one folder, and no files/],
      ['average a --out c --last 0', /Invalid --last: 0 \(expected an integer >= 1\)/],
      ['average a --out c --last 1.5', /Invalid --last: 1.5/],
      ['average a --out c --last 3 --weights 1,2', /Invalid --weights: 1,2 \(expected 3, one/],
      ['info', /info takes one file/],
      ['info a b', /info takes one file/],
      ['info --out a', /Unknown option '--out'/],
    ];
    for (const [args, message] of wrong) {
      it(`refuses: tfjs-swa ${args}`, async () => {
        const { code, stdout, stderr } = await runCommand(args.split(' ').filter(Boolean));
        assert.equal(code, 2);
        assert.equal(stdout, '');
        assert.match(stderr, message);
        assert.lengthOf(stderr.trimEnd().split('\n'), 1);
      });
    }
  });
});
