/**
 * Files that are written aside and take their places at the end, all or none. It knows nothing of
 * what is in them.
 */
import * as fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  begin,
  discard,
  remove,
  setMode,
  syncFolder,
  writeAll,
  type Staged,
} from '../../checkpoint/atomic_write.js';
import { temporaryFor } from '../../checkpoint/temporary_files.js';

/** A file that is written aside. */
export class AsideFile {
  private isOpen = true;

  constructor(private readonly staged: Staged) {}

  /** Writes all of the bytes, at a position or where the last ones ended. */
  write(bytes: Uint8Array, position?: number): void {
    writeAll(this.staged.fd, bytes, position);
  }

  /** Puts what was written on the disk, and closes the file. */
  async seal(): Promise<void> {
    setMode(this.staged);
    await promisify(fs.fsync)(this.staged.fd);
    this.isOpen = false;
    fs.closeSync(this.staged.fd);
  }

  /** Puts it in its place. */
  place(): void {
    fs.renameSync(this.staged.temporary, this.staged.target);
  }

  /** Removes it, wherever it is. */
  discard(isPlaced: boolean): void {
    if (this.isOpen) discard(this.staged);
    else remove(isPlaced ? this.staged.target : this.staged.temporary);
    this.isOpen = false;
  }
}

/** One file, and others beside it that take their places before it does. */
export class FilesAside {
  /** The file. */
  readonly main: AsideFile;
  private readonly staged: Staged;
  private readonly others: AsideFile[] = [];
  /** The upmost folder that was made for it. */
  private readonly made: string | undefined;
  private placed = 0;
  private isDone = false;

  /**
   * Begins the file, with folders where there are none.
   *
   * @throws Error of the system, if it cannot be written.
   */
  constructor(private readonly file: string) {
    this.made = fs.mkdirSync(path.dirname(file), { recursive: true });
    try {
      this.staged = begin(file, false);
    } catch (error) {
      this.removeFolders();
      throw error;
    }
    this.main = new AsideFile(this.staged);
  }

  /** Begins a file of a new name beside the main one. */
  add(name: string): AsideFile {
    const { target, mode } = this.staged;
    // Under a name of the main file's, whose next writer clears what a kill leaves.
    const temporary = temporaryFor(target);
    const fd = fs.openSync(temporary, 'wx', 0o600);
    const file = new AsideFile({
      target: path.join(path.dirname(target), name),
      temporary,
      fd,
      mode,
    });
    this.others.push(file);
    return file;
  }

  /** Puts all in their places, the main file last; the others are sealed. */
  async commit(): Promise<void> {
    const folder = path.dirname(this.staged.target);
    await this.main.seal();
    for (const file of this.others) {
      file.place();
      this.placed += 1;
    }
    if (this.placed > 0) await syncFolder(folder);
    this.main.place();
    this.isDone = true;
    await syncFolder(folder);
  }

  /** Removes all that was made, unless it is in its place; at any moment, from a signal too. */
  discard(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.main.discard(false);
    this.others.forEach((file, i) => file.discard(i < this.placed));
    this.removeFolders();
  }

  private removeFolders(): void {
    const { made } = this;
    if (made === undefined) return;
    try {
      for (let folder = path.dirname(this.file); ; folder = path.dirname(folder)) {
        fs.rmdirSync(folder);
        if (folder === made) return;
      }
    } catch {
      // Another has put something there.
    }
  }
}
