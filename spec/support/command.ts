/** The command `tfjs-swa` as a process, and files for it, written without the library. */
import { build } from 'esbuild';
import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Inside the project, where imports find its packages; a folder of this run alone. */
const folder = path.join(import.meta.dirname, '../.tmp', `command-${process.pid}`);

let built: ReturnType<typeof bundle> | undefined;

/** The command, bundled once: what is imported late stays in files of its own. */
export function commandBundle(): ReturnType<typeof bundle> {
  return (built ??= bundle());
}

async function bundle() {
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const { metafile } = await build({
    entryPoints: [path.join(import.meta.dirname, '../../lib/cli/main.ts')],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    metafile: true,
    logLevel: 'silent',
  });
  return { file: path.join(folder, 'main.mjs'), metafile };
}

/** What a process did. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in a folder; `onStart` is handed the process. */
export async function runCommand(
  args: readonly string[],
  {
    node = [],
    onStart,
    ...options
  }: SpawnOptions & {
    node?: string[];
    onStart?: (child: ReturnType<typeof spawn>) => void;
  } = {},
): Promise<Ran> {
  const { file } = await commandBundle();
  const child = spawn(process.execPath, [...node, file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => (texts[name] += text));
  }
  onStart?.(child);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

/**
 * Has Node say how much memory the process took at most, in MB, as the last line of stderr. By /proc
 * where there is one: what `resourceUsage` tells includes what the process took that started it.
 */
export const SAY_MEMORY = [
  '--import',
  `data:text/javascript,${encodeURIComponent(`
    import { existsSync, readFileSync } from 'node:fs';
    process.on('exit', () => {
      const file = '/proc/self/status';
      const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
      const [, kB = process.resourceUsage().maxRSS] = /VmHWM:\\s+(\\d+)/.exec(text) ?? [];
      console.error(kB / 1e3);
    });
  `)}`,
];

/** A tensor as safetensors has it. */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A tensor of a typed array, which is little-endian here. */
export function stored(dtype: string, values: ArrayBufferView, shape?: number[]): StoredTensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { dtype, shape: shape ?? [(values as Uint8Array).length], bytes };
}

export const f32 = (...values: number[]): StoredTensor => stored('F32', Float32Array.from(values));

/** The bytes of a safetensors file. */
export function safetensors(
  tensors: Readonly<Record<string, StoredTensor>>,
  metadata?: Record<string, string>,
): Buffer {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
    end += bytes.length;
    return [name, { dtype, shape, data_offsets: [end - bytes.length, end] }] as const;
  });
  const all = metadata ? [['__metadata__', metadata] as const, ...entries] : entries;
  const json = Buffer.from(JSON.stringify(Object.fromEntries<unknown>(all)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...Object.values(tensors).map(({ bytes }) => bytes)]);
}

/** What is in a safetensors file. */
export function readSafetensors(file: string): {
  json: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  headerLength: number;
  tensors: Record<string, StoredTensor>;
} {
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE());
  const json = JSON.parse(bytes.subarray(8, 8 + headerLength).toString()) as ReturnType<
    typeof readSafetensors
  >['json'];
  const tensors = Object.entries(json).flatMap(([name, { dtype, shape, data_offsets: range }]) => {
    if (name === '__metadata__') return [];
    const [from, to] = range.map((offset) => 8 + headerLength + offset);
    return [[name, { dtype, shape, bytes: Uint8Array.from(bytes.subarray(from, to)) }] as const];
  });
  return { json, headerLength, tensors: Object.fromEntries(tensors) };
}

/** The values of an F32 tensor in a file. */
export function valuesIn(file: string, name: string): number[] {
  return [...new Float32Array(readSafetensors(file).tensors[name]!.bytes.slice().buffer)];
}

/** Writes a tfjs model of float32 weights, cut into shards of so many bytes. */
export function writeModel(
  file: string,
  weights: Readonly<Record<string, readonly number[]>>,
  { shard = 4 * 2 ** 20, name = 'group1', format = 'layers-model', more = {} } = {},
): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const data = Buffer.from(Float32Array.from(Object.values(weights).flat()).buffer);
  const paths: string[] = [];
  for (let at = 0; at < data.length; at += shard) {
    paths.push(`${name}-shard${paths.length + 1}of${Math.ceil(data.length / shard)}.bin`);
    writeFileSync(path.join(path.dirname(file), paths.at(-1)!), data.subarray(at, at + shard));
  }
  const specs = Object.entries(weights).map(([key, values]) => {
    return { name: key, shape: [values.length], dtype: 'float32' };
  });
  const model = {
    modelTopology: { of: file },
    format,
    generatedBy: 'a spec',
    convertedBy: null,
    weightsManifest: [{ paths, weights: specs }],
    ...more,
  };
  writeFileSync(file, JSON.stringify(model));
}
