/**
 * Names of files that are written aside, from which can be told whether their writer is gone. It
 * knows nothing of what is written.
 *
 * A name is `.tfjs-swa.TARGET.OWNER.ID.tmp`: a digest of the target's name (which may itself be as
 * long as a name can be), who writes, and a random number. Who writes is on Linux the boot and the
 * PID namespace, where a process number means something, the number, and when the process started.
 * A host name would not do: two containers may share it, and number their processes alike.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import path from 'node:path';
import { codeOf } from './file_errors.js';

/** The age at which a file is given up whose writer cannot be known, in milliseconds: a day. */
const GIVEN_UP = 24 * 60 * 60 * 1000;

/** A writer of whom nothing is known. */
const UNKNOWN = 'unknown';

/** A new name beside the target. */
export function temporaryFor(target: string): string {
  const name = [
    prefixOf(target),
    ownerOf() ?? UNKNOWN,
    '.',
    randomBytes(8).toString('hex'),
    '.tmp',
  ];
  return path.join(path.dirname(target), name.join(''));
}

/**
 * Removes what saves to this target left that ended before they were done: at once where the writer
 * was a process of this machine that is gone, after a day where it cannot be known, never while it
 * lives. What cannot be removed stays.
 *
 * @param now The time as the file system has it, whose clock may be another machine's, in ms.
 */
export function clearTemporaries(target: string, now: number): void {
  const folder = path.dirname(target);
  const prefix = prefixOf(target);
  try {
    for (const name of fs.readdirSync(folder)) {
      if (!name.startsWith(prefix)) continue;
      const [, owner] =
        /^(\w+|\w+-\d+-\d+)\.[0-9a-f]{16}\.tmp$/.exec(name.slice(prefix.length)) ?? [];
      if (owner === undefined) continue;
      const file = path.join(folder, name);
      const gone = isGone(owner) ?? now - fs.statSync(file).mtimeMs > GIVEN_UP;
      if (gone) fs.rmSync(file, { force: true });
    }
  } catch {
    // A folder that cannot be listed, another user's file, one that another save has cleared.
  }
}

function prefixOf(target: string): string {
  return `.tfjs-swa.${digest(path.basename(target))}.`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** This process, where the system tells of it: `PLACE-PID-START`. */
function ownerOf(): string | undefined {
  const place = placeOf();
  return place && `${place}-${process.pid}-${startOf(process.pid)}`;
}

/** Where this process's number means something; `undefined` where that cannot be known. */
function placeOf(): string | undefined {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
    const space = fs.readlinkSync('/proc/self/ns/pid');
    // /proc may be that of another namespace, with other numbers.
    const shown = fs.readlinkSync('/proc/self');
    return shown === String(process.pid) ? digest(boot + space) : undefined;
  } catch {
    return undefined; // no Linux, or no permission (Deno)
  }
}

/** When a process started, in ticks since the boot. */
function startOf(pid: number): string {
  // Field 22; the second is a name in brackets, with anything in it (man proc).
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').split(' ');
  return fields[20]!;
}

/** Whether a writer is gone; `undefined` where that cannot be known. */
function isGone(owner: string): boolean | undefined {
  const [place, pid, start] = owner.split('-');
  if (pid === undefined || place !== placeOf()) return undefined;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return true; // EPERM: it is another user's
  }
  try {
    return startOf(Number(pid)) !== start;
  } catch {
    return false; // other users' processes may be hidden
  }
}
