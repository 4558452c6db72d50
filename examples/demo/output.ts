/** Writes the demo's files, whole or not at all. It knows nothing of what is in them. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A file by name. */
export type Files = Record<string, string | Uint8Array>;

/**
 * Writes all files under temporary names, then renames them. It does so in one go, without letting
 * a signal in between; whatever fails, no temporary or half-written file stays.
 */
export function writeFiles(folder: string, files: Files): void {
  mkdirSync(folder, { recursive: true });
  const names = Object.keys(files).map((name) => ({
    file: path.join(folder, name),
    temporary: path.join(folder, `.${name}.${process.pid}.tmp`),
    content: files[name]!,
  }));
  try {
    for (const { temporary, content } of names) writeFileSync(temporary, content);
    for (const { temporary, file } of names) renameSync(temporary, file);
  } finally {
    for (const { temporary } of names) rmSync(temporary, { force: true });
  }
}
