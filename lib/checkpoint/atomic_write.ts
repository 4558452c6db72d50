/**
 * Files that hold the bytes before or those after at any moment, whole, whoever is killed or writes
 * beside. It knows nothing of what the bytes mean.
 */
import * as fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { checkRegular, codeOf, problem } from './file_errors.js';
import { clearTemporaries, temporaryFor } from './temporary_files.js';

/** A file that is written, and is to take the place of another. */
export interface Staged {
  readonly target: string;
  readonly temporary: string;
  readonly fd: number;
  /** The permissions that it is to have. */
  readonly mode: number;
}

/** The saves to one path: one is at work, and of those that wait only the last counts. */
interface Line {
  atWork: Promise<void>;
  waiting?: { staged: Staged; done: Promise<void> } | undefined;
}

/** By path; of all copies of this module in the thread, the ES module and the CommonJS one. */
const lines: Map<string, Line> = ((globalThis as Record<symbol, unknown>)[
  Symbol.for('tfjs-swa: lines of saves, 1')
] ??= new Map()) as Map<string, Line>;

/**
 * Writes a file beside another, syncs it to the disk, renames it over the other and syncs the
 * folder. The bytes are written before this function returns its promise: into the system's cache,
 * which is faster than a copy of them in memory, and so they are those of the moment of the call.
 *
 * Saves to one path in one thread are done in the order of the calls. Of those that wait for another
 * only the last takes place, and all of these are answered with its outcome.
 *
 * @param file An absolute path; symbolic links are followed, dangling ones too.
 * @param write Writes the bytes ({@link writeAll}).
 * @param createFolder Whether to make the folder.
 * @throws Error of the system; the file is then as it was, and no other is left.
 */
export async function replaceFile(
  file: string,
  write: (fd: number) => void,
  createFolder: boolean,
): Promise<void> {
  const staged = stage(file, write, createFolder);
  const { target } = staged;
  const begin = (line: Line, next: Staged): Promise<void> => {
    line.waiting = undefined;
    line.atWork = commit(next).finally(() => {
      if (!line.waiting) lines.delete(target);
    });
    return line.atWork;
  };
  const line = lines.get(target);
  if (!line) {
    const first = {} as Line;
    lines.set(target, first);
    return begin(first, staged);
  }
  if (line.waiting) {
    discard(line.waiting.staged);
    line.waiting.staged = staged;
  } else {
    const next = (): Promise<void> => begin(line, line.waiting!.staged);
    line.waiting = { staged, done: line.atWork.then(next, next) };
  }
  return line.waiting.done;
}

/** Writes all of the bytes, at the position or, without one, where the last write ended. */
export function writeAll(fd: number, bytes: Uint8Array, position: number | null = null): void {
  for (let done = 0; done < bytes.length;) {
    const at = position === null ? null : position + done;
    const written = fs.writeSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), at);
    if (written === 0) throw problem('ENOSPC');
    done += written;
  }
}

function stage(given: string, write: (fd: number) => void, createFolder: boolean): Staged {
  const staged = begin(given, createFolder);
  try {
    write(staged.fd);
    setMode(staged);
    return staged;
  } catch (error) {
    discard(staged);
    throw error;
  }
}

/**
 * Opens a file that is to take the place of another.
 *
 * @throws Error of the system, if the other could not be written.
 */
export function begin(given: string, createFolder: boolean): Staged {
  const target = followLinks(given, createFolder);
  const before = fs.statSync(target, { throwIfNoEntry: false });
  if (before) {
    checkRegular(before);
    fs.accessSync(target, fs.constants.W_OK); // a rename would not ask
  }
  const temporary = temporaryFor(target);
  const fd = fs.openSync(temporary, 'wx', 0o600); // nobody else reads it before it is the file
  try {
    clearTemporaries(target, fs.fstatSync(fd).mtimeMs);
    return { target, temporary, fd, mode: (before?.mode ?? modeOfNew(target)) & 0o777 };
  } catch (error) {
    discard({ temporary, fd });
    throw error;
  }
}

/** Gives a file that is written its permissions. */
export function setMode({ fd, mode }: Pick<Staged, 'fd' | 'mode'>): void {
  // Not all file systems know modes, and some of these refuse to change one.
  if (mode !== (fs.fstatSync(fd).mode & 0o777)) fs.fchmodSync(fd, mode);
}

/** Where a file is, or would be, behind its links. */
function followLinks(given: string, createFolder: boolean): string {
  if (createFolder) fs.mkdirSync(path.dirname(given), { recursive: true });
  try {
    return fs.realpathSync(given); // ELOOP if they lead in a circle
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const folder = fs.realpathSync(path.dirname(given));
  const file = path.join(folder, path.basename(given));
  const isLink = fs.lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink();
  return isLink ? followLinks(path.resolve(folder, fs.readlinkSync(file)), createFolder) : file;
}

/** The mode of a new file here, which umask and the folder's own rules decide. */
function modeOfNew(target: string): number {
  const probe = temporaryFor(target);
  const fd = fs.openSync(probe, 'wx', 0o666);
  try {
    return fs.fstatSync(fd).mode;
  } finally {
    fs.closeSync(fd);
    fs.rmSync(probe, { force: true });
  }
}

async function commit({ target, temporary, fd }: Staged): Promise<void> {
  try {
    await promisify(fs.fsync)(fd).finally(() => fs.closeSync(fd));
    await fs.promises.rename(temporary, target);
  } catch (error) {
    remove(temporary);
    throw error;
  }
  await syncFolder(path.dirname(target));
}

/** Gives a file up. */
export function discard({ temporary, fd }: Pick<Staged, 'temporary' | 'fd'>): void {
  try {
    fs.closeSync(fd);
  } catch {
    // The error that led here is the one to hear of.
  }
  remove(temporary);
}

/** Removes a file if it can. */
export function remove(file: string): void {
  try {
    fs.rmSync(file, { force: true });
  } catch {
    // A later save clears it.
  }
}

/** Makes a rename last through a power cut, where the system knows how to. */
export async function syncFolder(folder: string): Promise<void> {
  const cannot = ['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'ENOSYS']; // Windows, some networks
  try {
    const handle = await fs.promises.open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    if (!cannot.includes(codeOf(error) ?? '')) throw error;
  }
}
