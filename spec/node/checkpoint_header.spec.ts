/** safetensors files that lie: refused before memory is taken, in words that name what is wrong. */
import { assert } from 'chai';
import { deepStrictEqual } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { crc32 } from '../../lib/checkpoint/crc32.js';
import { bundleChild } from '../support/child.js';
import { inFolder } from '../support/handlers.js';
import { assertFails } from '../support/support.js';

/** A file of a header's text and bytes of tensors. */
function fileOf(header: string | Buffer, data = 0): Buffer {
  const json = Buffer.from(header as string);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(data)]);
}

/** One of ours, whose checksum fits. */
function ours(tree: string, metadata: Record<string, string> = {}): Buffer {
  const __metadata__ = { crc32: '00000000', tfjs_swa: '1', tree, ...metadata };
  const file = fileOf(JSON.stringify({ __metadata__ }));
  file.write(crc32(file).toString(16).padStart(8, '0'), file.indexOf('00000000'), 'latin1');
  return file;
}

const x = '"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';

describe('a safetensors file', () => {
  const load = (bytes: Buffer): Promise<unknown> =>
    inFolder((folder) => {
      const file = path.join(folder, 'x.safetensors');
      writeFileSync(file, bytes);
      return loadStateDict<unknown>(fileSystem(file));
    });
  const tensor = { name: 'x', dtype: 'float32', shape: [2], values: new Float32Array(2) };

  it('of others loads by name, with spaces, metadata, and keys that are ours elsewhere', async () => {
    deepStrictEqual(await load(fileOf(`{${x}}   `, 8)), { x: tensor });
    deepStrictEqual(await load(fileOf('{}')), {});
    const spaced = `{ "__metadata__" : {"a":"{\\"tree\\":1}"},\n ${x.replaceAll(':', '\t:\r\n ')} }`;
    deepStrictEqual(await load(fileOf(spaced, 8)), { x: tensor });
    const names = x.replace('"x"', '"tree"');
    deepStrictEqual(await load(fileOf(`{${names}}`, 8)), { tree: { ...tensor, name: 'tree' } });
  });

  it('of ours loads wherever the digits of its checksum stand', async () => {
    deepStrictEqual(await load(ours('{"ü":1}')), { ü: 1 });
    const file = fileOf(
      '{"__metadata__":{"ü":"crc32","tree":"1","tfjs_swa":"1", "crc32" : "00000000"}}',
    );
    file.write(crc32(file).toString(16).padStart(8, '0'), file.indexOf('00000000'), 'latin1');
    assert.equal(await load(file), 1);
  });

  const entry = (change: string, data = 8): Buffer => fileOf(`{"x":${change}}`, data);
  const two = (first: string, second: string, data = 8): Buffer => {
    const of = (name: string, offsets: string): string =>
      `"${name}":{"dtype":"F32","shape":[1],"data_offsets":${offsets}}`;
    return fileOf(`{${of('x', first)},${of('y', second)}}`, data);
  };
  const cases: [what: string, file: () => Buffer, message: RegExp][] = [
    ['two names alike', () => fileOf(`{${x},${x}}`, 8), /its header has a key twice$/],
    [
      'two names alike in other letters',
      () => fileOf(`{${x},${x.replace('"x"', '"\\u0078"')}}`, 8),
      /its header has a key twice$/,
    ],
    [
      'a key twice in an entry',
      () => fileOf(`{${x.replace('{', '{"dtype":"I32",')}}`, 8),
      /its header has a key twice$/,
    ],
    [
      'metadata twice',
      () => fileOf(`{"__metadata__":{"tree":"1"},${x},"__metadata__":{}}`, 8),
      /its header has a key twice$/,
    ],
    [
      'NaN',
      () => entry('{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}'),
      /is no JSON of one$/,
    ],
    ['a list', () => fileOf('[]'), /is no JSON of one$/],
    ['levels without end', () => fileOf(`{"x":${'['.repeat(1e6)}`), /is no JSON of one$/],
    ['text that is no UTF-8', () => fileOf(Buffer.from([0x7b, 0xff, 0x7d])), /is no JSON of one$/],
    ['a mark of byte order', () => fileOf('\ufeff{}'), /is no JSON of one$/],
    ['nothing', () => fileOf(''), /is no JSON of one$/],
    [
      'metadata that are no texts',
      () => fileOf('{"__metadata__":{"a":1}}'),
      /Invalid __metadata__/,
    ],
    ['metadata that are none', () => fileOf('{"__metadata__":null}'), /Invalid __metadata__: null/],
    ['a tensor that is none', () => entry('[]'), /Invalid tensor "x": a list of 0/],
    [
      'no dtype',
      () => entry('{"shape":[2],"data_offsets":[0,8]}'),
      /Invalid dtype of tensor "x": undef/,
    ],
    [
      'a dtype of a prototype',
      () => entry('{"dtype":"toString","shape":[2],"data_offsets":[0,8]}'),
      /Invalid dtype of tensor "x": "toString" \(expected F64, F32, F16, BF16, I64, I32, U8, BOOL\)/,
    ],
    [
      'a length below 0',
      () => entry('{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}'),
      /Invalid shape of tensor "x"/,
    ],
    [
      'lengths of 2^53',
      () => entry('{"dtype":"U8","shape":[9007199254740992],"data_offsets":[0,9007199254740992]}'),
      /Invalid shape of tensor "x"/,
    ],
    [
      'lengths of 2^53 in all',
      () => entry('{"dtype":"U8","shape":[94906267,94906267],"data_offsets":[0,9007199515875288]}'),
      /Invalid data_offsets of tensor "x"/,
    ],
    [
      'a shape of more than its bytes',
      () => entry('{"dtype":"F32","shape":[3],"data_offsets":[0,8]}'),
      /its tensor "x" has 8 bytes, and its shape asks for 12$/,
    ],
    [
      'offsets backwards',
      () => entry('{"dtype":"F32","shape":[0],"data_offsets":[8,0]}'),
      /Invalid data_offsets of tensor "x"/,
    ],
    [
      'offsets that are none',
      () => entry('{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}'),
      /Invalid data_offsets of tensor "x": a list of 3/,
    ],
    [
      'more in an entry',
      () => entry('{"dtype":"F32","shape":[2],"data_offsets":[0,8],"a":1}'),
      /Unknown a of tensor "x"/,
    ],
    [
      'tensors over one another',
      () => two('[0,4]', '[0,4]', 4),
      /"y" begins at byte 0 of the data, not 4/,
    ],
    ['tensors over one another in part', () => two('[0,4]', '[2,6]', 6), /"y" begins at byte 2 of/],
    ['a hole', () => two('[0,4]', '[8,12]', 12), /"y" begins at byte 8 of the data, not 4/],
    ['a hole before', () => two('[4,8]', '[8,12]', 12), /"x" begins at byte 4 of the data, not 0/],
    ['less data', () => two('[0,4]', '[4,8]', 7), /it has 7 bytes of tensors, not 8/],
    ['more data', () => two('[0,4]', '[4,8]', 9), /it has 9 bytes of tensors, not 8/],
    ['the name __proto__', () => fileOf(`{${x.replace('"x"', '"__proto__"')}}`, 8), /"__proto__"/],
    ['a tree of levels without end', () => ours('['.repeat(1e6)), /it has more than 66 levels$/],
    ['another version', () => ours('1', { tfjs_swa: '2' }), /it has version "2" of the format/],
  ];
  for (const [what, file, message] of cases) {
    it(`with ${what} is refused`, () => assertFails(() => load(file()), message));
  }

  it('with a header of 100 MB is refused, unread', () =>
    inFolder(async (folder) => {
      const file = path.join(folder, 'x.safetensors');
      const header = Buffer.alloc(1e8, ' ');
      header.write('{}');
      writeFileSync(file, fileOf(header));
      await assertFails(
        () => loadStateDict(fileSystem(file)),
        /its header has 100000000 bytes, and safetensors' less than 100000000$/,
      );
    }));

  it('that is small takes little memory, whatever it says', () =>
    inFolder(async (folder) => {
      const child = await bundleChild('load_child', folder);
      // Three megabytes each, of what is least to write for what it makes; a record of `{}` takes V8 64.
      const many = (item: (i: number) => string, length: number): string =>
        Array.from({ length }, (_, i) => item(i)).join();
      const files = {
        'empty tensors': fileOf(
          `{${many((i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, 50_000)}}`,
        ),
        'empty records': ours(`[${many(() => '{}', 1e6)}]`),
        'empty lists': ours(`[${many(() => '[]', 1e6)}]`),
        'lists in lists': fileOf('{"x":' + '['.repeat(3e6)),
        'a shape of ones': fileOf(
          `{"x":{"dtype":"U8","shape":[${many(() => '1', 1.5e6)}],"data_offsets":[0,1]}}`,
          1,
        ),
        'one of 2^50 bytes': fileOf(
          `{"x":{"dtype":"U8","shape":[${2 ** 50}],"data_offsets":[0,${2 ** 50}]}}`.padEnd(3e6),
        ),
      };
      const taken = (bytes: Buffer): number => {
        const file = path.join(folder, 'x.safetensors');
        writeFileSync(file, bytes);
        return Number(execFileSync(process.execPath, [child, file], { encoding: 'utf8' }));
      };
      const none = taken(fileOf('{}'));
      for (const [what, bytes] of Object.entries(files)) {
        const megabytes = taken(bytes) - none;
        assert.isBelow(megabytes, 60 * (bytes.length / 1e6), what);
      }
    }));
});
