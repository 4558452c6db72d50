/** Where the programs of browsers are on this machine. */
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** The first of some programs that is on the PATH; else undefined. */
export function onPath(...names: string[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.flatMap((at) => names.map((name) => path.join(at, name))).find(isProgram);
}

/** Whether a file can be run. */
export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
