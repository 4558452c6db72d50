/** Checkpoints of no sense, at random and near to valid ones: loaded as they are or refused. */
import * as tf from '@tensorflow/tfjs-core';
import { assert } from 'chai';
import fc from 'fast-check';
import { deepStrictEqual } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadStateDict, saveStateDict } from 'tfjs-swa';
import { fileSystem } from 'tfjs-swa/node';
import { crc32 } from '../../lib/checkpoint/crc32.js';
import { effort } from '../support/effort.js';
import { inFolder, Memory } from '../support/handlers.js';

/** Cases in all; each property takes a share. */
const cases = { quick: 2_000, ci: 100_000, soak: 1_000_000 }[effort];
const share = (part: number): fc.Parameters<unknown> => ({
  numRuns: cases * part,
  // 100,000 random cases each time in CI; the same few at every `npm test`.
  ...(effort === 'quick' && { seed: 20261124 }),
});

/** Trees of state, tensors and all. */
const tree = fc.letrec<{ tree: unknown }>((tie) => {
  const tensor = fc.oneof(
    fc.float32Array({ maxLength: 4 }).map((values) => ['float32', values] as const),
    fc.int32Array({ maxLength: 4 }).map((values) => ['int32', values] as const),
    fc.uint8Array({ maxLength: 4 }).map((values) => ['bool', values] as const),
  );
  const key = fc.oneof(
    fc.string({ unit: 'binary' }).filter((name) => name !== '__proto__'),
    fc.constantFrom(
      '$',
      '$$',
      'constructor',
      'values',
      'toJSON',
      'then',
      '10',
      '2',
      'hasOwnProperty',
    ),
  );
  const leaf = fc.oneof(
    fc.double(),
    fc.constantFrom(-0, NaN, Infinity, null, true, false, '', '\ud800', '__proto__'),
    fc.string({ unit: 'binary' }),
    fc.record({ name: fc.string(), tensor }).map(({ name, tensor: [dtype, values] }) => ({
      name,
      dtype,
      shape: [values.length],
      values,
    })),
  );
  return {
    tree: fc.oneof(
      { maxDepth: 4, depthIdentifier: 'tree' },
      leaf,
      fc.array(tie('tree'), { maxLength: 4, depthIdentifier: 'tree' }),
      fc.dictionary(key, tie('tree'), {
        maxKeys: 4,
        depthIdentifier: 'tree',
        noNullPrototype: true,
      }),
    ),
  };
}).tree;

const load = async (artifacts: unknown): Promise<unknown> => {
  const memory = new Memory();
  memory.artifacts = artifacts as tf.io.ModelArtifacts;
  return loadStateDict<unknown>(memory);
};

const save = async (state: unknown): Promise<tf.io.ModelArtifacts> => {
  const memory = new Memory();
  await saveStateDict(memory, state as never);
  return memory.artifacts;
};

/** Refused with an Error that says something, or loaded: then it is a state that can be saved. */
async function check(loading: Promise<unknown>): Promise<'refused' | 'loaded'> {
  let state: unknown;
  try {
    state = await loading;
  } catch (error) {
    assert.instanceOf(error, Error);
    // A TypeError or RangeError would be one that nobody thought of.
    assert.equal((error as Error).name, 'Error', (error as Error).stack);
    assert.match((error as Error).message, /^Cannot load .*: ./s);
    return 'refused';
  } finally {
    assert.isEmpty(Object.keys(Object.prototype), 'no prototype is polluted');
  }
  deepStrictEqual(await load(await save(state)), state);
  return 'loaded';
}

/** A valid checkpoint with one thing changed in its structure, under a checksum that fits. */
function mutated(
  artifacts: tf.io.ModelArtifacts,
  where: number,
  to: unknown,
): tf.io.ModelArtifacts {
  const { header, ...topology } = artifacts.modelTopology as { header: string };
  const { __metadata__: metadata, ...tensors } = JSON.parse(header);
  const copy = structuredClone({
    tree: JSON.parse(metadata.tree) as unknown,
    metadata: metadata as Record<string, unknown>,
    tensors: tensors as Record<string, unknown>,
    topology: topology as Record<string, unknown>,
    weightSpecs: artifacts.weightSpecs,
    weightData: artifacts.weightData,
  });
  // All places where something stands, as its holder and its key.
  const places: [holder: Record<string, unknown>, key: string][] = [];
  const visit = (holder: object): void => {
    for (const [key, value] of Object.entries(holder)) {
      places.push([holder as Record<string, unknown>, key]);
      if (typeof value === 'object' && value !== null) visit(value as object);
    }
  };
  visit(copy);
  const [holder, key] = places[where % places.length]!;
  if (to === undefined) Reflect.deleteProperty(holder, key);
  else Object.defineProperty(holder, key, { value: to });
  const changedMetadata = holder === copy.metadata || (holder as unknown) === copy;
  const all = {
    __metadata__: changedMetadata
      ? copy.metadata
      : { ...copy.metadata, crc32: '00000000', tree: JSON.stringify(copy.tree) ?? '' },
    ...copy.tensors,
  };
  let text = JSON.stringify(all);
  text = text.padEnd(Math.ceil(new TextEncoder().encode(text).length / 8) * 8);
  // The checksum fits, unless the thing changed is beside it.
  if (!changedMetadata) {
    const json = new TextEncoder().encode(text);
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
    const bytes = copy.weightData instanceof ArrayBuffer ? new Uint8Array(copy.weightData) : [];
    const sum = crc32(Uint8Array.from([...length, ...json, ...bytes]));
    text = text.replace('"crc32":"00000000"', () => {
      return `"crc32":"${sum.toString(16).padStart(8, '0')}"`;
    });
  }
  return {
    modelTopology: { ...copy.topology, header: text },
    weightSpecs: copy.weightSpecs,
    weightData: copy.weightData,
  } as tf.io.ModelArtifacts;
}

const junk = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    -1,
    0,
    1,
    2,
    3,
    1.5,
    1e9,
    2 ** 53,
    2 ** 53 - 1,
    '',
    '$',
  ),
  fc.constantFrom<unknown>([], {}, [1e9], [65536, 65536], [0, 2 ** 53 - 1], 'NaN', 'int32', 'bool'),
  fc.constantFrom<unknown>({ $: 'NaN' }, { $: {} }, { $: 1, a: 2 }, 'x', 'constructor'),
  fc.constant(JSON.parse('{"__proto__":{"polluted":1}}') as unknown),
  fc.anything({ maxDepth: 2 }).filter((value) => {
    try {
      structuredClone(value);
      return true;
    } catch {
      return false; // a handler could not hand it out
    }
  }),
);

describe('fuzzed checkpoints', function () {
  this.timeout(1_200_000);

  it(`${cases * 0.2} trees: given back as they were`, async () => {
    await fc.assert(
      fc.asyncProperty(tree, async (state) =>
        deepStrictEqual(await load(await save(state)), state),
      ),
      share(0.2),
    );
  });

  it(`${cases * 0.2} artifacts of anything: refused`, async () => {
    const artifacts = fc.oneof(
      fc.anything(),
      fc.record({
        modelTopology: fc.anything(),
        weightSpecs: fc.anything(),
        weightData: fc.anything(),
      }),
      fc.record({
        modelTopology: fc.record({
          format: fc.constant('tfjs-swa checkpoint'),
          header: fc.oneof(
            fc.json(),
            fc.anything(),
            fc
              .record({ tree: fc.json(), tfjs_swa: fc.constant('1'), crc32: fc.string() })
              .map((metadata) => JSON.stringify({ __metadata__: metadata })),
          ),
        }),
        weightSpecs: fc.oneof(fc.constant([]), fc.anything()),
        weightData: fc.oneof(fc.constant(new ArrayBuffer(0)), fc.anything()),
      }),
    );
    await fc.assert(
      fc.asyncProperty(artifacts, async (value) =>
        assert.equal(await check(load(value)), 'refused'),
      ),
      share(0.2),
    );
  });

  it(`${cases * 0.5} valid ones with one thing changed: refused, or loaded as they say`, async () => {
    const counts = { refused: 0, loaded: 0 };
    await fc.assert(
      fc.asyncProperty(tree, fc.nat(), junk, async (state, where, to) => {
        counts[await check(load(mutated(await save(state), where, to)))] += 1;
      }),
      share(0.5),
    );
    assert.isAbove(counts.refused, cases / 10);
    assert.isAbove(counts.loaded, cases / 100, 'some only have another value');
  });

  it(`${cases * 0.1} files with bytes changed, cut or added: refused`, () =>
    inFolder(async (folder) => {
      const file = `${folder}/state.safetensors`;
      const state = {
        a: [{ name: 'x', dtype: 'float32' as const, shape: [2], values: new Float32Array(2) }],
      };
      await saveStateDict(fileSystem(file), state);
      const valid = readFileSync(file);
      const change = fc.record({
        at: fc.nat(valid.length),
        remove: fc.nat(8),
        insert: fc.oneof(
          fc.uint8Array({ maxLength: 8 }),
          fc.uint8Array({ minLength: 4, maxLength: 4 }),
        ),
      });
      const files = fc.oneof(
        fc.uint8Array(),
        fc.uint8Array().map((bytes) => Buffer.concat([valid.subarray(0, 8), bytes])),
        fc
          .array(change, { minLength: 1, maxLength: 3 })
          .map((list) =>
            list.reduce(
              (bytes, { at, remove, insert }) =>
                Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]),
              valid,
            ),
          ),
      );
      await fc.assert(
        fc.asyncProperty(files, async (bytes) => {
          fc.pre(!valid.equals(bytes));
          writeFileSync(file, bytes);
          assert.equal(await check(loadStateDict(fileSystem(file))), 'refused');
        }),
        share(0.1),
      );
    }));

  it(`${cases * 0.2} headers near to those of others: refused, or loaded as they say`, () =>
    inFolder(async (folder) => {
      const file = `${folder}/others.safetensors`;
      const dtype = fc.constantFrom('F64', 'F32', 'F16', 'BF16', 'I64', 'I32', 'U8', 'BOOL');
      const widths = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U8: 1, BOOL: 1 } as const;
      const tensors = fc.array(
        fc.record({
          name: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('0', 'crc32', 'toString')),
          dtype,
          shape: fc.array(fc.nat(3), { maxLength: 3 }),
        }),
        { maxLength: 3 },
      );
      const counts = { refused: 0, loaded: 0 };
      await fc.assert(
        fc.asyncProperty(tensors, fc.nat(), junk, fc.boolean(), async (list, where, to, change) => {
          let end = 0;
          const header = list.map(({ name, dtype, shape }) => {
            const begin = end;
            end += shape.reduce((size, length) => size * length, widths[dtype as 'F64']);
            return [name, { dtype, shape, data_offsets: [begin, end] }] as [string, unknown];
          });
          const places = header.flatMap(([, entry]) =>
            [entry as Record<string, unknown>].flatMap((holder) => [
              ...Object.keys(holder).map((key) => [holder, key] as const),
              ...[0, 1].map((key) => [holder['data_offsets'], key] as const),
            ]),
          );
          if (change && places.length > 0) {
            const [holder, key] = places[where % places.length]! as [
              Record<string, unknown>,
              string,
            ];
            holder[key] = to;
          }
          // By hand, so that a name may stand there twice.
          const items = header.map(([name, e]) => `${JSON.stringify(name)}:${JSON.stringify(e)}`);
          const json = Buffer.from(`{${items.join()}}`);
          const length = Buffer.alloc(8);
          length.writeBigUInt64LE(BigInt(json.length));
          writeFileSync(file, Buffer.concat([length, json, Buffer.alloc(end)]));
          const names = new Set(list.map(({ name }) => Buffer.from(name).toString()));
          const outcome = await check(loadStateDict(fileSystem(file)));
          counts[outcome] += 1;
          const bad = names.size < list.length || names.has('__proto__');
          if (bad) assert.equal(outcome, 'refused');
          else if (!change) assert.equal(outcome, 'loaded');
        }),
        share(0.2),
      );
      assert.isAbove(counts.refused, cases / 50);
      assert.isAbove(counts.loaded, cases / 50);
    }));
});
