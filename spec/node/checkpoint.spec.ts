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

/** Artifacts whose state has another text, under a checksum that fits. */
function withText(artifacts: tf.io.ModelArtifacts, text: string): tf.io.ModelArtifacts {
  const bytes = [...new TextEncoder().encode(text), ...new Uint8Array(artifacts.weightData as Any)];
  const checksum = referenceCrc(bytes).toString(16).padStart(8, '0');
  return {
    ...artifacts,
    modelTopology: { ...(artifacts.modelTopology as object), state: text, checksum },
  };
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
        for (const handler of [new Memory(), new Memory(true), new JsonAndBytes()]) {
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
        for (const handler of [new Memory(), new Memory(true), new JsonAndBytes()]) {
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
        for (const handler of [new Memory(), new Memory(true)]) {
          await saveStateDict(handler, tree);
          deepStrictEqual(await loadStateDict<unknown>(handler), tree);
        }
      }
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

    it('as one buffer to a handler that says nothing', async () => {
      const { weightData } = await artifactsOf(state);
      assert.deepEqual(
        new Uint8Array(weightData as ArrayBuffer),
        new Uint8Array([...new Uint8Array(Float32Array.of(1, 2, 1, 2).buffer), 1]),
      );
    });

    it("as the tensors' own buffers to one that takes a list; of a view, its part", async () => {
      const memory = new Memory(true);
      await saveStateDict(memory, state);
      const list = memory.artifacts.weightData as ArrayBuffer[];
      assert.strictEqual(list[0], state.a.values.buffer);
      assert.deepEqual(
        list.map(({ byteLength }) => byteLength),
        [8, 8, 1],
      );
      const back = await loadStateDict<typeof state>(memory);
      assert.strictEqual(back.a.values.buffer, state.a.values.buffer, 'no copy is made of it');
    });

    it('of shared memory as a copy', async () => {
      const shared = new Float32Array(new SharedArrayBuffer(8));
      shared.set([1, 2]);
      const memory = new Memory(true);
      await saveStateDict(memory, data(shared));
      assert.instanceOf((memory.artifacts.weightData as ArrayBuffer[])[0], ArrayBuffer);
      deepStrictEqual(await loadStateDict<unknown>(memory), data(Float32Array.of(1, 2)));
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
      assert.deepEqual(Object.keys(tensors), ['0/x', '1/x', '2/x']);
      assert.deepEqual([...(await tensors['1/x']!.data())], [1, 2]);
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
  const textOf = (change: (text: string) => string): tf.io.ModelArtifacts => {
    const before = topology()['state'] as string;
    const after = change(before);
    assert.notEqual(after, before, 'the case changes something');
    return withText(artifacts, after);
  };

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
      'a later version',
      () => ({ ...artifacts, modelTopology: { ...topology(), version: 3 } }),
      /it has version 3 of the format, and this tfjs-swa reads up to version 1: a later tfjs-swa is/,
    ],
    ...[0, -1, 1.5, '1', null, undefined, NaN].map((version): (typeof cases)[number] => [
      `the version ${JSON.stringify(version)}`,
      () => ({ ...artifacts, modelTopology: { ...topology(), version } }),
      /Invalid version: .* \(expected an integer >= 1\)/,
    ]),
    [
      'a state that is no text',
      () => ({ ...artifacts, modelTopology: { ...topology(), state: {} } }),
      /Invalid state: an object \(expected a string\)/,
    ],
    ['a text that is no JSON', () => textOf((text) => text.slice(1)), /its state is no JSON/],
    [
      'a checksum that is none',
      () => ({ ...artifacts, modelTopology: { ...topology(), checksum: 1 } }),
      /Invalid checksum: 1 \(expected 8 hexadecimal digits\)/,
    ],
    [
      'a checksum in other letters',
      () => {
        const checksum = String(topology()['checksum']).toUpperCase();
        assert.match(checksum, /[A-F]/);
        return { ...artifacts, modelTopology: { ...topology(), checksum } };
      },
      /it is damaged: its checksum is [0-9a-f]{8}, not [0-9A-F]{8}/,
    ],
    [
      'another number in the text',
      () => {
        const text = String(topology()['state']).replace('"n":1', '"n":2');
        return { ...artifacts, modelTopology: { ...topology(), state: text } };
      },
      /it is damaged: its checksum is/,
    ],
    [
      'weights that are no buffer',
      () => ({ ...artifacts, weightData: [new Uint8Array(12)] }),
      /Invalid weightData: a list of 1 \(expected ArrayBuffers\)/,
    ],
    [
      'weights that are missing',
      () => ({ modelTopology: topology(), weightSpecs: artifacts.weightSpecs }),
      /it has 0 bytes of weights, not 12/,
    ],
    ['specs that are missing', () => ({ modelTopology: topology() }), /it has 0 weights, not 2/],
    ['specs that are no list', () => ({ ...artifacts, weightSpecs: {} }), /has NaN weights, not 2/],
    [
      'a spec more',
      () => ({ ...artifacts, weightSpecs: [...artifacts.weightSpecs!, artifacts.weightSpecs![0]] }),
      /it has 3 weights, not 2/,
    ],
    ...[
      null,
      { name: '1/y' },
      { name: 'x' },
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
      /its weight 1 is .*, not \["1\/x","int32",\[1\]\]/,
    ]),
    [
      'an index twice',
      () => textOf((text) => text.replace('"index":1', '"index":0')),
      /Invalid state.a\[1\].index: 0 \(expected each index once\)/,
    ],
    [
      'an index that is not next',
      () => textOf((text) => text.replace('"index":1', '"index":9007199254740991')),
      /Invalid state: an object \(expected a tensor 1 of 2\)/,
    ],
    ...['-1', '0.5', '"0"', 'null'].map((index): (typeof cases)[number] => [
      `the index ${index}`,
      () => textOf((text) => text.replace('"index":1', `"index":${index}`)),
      /Invalid state.a\[1\].index: .* \(expected an integer >= 0\)/,
    ]),
    [
      'a name that is none',
      () => textOf((text) => text.replace('"name":"x"', '"name":7')),
      /Invalid state.a\[0\].name: 7 \(expected a string\)/,
    ],
    ...['"string"', '"complex64"', '"__proto__"', '"constructor"', '0'].map(
      (dtype): (typeof cases)[number] => [
        `the dtype ${dtype}`,
        () => textOf((text) => text.replace('"int32"', dtype)),
        /Invalid state.a\[1\].dtype: .* \(expected float32, int32 or bool\)/,
      ],
    ),
    ...['[-1]', '[0.5]', '["1"]', '[null]', '1', '{"length":1}', '[1e999]'].map(
      (shape): (typeof cases)[number] => [
        `the shape ${shape}`,
        () => textOf((text) => text.replace('"shape":[1]', `"shape":${shape}`)),
        /Invalid state.a\[1\].shape: .* \(expected a list of integers >= 0\)/,
      ],
    ),
    [
      'a shape of more values than there can be',
      () => textOf((text) => text.replace('"shape":[1]', '"shape":[94906267,94906267]')),
      /Invalid state.a\[1\].shape: a list of 2 \(expected fewer values\)/,
    ],
    [
      'a shape of more values than there are',
      () => {
        const changed = textOf((text) => text.replace('"shape":[1]', '"shape":[1073741824]'));
        const [first, second] = artifacts.weightSpecs!;
        return { ...changed, weightSpecs: [first, { ...second, shape: [1073741824] }] };
      },
      /it has 12 bytes of weights, not 4294967304/,
    ],
    [
      'something more in a tensor',
      () => textOf((text) => text.replace('"name":"x"', '"name":"x","values":[1]')),
      /Unknown state.a\[0\].values/,
    ],
    [
      'something beside $',
      () => textOf((text) => text.replace('{"$":', '{"b":1,"$":')),
      /Invalid state.a\[0\]: an object \(expected no other key beside \$\)/,
    ],
    ...['"Nan"', '"toString"', '"1"', '3', 'null', 'true'].map((value): (typeof cases)[number] => [
      `a $ of ${value}`,
      () => textOf((text) => text.replace('"n":1', `"n":{"$":${value}}`)),
      /Invalid state.n: .* \(expected a tensor or one of NaN, Infinity, -Infinity, -0\)/,
    ]),
    [
      'a $ of a list',
      () => textOf((text) => text.replace('"n":1', '"n":{"$":[]}')),
      /Invalid state.n.index: undefined/,
    ],
    [
      'a key that begins with one $',
      () => textOf((text) => text.replace('"n":1', '"$n":1')),
      /Invalid state.n: "\$n" \(expected a key that begins with \$\$\)/,
    ],
    [
      'a number beyond float64',
      () => textOf((text) => text.replace('"n":1', '"n":1e999')),
      /Invalid state.n: Infinity \(expected a number of float64\)/,
    ],
    [
      'too many levels',
      () => textOf((text) => text.replace('"n":1', `"n":${'['.repeat(64)}${']'.repeat(64)}`)),
      /Invalid state\.n(\[0\])+: a list of 0 \(expected at most 64 levels\)/,
    ],
    [
      'a hundred thousand levels',
      () => textOf((text) => text.replace('"n":1', `"n":${'['.repeat(1e5)}${']'.repeat(1e5)}`)),
      /Invalid state\.n(\[0\])+: a list of 1 \(expected at most 64 levels\)/,
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

  it('pollutes no prototype', async () => {
    const polluted = '{"__proto__":{"polluted":1}}';
    await assertFails(() => loaded(withText(artifacts, polluted)), /Invalid state.__proto__/);
    const harmless = '{"constructor":{"prototype":{"polluted":1}}}';
    const { constructor } = (await loaded({
      ...withText({ ...artifacts, weightData: new ArrayBuffer(0) }, harmless),
      weightSpecs: [],
    })) as { constructor: unknown };
    assert.deepEqual(constructor, { prototype: { polluted: 1 } });
    assert.isUndefined(({} as { polluted?: number }).polluted);
  });
});
