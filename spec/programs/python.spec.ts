/**
 * Files between here and Python's own safetensors, in both directions. The interpreter is
 * SAFETENSORS_PYTHON, or python3: one that has the packages safetensors and numpy.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { assert } from 'chai';
import { deepStrictEqual } from 'node:assert';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { loadStateDict, saveStateDict, SWA, type TensorData } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { inFolder } from '../support/handlers.js';
import { assertFails, half, own, variable } from '../support/support.js';

const interpreter = process.env['SAFETENSORS_PYTHON'] ?? 'python3';

function python(command: string, file: string): string {
  const script = path.join(import.meta.dirname, 'python.py');
  const run = spawnSync(interpreter, [script, command, file], { encoding: 'utf8' });
  assert.equal(
    run.status,
    0,
    `${run.stderr || run.error?.message}\nIt takes safetensors and numpy: ` +
      'python3 -m venv VENV && VENV/bin/pip install safetensors numpy, SAFETENSORS_PYTHON=VENV/bin/python',
  );
  return run.stdout;
}

/** What Python finds in a file. */
interface Found {
  tensors: Record<string, [dtype: string, shape: number[], values: number[]]>;
  metadata: string[];
  tree: unknown;
}

const found = (file: string): Found => JSON.parse(python('read', file)) as Found;

describe("Python's safetensors", () => {
  it('opens a state of ours, by names that say what is what', () =>
    inFolder(async (folder) => {
      const x = variable([4, -2], 'layer/kernel');
      const swa = own(new SWA(tf.train.momentum(0.5, 0.9), { swaStart: 0, swaFreq: 1 }));
      swa.minimize(half(x), false, [x]);
      const file = path.join(folder, 'state.safetensors');
      const flags: TensorData = {
        name: 'flags',
        dtype: 'bool',
        shape: [3],
        values: Uint8Array.of(1, 0, 1),
      };
      const steps: TensorData = {
        name: 'steps',
        dtype: 'int32',
        shape: [],
        values: Int32Array.of(-3),
      };
      await saveStateDict(fileSystem(file), {
        flags,
        swa: await swa.stateDict(),
        lists: [[steps]],
      });
      const { tensors, metadata, tree } = found(file);
      // 4 - 0.5 * 4 and -2 + 0.5 * 2; the first average is a copy; the first velocity the gradient.
      deepStrictEqual(tensors['swa.swa_state.0.swa_buffer'], ['float32', [2], [2, -1]]);
      const slots = Object.keys(tensors).filter((name) => name.startsWith('swa.opt_state.0.'));
      assert.deepEqual(
        slots.map((name) => tensors[name]),
        [
          ['int32', [], [1]], // iterations
          ['float32', [2], [4, -2]],
        ],
      );
      deepStrictEqual(tensors['flags'], ['bool', [3], [true, false, true] as never]);
      deepStrictEqual(tensors['lists.0.steps'], ['int32', [], [-3]]);
      assert.lengthOf(Object.keys(tensors), 5);
      assert.deepEqual(metadata, ['crc32', 'tfjs_swa', 'tree']);
      assert.deepEqual((tree as { flags: unknown }).flags, {
        $: { tensor: 'flags', name: 'flags' },
      });
    }));

  it('opens a model of ours, with its optimizer', () =>
    inFolder(async (folder) => {
      const layers = [
        tfl.layers.dense({
          units: 1,
          inputShape: [2],
          weights: [tf.ones([2, 1]), tf.zeros([1])].map(own),
        }),
      ];
      const model = own(tfl.sequential({ layers }));
      model.compile({ optimizer: own(new SWA(tf.train.sgd(0.1))), loss: 'meanSquaredError' });
      const file = path.join(folder, 'model.safetensors');
      await model.save(fileSystem(file), { includeOptimizer: true });
      const { tensors, tree } = found(file);
      const kernel = Object.keys(tensors).find((name) => /^weights\..*\/kernel$/.test(name))!;
      deepStrictEqual(tensors[kernel], ['float32', [2, 1], [1, 1]]);
      assert.property(tree, 'modelTopology');
    }));

  it('opens names and texts of any kind', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'state.safetensors');
      const one: TensorData = {
        name: '',
        dtype: 'float32',
        shape: [1],
        values: Float32Array.of(1),
      };
      const state = { 'ü "\\ \u{1F600}': one, '\ud800': one, '\u0000': [one, one], $: '\udfff' };
      await saveStateDict(fileSystem(file), state as never);
      assert.sameMembers(Object.keys(found(file).tensors), [
        'ü "\\ \u{1F600}',
        '\ufffd',
        '\u0000.0',
        '\u0000.1',
      ]);
      deepStrictEqual(await loadStateDict<unknown>(fileSystem(file)), state);
    }));

  it('writes files that load here, every dtype', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'python.safetensors');
      python('write', file);
      const state = await loadStateDict<Record<string, TensorData>>(fileSystem(file));
      const { F16, ...others } = state;
      const of = (
        name: string,
        values: TensorData['values'],
        shape = [values.length],
      ): TensorData => {
        const dtype =
          values instanceof Float32Array
            ? 'float32'
            : values instanceof Int32Array
              ? 'int32'
              : 'bool';
        return { name, dtype, shape, values };
      };
      deepStrictEqual(others, {
        F64: of('F64', Float32Array.of(0.1, -0, Infinity, 3), [2, 2]),
        F32: of('F32', Float32Array.of(1e-45, -0, NaN)),
        I64: of('I64', Int32Array.of(-(2 ** 31), 2 ** 31 - 1)),
        I32: of('I32', Int32Array.of(-5), []),
        U8: of('U8', Int32Array.of(0, 255)),
        BOOL: of('BOOL', Uint8Array.of(1, 0, 1), [3, 1]),
        0: of('0', new Float32Array(0), [0, 4]),
        crc32: of('crc32', Float32Array.of(7)),
      });
      // All of float16, saved again as float32 and read by numpy, which converts by itself.
      const again = path.join(folder, 'again.safetensors');
      await saveStateDict(fileSystem(again), { F16: F16! });
      const half = [...F16!.values];
      assert.deepEqual(half.slice(0x3bff, 0x3c02), [0.99951171875, 1, 1.0009765625]);
      assert.deepEqual([half[1], half[0x7bff], half[0xfc00]], [2 ** -24, 65504, -Infinity]);
      assert.lengthOf(half.filter(Number.isNaN), 2 * 1023);
    }));

  it('writes files that do not load here: refused by the name of the tensor', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'python');
      python('refused', file);
      const load = (dtype: string) => () => loadStateDict(fileSystem(`${file}.${dtype}`));
      const dtype = /Invalid dtype of tensor "some\/tensor": "(I16|U64)" \(expected F64, F32/;
      await assertFails(load('I16'), dtype);
      await assertFails(load('U64'), dtype);
      await assertFails(
        load('I64'),
        /tensor "some\/tensor" cannot be read: 2147483648 is beyond int32$/,
      );
      await assertFails(
        load('F64'),
        /tensor "some\/tensor" cannot be read: 1e\+39 is beyond float32$/,
      );
    }));
});
