/**
 * The safetensors format: the length of a header, the header, which is JSON, and the bytes of
 * tensors. It knows nothing of where they are kept, nor of what tensors and the tree mean.
 *
 * In `__metadata__` a file of ours has the tree of a state (`tree`), the version of the format
 * (`tfjs_swa`) and a CRC-32 of the whole file with these eight digits as `0` (`crc32`).
 * The format: spec/checkpoints/README.md.
 */
import { invalid, isCount, shown } from '../check.js';
import { visitKeys } from '../state/json_text.js';

/** The version that is written, and the last that is read. */
const VERSION = '1';

/** Bytes of a header that safetensors' own readers refuse; a longer one is refused unread. */
export const MAX_HEADER = 100_000_000;

/** Bytes before the header: its length, a little-endian uint64. */
export const PREFIX = 8;

/** Bytes of one value, by the dtypes that are read. */
export const WIDTHS: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  BOOL: 1,
};

/** Where the digits of the checksum stand before it is known. */
const NO_DIGITS = '00000000';

/** A tensor as it is stored. */
export interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its values, little-endian. */
  readonly bytes: Uint8Array;
}

/** A file that is to be written. */
export interface Layout {
  /** The prefix and the header, with zeros for the checksum's digits. */
  readonly head: Uint8Array<ArrayBuffer>;
  /** Where in the file the digits belong. */
  readonly digitsAt: number;
  /** The tensors by name, in the order of their bytes, which follow one another. */
  readonly tensors: readonly (Stored & { readonly name: string })[];
}

/** A tensor in a file. */
export interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: number[];
  /** How many bytes it has. */
  readonly size: number;
}

/** What the header of a file says. */
export interface Header {
  /** In the order of their bytes, which fill the rest of the file. */
  readonly entries: readonly Entry[];
  /** Of a file of ours. */
  readonly ours?: {
    readonly tree: string;
    readonly crc32: string;
    /** Where in the file its digits stand. */
    readonly digitsAt: number;
    /** The prefix and the header as the checksum takes them. */
    readonly head: Uint8Array;
  };
}

/** A file that was read. */
export interface SafetensorsFile {
  readonly header: Header;
  /** The bytes of each tensor by its name, in a buffer of their own. */
  readonly bytes: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/**
 * Lays a file out. As in safetensors' own writers, tensors of wide values come first, so that each
 * begins at a multiple of its width.
 *
 * @param tensors By name; a Map, for a record would put names like `0` first.
 * @throws Error if the header is too long for a file that others can read.
 */
export function layOut(tree: string, tensors: ReadonlyMap<string, Stored>): Layout {
  const ordered = [...tensors]
    .map(([name, stored]) => ({ ...stored, name }))
    .sort((a, b) => WIDTHS[b.dtype]! - WIDTHS[a.dtype]!);
  let end = 0;
  const entries = ordered.map(({ name, dtype, shape, bytes }) => {
    const begin = end;
    end += bytes.length;
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const;
  });
  const metadata = { crc32: NO_DIGITS, tfjs_swa: VERSION, tree };
  const text = JSON.stringify(Object.fromEntries([['__metadata__', metadata], ...entries]));
  const json = new TextEncoder().encode(text);
  const length = Math.ceil(json.length / 8) * 8; // what follows is aligned
  if (length >= MAX_HEADER) {
    invalid('state', `${json.length} bytes of text`, `less than ${MAX_HEADER} beside its tensors`);
  }
  const head = new Uint8Array(PREFIX + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(json, PREFIX);
  return { head, digitsAt: PREFIX + byteOffset(text, findDigits(text).at!), tensors: ordered };
}

/** A checksum as it stands in a file. */
export function toDigits(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}

/** @throws Error if a file of ours, whose bytes have this checksum, is not what it was. */
export function checkSum({ ours }: Header, sum: number): void {
  if (!ours || toDigits(sum) === ours.crc32) return;
  throw new Error(`it is damaged: its checksum is ${toDigits(sum)}, not ${ours.crc32}`);
}

/**
 * Reads a header. Nothing of it is trusted, and no memory is taken by what it says.
 *
 * @param json Its bytes.
 * @param size Bytes of the file that follow it.
 * @param widths Bytes of one value, by the dtypes that may be in it.
 * @throws Error that says what is wrong with it.
 */
export function readHeader(json: Uint8Array, size: number, widths = WIDTHS): Header {
  let text: string;
  let parsed: unknown;
  let found: ReturnType<typeof findDigits>;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
    if (!text.startsWith('{')) throw new Error('it does not begin with {');
    found = findDigits(text);
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Error('it is no safetensors file, or damaged: its header is no JSON of one', {
      cause: error,
    });
  }
  const { __metadata__: metadata = {}, ...tensors } = parsed as Record<string, unknown>;
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== 'string')) {
    return invalid('__metadata__', metadata, 'a record of strings');
  }
  const names = Object.keys(tensors);
  const ranges = names.map((name) => checkEntry(name, tensors[name], widths));
  // JSON.parse keeps the last of equal keys; an entry has three.
  const keys = Object.keys(parsed as object).length + Object.keys(metadata).length;
  if (found.keys !== keys + 3 * names.length) throw new Error('its header has a key twice');

  ranges.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const { name, begin, end: next } of ranges) {
    if (begin !== end) {
      throw new Error(`its tensor ${shown(name)} begins at byte ${begin} of the data, not ${end}`);
    }
    end = next;
  }
  if (end !== size) throw new Error(`it has ${size} bytes of tensors, not ${end}`);
  const entries = ranges.map(({ name, dtype, shape, begin, end }) => {
    return { name, dtype, shape, size: end - begin };
  });
  const ours = checkOurs(metadata as Record<string, string>, json, text, found.at);
  return { entries, ...(ours && { ours }) };
}

/** How many keys a header has, and where in it the digits of the checksum stand. */
function findDigits(text: string): { keys: number; at?: number } {
  let keys = 0;
  let at: number | undefined;
  // Three levels: the header, a tensor, its shape.
  visitKeys(text, 3, (from, to, value) => {
    keys += 1;
    // A tensor may have this name too; its value is a record.
    if (to - from === 5 && text.startsWith('crc32"', from) && text[value] === '"') at = value + 1;
  });
  return { keys, ...(at !== undefined && { at }) };
}

/** Where in the bytes of a text the character stands that is there. */
function byteOffset(text: string, at: number): number {
  return new TextEncoder().encode(text.slice(0, at)).length;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkEntry(name: string, entry: unknown, widths: typeof WIDTHS) {
  const label = `tensor ${JSON.stringify(name)}`;
  if (name === '__proto__') invalid('name of a tensor', name, 'another');
  if (!isRecord(entry)) return invalid(label, entry, 'a record');
  const { dtype, shape, data_offsets: offsets, ...others } = entry;
  const width = typeof dtype === 'string' && Object.hasOwn(widths, dtype) ? widths[dtype]! : NaN;
  if (!width) invalid(`dtype of ${label}`, dtype, Object.keys(widths).join(', '));
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return invalid(`shape of ${label}`, shape, 'a list of integers >= 0');
  }
  const ordered = Array.isArray(offsets) && offsets.length === 2 && offsets.every(isCount);
  const [begin, end] = ordered ? (offsets as [number, number]) : [NaN, NaN];
  if (!(begin <= end)) invalid(`data_offsets of ${label}`, offsets, 'two integers, in order');
  const wanted = shape.reduce((bytes, length) => bytes * length, width);
  if (wanted !== end - begin) {
    throw new Error(`its ${label} has ${end - begin} bytes, and its shape asks for ${wanted}`);
  }
  const stray = Object.keys(others)[0];
  if (stray !== undefined) throw new Error(`Unknown ${stray} of ${label}`);
  return { name, dtype: dtype as string, shape: shape, begin, end };
}

/** What only our files have; `undefined` if there is nothing of it. */
function checkOurs(
  metadata: Record<string, string>,
  json: Uint8Array,
  text: string,
  at = NaN,
): Header['ours'] {
  const has = (key: string): boolean => Object.hasOwn(metadata, key);
  const keys = ['tree', 'tfjs_swa', 'crc32'];
  if (!keys.some(has)) return undefined;
  const missing = keys.find((key) => !has(key));
  if (missing !== undefined) throw new Error(`it is damaged: its metadata have no ${missing}`);
  const { tree = '', tfjs_swa: version, crc32 = '' } = metadata;
  if (version !== VERSION) {
    throw new Error(
      `it has version ${shown(version)} of the format, and this tfjs-swa reads version ${VERSION}: ` +
        'a later tfjs-swa is needed, or it is damaged',
    );
  }
  if (!/^[0-9a-f]{8}$/.test(crc32) || text.slice(at, at + 8) !== crc32) {
    return invalid('crc32', crc32, '8 hexadecimal digits');
  }
  const head = new Uint8Array(PREFIX + json.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(json.length), true);
  head.set(json, PREFIX);
  const digitsAt = PREFIX + byteOffset(text, at);
  head.fill(0x30, digitsAt, digitsAt + 8);
  return { tree, crc32, digitsAt, head };
}
