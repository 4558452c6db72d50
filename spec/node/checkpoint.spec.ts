/** State dicts through handlers and back: exact, and refused if anything is wrong with them. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import { deepStrictEqual } from 'node:assert';
import {
  AveragedModel,
  LambdaLR,
  loadStateDict,
  saveStateDict,
  SWA,
  SWALR,
  type TensorData,
} from 'tfjs-swa';
import { crc32 } from '../../lib/checkpoint/crc32.js';
import { littleEndian } from '../../lib/checkpoint/little_endian.js';
import { JsonAndBytes, Memory } from '../support/handlers.js';
import { assertFails, half, OPTIMIZERS, own, variable } from '../support/support.js';

// A tree of any kind, which the compiler does not check.
type Any = never;

/** Tensor data of values, whatever they are a view of. */
function data(values: TensorData['values'], shape = [values.length], name = 'x'): TensorData {
  const dtype =
    values instanceof Float32Array ? 'float32' : values instanceof Int32Array ? 'int32' : 'bool';
  return { name, dtype, shape, values };
}

/** The artifacts of a state, and a change of them. */
async function artifactsOf(state: unknown): Promise<tf.io.ModelArtifacts> {
  const memory = new Memory();
  await saveStateDict(memory, state as Any);
  return memory.artifacts;
}

async function loaded(artifacts: unknown): Promise<unknown> {
  const memory = new Memory();
  memory.artifacts = artifacts as tf.io.ModelArtifacts;
  return loadStateDict<unknown>(memory);
}

/** The checksum that the format asks for, from its definition: bit by bit. */
function referenceCrc(bytes: Iterable<number>): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) {
    remainder ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
    }
  }
  return ~remainder >>> 0;
}

/** The header of artifacts. */
const headerOf = (artifacts: tf.io.ModelArtifacts): string =>
  (artifacts.modelTopology as { header: string }).header;

/** Artifacts with another header, under a checksum that fits. */
function withHeader(artifacts: tf.io.ModelArtifacts, header: string): tf.io.ModelArtifacts {
  const zeroed = header.replace(/"crc32":"[0-9a-f]{8}"/, '"crc32":"00000000"');
  const text = new TextEncoder().encode(zeroed);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  const bytes = [...length, ...text, ...new Uint8Array(artifacts.weightData as Any)];
  const digits = referenceCrc(bytes).toString(16).padStart(8, '0');
  return {
    ...artifacts,
    modelTopology: {
      ...(artifacts.modelTopology as object),
      header: zeroed.replace('"crc32":"00000000"', `"crc32":"${digits}"`),
    },
  };
}

/** The same, with another tree. */
function withTree(
  artifacts: tf.io.ModelArtifacts,
  change: (tree: string) => string,
): tf.io.ModelArtifacts {
  const { __metadata__: metadata, ...tensors } = JSON.parse(headerOf(artifacts));
  const tree = change(metadata.tree);
  return withHeader(artifacts, JSON.stringify({ __metadata__: { ...metadata, tree }, ...tensors }));
}

/** An SWA with two groups and averages, swapped, and its parameters. */
function trained(make: () => tf.Optimizer) {
  const v = variable([1, -2], `v${Math.random()}`);
  const w = variable([[3], [4]], `w${Math.random()}`);
  const paramGroups = [{ params: v }, { params: w, optimizer: make() }];
  const swa = own(new SWA(make(), { swaStart: 1, swaFreq: 2, paramGroups }));
  const step = (): unknown => swa.minimize(half(v, w));
  for (let i = 0; i < 4; i++) step();
  return { swa, v, w, step };
}

describe('saveStateDict and loadStateDict', () => {
  describe('give back what was saved', () => {
    for (const [name, make] of Object.entries(OPTIMIZERS)) {
      it(`the state of an SWA with two groups, ${name}`, async () => {
        const { swa } = trained(make);
        swa.swapSwaSgd();
        const state = await swa.stateDict();
        for (const handler of [new Memory(), new JsonAndBytes()]) {
          await saveStateDict(handler, state);
          deepStrictEqual(await loadStateDict(handler), state);
        }
      });
    }

    it('of an AveragedModel, schedulers and counters beside it, as one checkpoint', async () => {
      const { swa, v } = trained(OPTIMIZERS['adam']!);
      const averaged = own(new AveragedModel([v]));
      averaged.updateParameters();
      const state = {
        swa: await swa.stateDict(),
        averaged: await averaged.stateDict(),
        swalr: new SWALR(swa, { swaLr: 0.01 }).stateDict(),
        lambda: new LambdaLR(swa, () => 0.1).stateDict(),
        epoch: 7,
        model: [data(Float32Array.of(1, 2, 3, 4), [2, 2], 'kernel')],
      };
      const memory = new Memory();
      await saveStateDict(memory, state);
      deepStrictEqual(await loadStateDict<typeof state>(memory), state);
    });

    it('every kind of plain data', async () => {
      const trees: unknown[] = [
        null,
        true,
        '',
        'a "quoted" \\ text, ü, \u{1F600}, a half of a pair: \ud800, \u0000',
        [NaN, Infinity, -Infinity, -0, 0, 1e-7, 5e-324, Number.MAX_VALUE, 2 ** 53, 0.1 + 0.2],
        [],
        {},
        [[], {}, [[[{}]]]],
        { $: 1, $$: { $: 'NaN' }, $$$: '$', '': 0, 'a b': 1, '10': 2, '9': 3 },
        { constructor: 1, prototype: { toString: 2 }, hasOwnProperty: 3, values: [1], then: 4 },
        { name: 'x', dtype: 'float32', shape: [1], values: [1] },
        data(Float32Array.of(1)),
        { a: [data(Int32Array.of(-1, 2 ** 31 - 1)), data(Uint8Array.of(1, 0, 1), [1, 3], '')] },
        [data(Float32Array.of(NaN, -0, Infinity, 1e-45)), data(new Float32Array(0), [0, 3])],
      ];
      for (const tree of trees) {
        for (const handler of [new Memory(), new JsonAndBytes()]) {
          await saveStateDict(handler, tree as Any);
          deepStrictEqual(await loadStateDict<unknown>(handler), tree);
        }
      }
    });

    it('every bit of a float, the payload of a NaN too', async () => {
      const bits = Uint32Array.of(0x7fc00001, 0xffffffff, 0x80000000, 1, 0x7f800000);
      const memory = new Memory();
      await saveStateDict(memory, data(new Float32Array(bits.buffer)));
      const { values } = await loadStateDict<TensorData>(memory);
      assert.deepEqual(new Uint32Array(values.buffer, values.byteOffset, 5), bits);
    });

    it('empty tensors, wherever they stand', async () => {
      const [none, some] = [data(new Float32Array(0), [0]), data(Float32Array.of(1, 2))];
      for (const tree of [[none], [none, some], [some, none], [none, some, none, some]]) {
        const handler = new Memory();
        await saveStateDict(handler, tree);
        deepStrictEqual(await loadStateDict<unknown>(handler), tree);
      }
    });

    it('tensors of no bytes whose keys are integers, which come first in a record', async () => {
      const empty: TensorData = { name: '', dtype: 'bool', shape: [0], values: new Uint8Array(0) };
      const memory = new Memory();
      const state = [{ one: empty }, empty];
      await saveStateDict(memory, state);
      deepStrictEqual(await loadStateDict(memory), state);
    });

    it('a tensor that is in the tree twice, and one from another realm', async () => {
      const one = data(Float32Array.of(1, 2));
      const { runInNewContext } = await import('node:vm');
      const foreign: unknown = runInNewContext(
        '({ a: [{ name: "x", dtype: "int32", shape: [1], values: Int32Array.of(5) }] })',
      );
      const memory = new Memory();
      await saveStateDict(memory, { one, again: one, foreign } as Any);
      deepStrictEqual(await loadStateDict<unknown>(memory), {
        one,
        again: one,
        foreign: { a: [data(Int32Array.of(5))] },
      });
    });
  });

  describe('hands over the values', () => {
    const view = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    const state = { a: data(Float32Array.of(1, 2)), b: data(view), c: data(Uint8Array.of(1), [1]) };

    it('as one buffer, wide values first, which no later change reaches', async () => {
      const changing = { ...state, a: data(Float32Array.of(1, 2)), d: data(Int32Array.of(7)) };
      const saving = artifactsOf(changing);
      changing.a.values.fill(9);
      const { weightData } = await saving;
      assert.deepEqual(
        new Uint8Array(weightData as ArrayBuffer),
        new Uint8Array([
          ...new Uint8Array(Float32Array.of(1, 2, 1, 2).buffer),
          ...new Uint8Array(Int32Array.of(7).buffer),
          1,
        ]),
      );
    });

    it('of shared memory too', async () => {
      const shared = new Float32Array(new SharedArrayBuffer(8));
      shared.set([1, 2]);
      deepStrictEqual(await loaded(await artifactsOf(data(shared))), data(Float32Array.of(1, 2)));
    });

    it('and takes them in pieces, wherever these are cut', async () => {
      const artifacts = await artifactsOf(state);
      const whole = artifacts.weightData as ArrayBuffer;
      for (let i = 0; i <= whole.byteLength; i++) {
        for (let j = i; j <= whole.byteLength; j++) {
          const weightData = [whole.slice(0, i), whole.slice(i, j), whole.slice(j)];
          deepStrictEqual(await loaded({ ...artifacts, weightData }), {
            ...state,
            b: data(view.slice()),
          });
        }
      }
    });

    it('each with a buffer of its own, where they came as one', async () => {
      const { a, b } = (await loaded(await artifactsOf(state))) as typeof state;
      assert.deepEqual([a.values.buffer.byteLength, b.values.buffer.byteLength], [8, 8]);
    });

    it("named for tf.io's own decodeWeights", async () => {
      const { weightData, weightSpecs } = await artifactsOf(state);
      const tensors = tf.io.decodeWeights(weightData!, weightSpecs!);
      assert.deepEqual(Object.keys(tensors), ['a', 'b', 'c']);
      assert.deepEqual([...(await tensors['b']!.data())], [1, 2]);
      tf.dispose(tensors);
    });
  });

  describe('goes through', () => {
    const state = { epoch: 3, model: [data(Float32Array.of(1, 2, 3))] };

    it('http, by a URL and as a handler', async () => {
      const served = new Map<string, Blob>();
      const fetchFunc = async (url: string, init: RequestInit = {}): Promise<Response> => {
        if (init.method !== 'POST') return new Response(served.get(new URL(url).href)!);
        for (const [name, value] of (init.body as FormData).entries()) {
          served.set(`http://localhost/${name}`, value as File);
        }
        return new Response('');
      };
      const url = 'http://localhost/model.json';
      const handler = tf.io.http(url, {
        fetchFunc: fetchFunc as unknown as typeof globalThis.fetch,
      });
      await saveStateDict(handler, state);
      deepStrictEqual(await loadStateDict<unknown>(handler), state);

      const platform = tf.env().platform;
      const { fetch } = platform;
      try {
        served.clear();
        platform.fetch = fetchFunc as unknown as typeof fetch;
        await saveStateDict(url, state);
        deepStrictEqual(await loadStateDict<unknown>(url), state);
      } finally {
        platform.fetch = fetch;
      }
    });

    it('a scheme that another package has registered', async () => {
      const memory = new Memory();
      const router = (url: string | string[]): tf.io.IOHandler =>
        (url === 'spec://state' ? memory : null) as tf.io.IOHandler;
      tf.io.registerSaveRouter(router);
      tf.io.registerLoadRouter(router);
      await saveStateDict('spec://state', state);
      assert.instanceOf(memory.artifacts.weightData, ArrayBuffer);
      deepStrictEqual(await loadStateDict<unknown>('spec://state'), state);
    });

    it("tf.io's passthrough handlers", async () => {
      let kept: tf.io.ModelArtifacts = {};
      const saver = tf.io.withSaveHandler(async (artifacts) => {
        kept = artifacts;
        return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
      });
      await saveStateDict(saver, state);
      deepStrictEqual(await loadStateDict<unknown>(tf.io.fromMemory(kept)), state);
    });
  });

  describe('refuses to save', () => {
    const cycle: unknown[] = [];
    cycle.push({ cycle });
    class Box {
      size = 1;
    }
    const deep = (levels: number): unknown =>
      Array.from({ length: levels }).reduce((inner) => [inner], 0);
    const plain = 'expected plain data: records, lists, strings, numbers, booleans, null';
    const cases: [what: string, state: () => unknown, message: string][] = [
      ['undefined', () => undefined, `Invalid state: undefined (${plain})`],
      [
        'a function',
        () => ({ swa: [0, { f: () => 1 }] }),
        `state.swa[1].f: an instance of Function (${plain})`,
      ],
      ['a hole', () => ({ a: Array(1) }), `Invalid state.a[0]: undefined (${plain})`],
      ['a symbol', () => [Symbol('s')], `Invalid state[0]: Symbol(s) (${plain})`],
      ['a bigint', () => [1n], `Invalid state[0]: 1 (${plain})`],
      ['a date', () => ({ 'a b': new Date(0) }), `state["a b"]: an instance of Date (${plain})`],
      ['a map', () => new Map(), `Invalid state: an instance of Map (${plain})`],
      ['an instance', () => [new Box()], `Invalid state[0]: an instance of Box (${plain})`],
      ['a tensor', () => ({ t: variable([1]) }), `state.t: an instance of Variable (${plain})`],
      ['a typed array', () => [new Float32Array(1)], `an instance of Float32Array (${plain})`],
      ['a cycle', () => cycle, 'Invalid state[0].cycle: a list of 1 (expected no cycle)'],
      ['too many levels', () => deep(65), `${'[0]'.repeat(64)}: a list of 1 (expected at most 64`],
      ['__proto__', () => JSON.parse('{"a":{"__proto__":1}}'), 'Invalid state.a.__proto__'],
      ['tensor data without a name', () => ({ values: new Int32Array(1) }), 'Invalid state.name'],
      [
        'tensor data of another size',
        () => [data(Float32Array.of(1), [2])],
        'Invalid state[0].values: an instance of Float32Array (expected a Float32Array of 2)',
      ],
      [
        'tensor data with more',
        () => [{ ...data(Float32Array.of(1)), trainable: true }],
        'Unknown state[0].trainable (tensor data has name, dtype, shape, values)',
      ],
    ];
    for (const [what, state, message] of cases) {
      it(what, async () => {
        const memory = new Memory();
        let error = new Error('nothing was refused');
        await saveStateDict(memory, state() as Any).catch((caught: Error) => (error = caught));
        assert.include(error.message, message);
        assert.deepEqual(memory.artifacts, {}, 'nothing reached the handler');
      });
    }

    it('but not 64 levels', async () => {
      const memory = new Memory();
      await saveStateDict(memory, deep(64) as Any);
      deepStrictEqual(await loadStateDict<unknown>(memory), deep(64));
    });

    it('where a handler reports errors, or throws', async () => {
      const report: tf.io.IOHandler = {
        save: async () => ({
          modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' },
          errors: ['no room', 'no time'],
        }),
      };
      await assertFails(
        () => saveStateDict(report, {}),
        /^The handler could not save: no room; no t/,
      );
      const failing = tf.io.withSaveHandler(async () => Promise.reject(new Error('quota')));
      await assertFails(() => saveStateDict(failing, {}), 'quota');
    });
  });

  describe('knows no handler', () => {
    for (const url of ['file:///state', 'indexeddb://state', 'gopher://state', 'state.swa', '']) {
      it(`for ${JSON.stringify(url)}, and says how to get one`, async () => {
        const message = new RegExp(
          `is registered to save ${JSON.stringify(url)}.*fileSystem\\(path`,
        );
        await assertFails(() => saveStateDict(url, {}), message);
        await assertFails(() => loadStateDict(url), /registered to load .*tfjs-node.*browserFiles/);
      });
    }

    it('in what is none', async () => {
      for (const none of [null, undefined, {}, 3, { load: 1, save: 1 }] as Any[]) {
        const expected = String.raw`.* \(expected a URL or a tf.io handler with`;
        await assertFails(
          () => saveStateDict(none, {}),
          new RegExp(`^Invalid target: ${expected} save`),
        );
        await assertFails(
          () => loadStateDict(none),
          new RegExp(`^Invalid source: ${expected} load`),
        );
      }
    });
  });
});

describe('the checksum', () => {
  it('is that of zlib', () => {
    // The check value of CRC-32/ISO-HDLC, and that of nothing.
    assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
    assert.equal(crc32(new Uint8Array()), 0);
  });

  it('is the same in words and bytes, from any start, of any length, and in parts', () => {
    const bytes = Uint8Array.from({ length: 80 }, (_, i) => (i * 151 + 7) & 255);
    for (let start = 0; start < 20; start++) {
      for (let end = start; end <= bytes.length; end++) {
        const part = bytes.subarray(start, end);
        const expected = referenceCrc(part);
        assert.equal(crc32(part), expected);
        assert.equal(crc32(part, 0, false), expected);
        const middle = (start + end) >> 1;
        assert.equal(
          crc32(bytes.subarray(middle, end), crc32(bytes.subarray(start, middle))),
          expected,
        );
      }
    }
  });
});

describe('the order of bytes', () => {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  it('is left alone on a little-endian machine', () => {
    assert.strictEqual(littleEndian(bytes, 4, true), bytes);
    assert.deepEqual(new Float32Array(littleEndian(Uint8Array.of(0, 0, 128, 63), 4).buffer)[0], 1);
  });

  it('is turned on a big-endian one, there and back, and not that of single bytes', () => {
    const turned = littleEndian(bytes, 4, false);
    assert.deepEqual([...turned], [4, 3, 2, 1, 8, 7, 6, 5]);
    assert.deepEqual(littleEndian(turned, 4, false), bytes);
    assert.strictEqual(littleEndian(bytes, 1, false), bytes);
  });
});

describe('loadStateDict trusts nothing', () => {
  const state = { a: [data(Float32Array.of(1, 2)), data(Int32Array.of(3))], n: 1 };
  let artifacts: tf.io.ModelArtifacts;
  before(async () => {
    artifacts = await artifactsOf(state);
  });
  const topology = (): Record<string, unknown> =>
    artifacts.modelTopology as Record<string, unknown>;
  const changed = (change: (text: string) => string) => (before: string) => {
    const after = change(before);
    assert.notEqual(after, before, 'the case changes something');
    return after;
  };
  const treeOf = (change: (text: string) => string): tf.io.ModelArtifacts =>
    withTree(artifacts, changed(change));
  const textOf = (change: (text: string) => string): tf.io.ModelArtifacts =>
    withHeader(artifacts, changed(change)(headerOf(artifacts)));

  /** What is changed, how, and what is said of it. */
  const cases: [what: string, change: () => unknown, message: RegExp][] = [
    ['no artifacts', () => undefined, /it is no tfjs-swa checkpoint$/],
    ['artifacts without topology', () => ({ weightData: new ArrayBuffer(0) }), /it is no tfjs-swa/],
    [
      'a model',
      () => ({ ...artifacts, modelTopology: { class_name: 'Sequential' } }),
      /it is no tfjs-swa checkpoint$/,
    ],
    [
      'a header that is no text',
      () => ({ ...artifacts, modelTopology: { ...topology(), header: {} } }),
      /Invalid header: an object \(expected a string\)/,
    ],
    [
      'a header of others',
      () => {
        const { __metadata__: _, ...tensors } = JSON.parse(headerOf(artifacts));
        const header = JSON.stringify(tensors);
        return { ...artifacts, modelTopology: { ...topology(), header } };
      },
      /it is no tfjs-swa checkpoint$/,
    ],
    [
      'a later version',
      () => textOf((text) => text.replace('"tfjs_swa":"1"', '"tfjs_swa":"2"')),
      /it has version "2" of the format, and this tfjs-swa reads version 1: a later tfjs-swa is/,
    ],
    ...['tree', 'tfjs_swa', 'crc32'].map((key): (typeof cases)[number] => [
      `metadata without ${key}`,
      () => textOf((text) => text.replace(`"${key}"`, `"${key}_"`)),
      new RegExp(`it is damaged: its metadata have no ${key}$`),
    ]),
    [
      'metadata that are no text',
      () => textOf((text) => text.replace('"tfjs_swa":"1"', '"tfjs_swa":1')),
      /Invalid __metadata__: an object \(expected a record of strings\)/,
    ],
    ['a text that is no JSON', () => textOf((text) => text.slice(1)), /its header is no JSON/],
    ['a tree that is no JSON', () => treeOf((tree) => tree.slice(1)), /its state is no JSON/],
    ...['"1"', '"1234567"', '"1234567x"', '"ABCDEF01"'].map((digits): (typeof cases)[number] => [
      `a checksum ${digits}`,
      () => {
        const header = headerOf(artifacts).replace(/"crc32":"\w+"/, `"crc32":${digits}`);
        return { ...artifacts, modelTopology: { ...topology(), header } };
      },
      /Invalid crc32: ".*" \(expected 8 hexadecimal digits\)/,
    ]),
    [
      'a checksum under a name that is spelled otherwise',
      () => textOf((text) => text.replace('"crc32"', '"crc\\u00332"')),
      /Invalid crc32: "\w{8}" \(expected 8 hexadecimal digits\)/,
    ],
    [
      'another number in the tree',
      () => {
        const header = headerOf(artifacts).replace('\\"n\\":1', '\\"n\\":2');
        assert.notEqual(header, headerOf(artifacts));
        return { ...artifacts, modelTopology: { ...topology(), header } };
      },
      /it is damaged: its checksum is \w{8}, not \w{8}$/,
    ],
    [
      'weights that are no buffer',
      () => ({ ...artifacts, weightData: [new Uint8Array(12)] }),
      /Invalid weightData: a list of 1 \(expected ArrayBuffers\)/,
    ],
    [
      'weights that are missing',
      () => ({ modelTopology: topology(), weightSpecs: artifacts.weightSpecs }),
      /it has 0 bytes of tensors, not 12/,
    ],
    [
      'specs that are missing',
      () => ({ ...artifacts, weightSpecs: undefined }),
      /it has 0 weights, not 2/,
    ],
    ['specs that are no list', () => ({ ...artifacts, weightSpecs: {} }), /has NaN weights, not 2/],
    [
      'a spec more',
      () => ({ ...artifacts, weightSpecs: [...artifacts.weightSpecs!, artifacts.weightSpecs![0]] }),
      /it has 3 weights, not 2/,
    ],
    ...[
      null,
      { name: 'y' },
      { dtype: 'float32' },
      { shape: [2] },
      { shape: [1, 1] },
      { shape: '1' },
      { quantization: { dtype: 'uint8', scale: 1, min: 0 } },
    ].map((change): (typeof cases)[number] => [
      `a spec with ${JSON.stringify(change)}`,
      () => {
        const [first, second] = artifacts.weightSpecs!;
        return { ...artifacts, weightSpecs: [first, change && { ...second, ...change }] };
      },
      /its weight 1 is .*, not \["a.x#2","int32",\[1\]\]/,
    ]),
    [
      'a tensor twice in the tree',
      () => treeOf((tree) => tree.replace('a.x#2', 'a.x')),
      /Invalid state.a\[1\].tensor: "a.x" \(expected a tensor that is there, each once\)/,
    ],
    ...['"y"', '0', 'null', '"__proto__"'].map((name): (typeof cases)[number] => [
      `the tensor ${name}`,
      () => treeOf((tree) => tree.replace('"a.x#2"', name)),
      /Invalid state.a\[1\].tensor: .* \(expected a tensor that is there, each once\)/,
    ]),
    [
      'a tensor that the tree does not name',
      () => treeOf(() => '{}'),
      /its state does not name the tensor "a.x"$/,
    ],
    [
      'a name that is none',
      () => treeOf((tree) => tree.replace('"name":"x"', '"name":7')),
      /Invalid state.a\[0\].name: 7 \(expected a string\)/,
    ],
    [
      'something more in a tensor',
      () => treeOf((tree) => tree.replace('"name":"x"', '"name":"x","values":[1]')),
      /Unknown state.a\[0\].values/,
    ],
    [
      'something beside $',
      () => treeOf((tree) => tree.replace('{"$":', '{"b":1,"$":')),
      /Invalid state.a\[0\]: an object \(expected no other key beside \$\)/,
    ],
    ...['"Nan"', '"toString"', '"1"', '3', 'null', 'true'].map((value): (typeof cases)[number] => [
      `a $ of ${value}`,
      () => treeOf((tree) => tree.replace('"n":1', `"n":{"$":${value}}`)),
      /Invalid state.n: .* \(expected a tensor or one of NaN, Infinity, -Infinity, -0\)/,
    ]),
    [
      'a $ of a list',
      () => treeOf((tree) => tree.replace('"n":1', '"n":{"$":[]}')),
      /Invalid state.n.name: undefined/,
    ],
    [
      'a key that begins with one $',
      () => treeOf((tree) => tree.replace('"n":1', '"$n":1')),
      /Invalid state.n: "\$n" \(expected a key that begins with \$\$\)/,
    ],
    [
      'a number beyond float64',
      () => treeOf((tree) => tree.replace('"n":1', '"n":1e999')),
      /Invalid state.n: Infinity \(expected a number of float64\)/,
    ],
    [
      'too many levels',
      () => treeOf((tree) => tree.replace('"n":1', `"n":${'['.repeat(64)}${']'.repeat(64)}`)),
      /Invalid state\.n(\[0\])+: a list of 0 \(expected at most 64 levels\)/,
    ],
    [
      'a hundred thousand levels',
      () => treeOf((tree) => tree.replace('"n":1', `"n":${'['.repeat(1e5)}${']'.repeat(1e5)}`)),
      /it has more than 66 levels/,
    ],
  ];
  for (const [what, change, message] of cases) {
    it(what, () => assertFails(() => loaded(change()), message));
  }

  it('names the URL that it could not load', async () => {
    const message = 'Cannot load memory://state: it is no tfjs-swa checkpoint';
    tf.io.registerLoadRouter(
      (url) => (url === 'memory://state' ? new Memory() : null) as tf.io.IOHandler,
    );
    await assertFails(() => loadStateDict('memory://state'), message);
  });

  it('tells of a URL that several handlers know', async () => {
    const router = (url: string | string[]): tf.io.IOHandler =>
      (url === 'two://state' ? new Memory() : null) as tf.io.IOHandler;
    tf.io.registerSaveRouter(router);
    tf.io.registerLoadRouter(router);
    // tfjs's registry is one for all specs, and forgets nothing: the router is there once, then twice.
    await saveStateDict('two://state', {});
    tf.io.registerSaveRouter((url) => router(url));
    tf.io.registerLoadRouter((url) => router(url));
    const message = '2 handlers know the URL two://state';
    await assertFails(() => saveStateDict('two://state', {}), message);
    await assertFails(() => loadStateDict('two://state'), message);
  });

  it('pollutes no prototype', async () => {
    const polluted = '{"__proto__":{"polluted":1}}';
    const empty = await artifactsOf({});
    await assertFails(() => loaded(withTree(empty, () => polluted)), /Invalid state.__proto__/);
    const harmless = '{"constructor":{"prototype":{"polluted":1}}}';
    const { constructor } = (await loaded(withTree(empty, () => harmless))) as {
      constructor: unknown;
    };
    assert.deepEqual(constructor, { prototype: { polluted: 1 } });
    assert.isUndefined(({} as { polluted?: number }).polluted);
  });
});

describe('the tensors of a checkpoint', () => {
  const one = (name = 'x'): TensorData => data(Float32Array.of(1), [1], name);
  const namesOf = async (state: unknown): Promise<string[]> =>
    (await artifactsOf(state)).weightSpecs!.map(({ name }) => name);

  it('are named by their path, in a list by their own name', async () => {
    const swa_state = { 0: { swa_buffer: one('swa_buffer') } };
    const opt_state = { 0: [one('accBeta1'), one('m/0')] };
    assert.deepEqual(await namesOf({ swa: { swa_state, opt_state }, model: [one('k'), one('')] }), [
      'swa.swa_state.0.swa_buffer',
      'swa.opt_state.0.accBeta1',
      'swa.opt_state.0.m/0',
      'model.k',
      'model.1',
    ]);
    assert.deepEqual(await namesOf(one('k')), ['k']);
    assert.deepEqual(await namesOf(one('')), ['tensor']);
    assert.deepEqual(await namesOf([one('a'), [one('a')]]), ['a', '1.a']);
  });

  it('have names that are no two alike, good Unicode, and no word of the format', async () => {
    const state = {
      __metadata__: one(),
      a: { b: one() },
      'a.b': one(),
      list: [one(), one(), one('x#2'), one()],
      '\ud800': one(),
      '\udfff': one(),
    };
    assert.deepEqual(await namesOf(state), [
      '__metadata__#2',
      'a.b',
      'a.b#2',
      'list.x',
      'list.x#2',
      'list.x#2#2',
      'list.x#3',
      '\ufffd',
      '\ufffd#2',
    ]);
    deepStrictEqual(await loaded(await artifactsOf(state)), state);
  });
});
