/**
 * Bytes that lie in several files, one after the other, read at any place. It knows nothing of what
 * they mean.
 */
import type { FileHandle } from 'node:fs/promises';
import { explained } from '../../checkpoint/file_errors.js';
import { openFile, readAt } from '../../checkpoint/safetensors_file.js';

/** A part of the bytes. */
export interface Segment {
  readonly file: string;
  /** Where in the file it begins. */
  readonly start: number;
  readonly size: number;
}

/** Bytes that are read at once where few are asked for, and what few are. */
const BLOCK = 2 ** 18;
const FEW = 2 ** 16;

/** One file at a time is open, for a model may have more shards than a process may open files. */
export class Segments {
  private readonly list: readonly (Segment & { readonly begin: number })[];
  private readonly size: number;
  /** What was read at once, for tensors are often small, and next to one another. */
  private readonly buffer: Uint8Array;
  private block = { begin: 0, end: 0 };

  /** @param current The file that is open, if one is. */
  constructor(
    segments: readonly Segment[],
    private current?: { readonly file: string; readonly handle: FileHandle },
  ) {
    let end = 0;
    this.list = segments.map((segment) => {
      end += segment.size;
      return { ...segment, begin: end - segment.size };
    });
    this.size = end;
    this.buffer = new Uint8Array(Math.min(BLOCK, end));
  }

  /** Fills an array with the bytes from a place on; one call at a time. */
  async read(bytes: Uint8Array, from: number): Promise<void> {
    if (bytes.length > FEW) return this.fill(bytes, from);
    const { begin, end } = this.block;
    if (from < begin || from + bytes.length > end) {
      this.block = { begin: from, end: Math.min(from + BLOCK, this.size) };
      await this.fill(this.buffer.subarray(0, this.block.end - from), from);
    }
    const at = from - this.block.begin;
    bytes.set(this.buffer.subarray(at, at + bytes.length));
  }

  /** Closes what is open. */
  async close(): Promise<void> {
    await this.current?.handle.close();
    delete this.current;
  }

  private async fill(bytes: Uint8Array, from: number): Promise<void> {
    for (let filled = 0; filled < bytes.length;) {
      const at = from + filled;
      const { file, start, begin, size } = this.segmentAt(at);
      const part = bytes.subarray(filled, filled + begin + size - at);
      await explained('load', file, this.readFrom(file, part, start + at - begin));
      filled += part.length;
    }
  }

  private async readFrom(file: string, bytes: Uint8Array, position: number): Promise<void> {
    if (this.current?.file !== file) {
      await this.close();
      this.current = { file, handle: (await openFile(file)).handle };
    }
    await readAt(this.current.handle, bytes, position);
  }

  /** The last one that begins there or before, and is not empty. */
  private segmentAt(at: number): Segment & { readonly begin: number } {
    let [low, high] = [0, this.list.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.list[middle]!.begin <= at) low = middle;
      else high = middle - 1;
    }
    return this.list[low]!;
  }
}
