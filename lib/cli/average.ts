/**
 * Averages files tensor by tensor, a piece at a time. It knows nothing of the command line, nor of
 * the forms of files.
 */
import { checkFit } from '../state/check_parts.js';
import { Refusal } from './refusal.js';
import { addTo, averageTo, isFloat } from './tensors/floats.js';
import type { Output, Source, Tensor } from './tensors/source.js';

/** Values that are summed up at a time: what the processor's cache holds. */
const PIECE = 2 ** 18;
/** Bytes of the widest. */
const WIDEST = 8;

/** How far it is. */
export type Progress = (done: number, total: number, tensor: string) => void;

/** What was done. */
export interface Summary {
  /** How many tensors were averaged, taken from the last file, and left as the first has them. */
  readonly averaged: number;
  readonly ofLast: number;
  readonly ofOptimizer: number;
  /** Names of tensors whose average has NaN or infinity in it. */
  readonly notFinite: readonly string[];
}

/** A tensor that is written, and those of the files that it is formed of. */
interface Job {
  readonly tensor: Tensor;
  readonly from: readonly { readonly k: number; readonly tensor: Tensor }[];
}

/**
 * Averages files: `sum(weight * value) / sum(weight)` in float64, rounded once to the dtype that the
 * first has. Integer and bool tensors are those of the last, an optimizer's those of the first.
 *
 * @param weights How much each counts, above 0.
 * @param create Begins what the first file's form is kept in, when all was checked.
 * @throws Refusal that lists what does not fit; nothing was begun then.
 */
export async function average(
  sources: readonly Source[],
  weights: readonly number[],
  create: (first: Source) => Promise<Output>,
  progress: Progress,
): Promise<Summary> {
  const jobs = jobsOf(sources);
  const output = await create(sources[0]!);
  try {
    const notFinite = await writeTo(output, sources, weights, jobs, progress);
    await output.commit();
    const ofOptimizer = jobs.filter(({ tensor }) => tensor.ofOptimizer).length;
    const averaged = jobs.filter(isAveraged).length;
    return { averaged, ofOptimizer, ofLast: jobs.length - averaged - ofOptimizer, notFinite };
  } catch (error) {
    output.discard();
    throw error;
  }
}

function isAveraged({ tensor }: Job): boolean {
  return isFloat(tensor.dtype) && !tensor.ofOptimizer;
}

/** What is to be done, checked. */
function jobsOf(sources: readonly Source[]): Job[] {
  const problems = sources.flatMap(({ path, tensors }) =>
    tensors.flatMap(({ name, refusal }) =>
      refusal === undefined
        ? []
        : `Cannot average ${path}: tensor ${JSON.stringify(name)}: ${refusal}`,
    ),
  );
  const byName = sources.map(
    ({ tensors }) => new Map(tensors.filter((t) => !t.ofOptimizer).map((t) => [t.name, t])),
  );
  const kindsOf = (tensors: Map<string, Tensor>): Map<string, string> =>
    new Map([...tensors].map(([name, tensor]) => [name, kindOf(tensor)]));
  const first = kindsOf(byName[0]!);
  sources.slice(1).forEach(({ path }, i) => {
    try {
      checkFit(`${path} does not fit ${sources[0]!.path}`, first, kindsOf(byName[i + 1]!));
    } catch (error) {
      problems.push((error as Error).message);
    }
  });
  if (problems.length > 0) throw new Refusal(problems.join('\n'));
  return sources[0]!.tensors.map((tensor): Job => {
    const all = byName.map((tensors, k) => ({ k, tensor: tensors.get(tensor.name)! }));
    if (tensor.ofOptimizer) return { tensor, from: [{ k: 0, tensor }] };
    return { tensor, from: isFloat(tensor.dtype) ? all : all.slice(-1) };
  });
}

/** What has to agree; a float dtype with any other, for the first's is what is written. */
function kindOf({ dtype, shape }: Tensor): string {
  return `${isFloat(dtype) ? 'float' : dtype} [${shape.join(',')}]`;
}

/** A part of a tensor in one of the files. */
interface Piece {
  readonly job: Job;
  /** Which of those that the job is formed of. */
  readonly i: number;
  /** Where in all of the file's bytes it begins, and how many it has. */
  readonly begin: number;
  readonly size: number;
  /** How many values it has; bytes, of what is copied. */
  readonly length: number;
}

function* piecesOf(jobs: readonly Job[]): Generator<Piece, void> {
  for (const job of jobs) {
    const { tensor, from } = job;
    const count = isAveraged(job) ? tensor.shape.reduce((a, b) => a * b, 1) : tensor.size;
    for (let at = 0; at < count; at += PIECE) {
      const length = Math.min(PIECE, count - at);
      for (const [i, { tensor: given }] of from.entries()) {
        const width = given.size / count;
        yield { job, i, begin: given.begin + at * width, size: length * width, length };
      }
    }
  }
}

/** The pieces with their bytes, which are good until the next one; that is read meanwhile. */
async function* readAhead(
  sources: readonly Source[],
  pieces: Generator<Piece, void>,
): AsyncGenerator<{ piece: Piece; bytes: Uint8Array<ArrayBuffer> }> {
  const buffers = [0, 1].map(() => new Uint8Array(WIDEST * PIECE));
  let turn = 0;
  const read = async ({ job, i, begin, size }: Piece, buffer: Uint8Array<ArrayBuffer>) => {
    const bytes = buffer.subarray(0, size);
    await sources[job.from[i]!.k]!.read(bytes, begin);
    return bytes;
  };
  const begin = () => {
    const { value: piece } = pieces.next();
    if (!piece) return null;
    turn = 1 - turn;
    const bytes = read(piece, buffers[turn]!);
    bytes.catch(() => {}); // it is waited for later
    return { piece, bytes };
  };
  let next = begin();
  try {
    while (next) {
      const { piece } = next;
      const bytes = await next.bytes;
      next = begin();
      yield { piece, bytes };
    }
  } finally {
    await next?.bytes.catch(() => {});
  }
}

/** Writes all tensors; the names of those that are not finite. */
async function writeTo(
  output: Output,
  sources: readonly Source[],
  weights: readonly number[],
  jobs: readonly Job[],
  progress: Progress,
): Promise<string[]> {
  const sums = new Float64Array(PIECE);
  const rounded = new Uint8Array(WIDEST * PIECE);
  const notFinite = new Set<string>();
  const totalWeight = weights.reduce((a, b) => a + b, 0);
  const total = jobs.reduce((a, { from }) => from.reduce((b, { tensor }) => b + tensor.size, a), 0);
  let done = 0;
  for await (const { piece, bytes } of readAhead(sources, piecesOf(jobs))) {
    const { job, i, size, length } = piece;
    const { tensor, from } = job;
    if (!isAveraged(job)) {
      await output.write(bytes);
    } else {
      const part = sums.subarray(0, length);
      const { k, tensor: given } = from[i]!;
      addTo(part, given.dtype, bytes, weights[k]!, i === 0);
      if (i === from.length - 1) {
        await output.write(roundTo(rounded, tensor, part, totalWeight, notFinite));
      }
    }
    done += size;
    progress(done, total, tensor.name);
  }
  return [...notFinite];
}

/** The bytes of averages; notes a tensor in which one is not finite. */
function roundTo(
  buffer: Uint8Array<ArrayBuffer>,
  { name, dtype }: Tensor,
  sums: Float64Array,
  total: number,
  notFinite: Set<string>,
): Uint8Array {
  try {
    const { bytes, odd } = averageTo(buffer, dtype, sums, total);
    if (odd > 0) notFinite.add(name);
    return bytes;
  } catch (error) {
    throw new Refusal(`Cannot average tensor ${JSON.stringify(name)}: ${(error as Error).message}`);
  }
}
