/** What goes wrong with files, in words. It knows nothing of what is in them. */
import path from 'node:path';

/** What the system's codes mean to one who saves or loads a file. */
const CAUSES: Record<string, string> = {
  EISDIR: 'it is a folder',
  ENOTFILE: 'it is no file',
  ENOTDIR: 'a part of the path is no folder',
  EEXIST: 'a part of the path is no folder', // of mkdir
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
};

/** An error of a code that the system would have thrown. */
export function problem(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** The system's code of an error, if it has one. */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Refuses what is no regular file: a folder, a device, a pipe that would wait for ever. */
export function checkRegular(stats: { isDirectory(): boolean; isFile(): boolean }): void {
  if (stats.isDirectory()) throw problem('EISDIR');
  if (!stats.isFile()) throw problem('ENOTFILE');
}

/** Passes on what a save or a load gives; an error names the path and the cause. */
export async function explained<T>(
  action: 'save' | 'load',
  target: string,
  result: Promise<T>,
): Promise<T> {
  try {
    return await result;
  } catch (error) {
    const { message } = error as Error;
    const missing =
      action === 'save' ? `there is no folder ${path.dirname(target)}` : 'there is no such file';
    const cause = codeOf(error) === 'ENOENT' ? missing : CAUSES[codeOf(error) ?? ''];
    throw new Error(`Cannot ${action} ${target}: ${cause ?? message}`, { cause: error });
  }
}
