/** What the command line asks for, checked. It knows nothing of what is in files. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { Refusal } from './refusal.js';

/** What is to be done. */
export type Request =
  | { readonly command: 'help'; readonly text: string }
  | { readonly command: 'info'; readonly file: string }
  | {
      readonly command: 'average';
      readonly inputs: readonly string[];
      /** The last so many of the folder that is the one input. */
      readonly last?: number;
      /** One for each input; without any all are 1. */
      readonly weights?: readonly number[];
      readonly out: string;
    };

const HELP = `Usage: tfjs-swa COMMAND [options]

  average A B ... --out C   averages models or weights in files
  info FILE                 what is in a file

tfjs-swa COMMAND --help tells more. A file is safetensors, or a tfjs model: its model.json, or
the folder of that.
`;

const AVERAGE = `Usage: tfjs-swa average A B ... --out C [--weights 3,1]
       tfjs-swa average --last N DIR --out C [--weights 3,1]

Averages the tensors of files by name, in float64, and writes them to C in the form of the first.
A file is safetensors, or a tfjs model: its model.json, or the folder of that.

  --out C        the file to write; of a model the model.json, or a folder that is there
  --weights W,W  how much each file counts, above 0   (default: all the same)
  --last N DIR   the last N files in the folder DIR, in natural order of their names (2 before
                 10): its .safetensors files, and its folders with a model.json; C is none of them
  --help         this text

Float tensors keep the dtype that the first file has, and are rounded once. Integer and bool
tensors are those of the last file, the state of a model's optimizer that of the first. Names and
shapes have to agree, and dtypes, but for one float dtype and another; else a list says what does
not, and nothing is written. Checkpoints of tfjs-swa's own are merged as mergeStateDicts does.

C is whole at any moment: it takes its place when all of it is on the disk. Exit code 0; 2 if the
command is wrong or files do not fit; 1 if a file cannot be read or written, or is damaged; 130 if
it was stopped by Ctrl-C, which leaves nothing.
`;

const INFO = `Usage: tfjs-swa info FILE

Lists the tensors of a file: name, dtype, shape and size.
A file is safetensors, or a tfjs model: its model.json, or the folder of that.

  --help         this text
`;

/**
 * Reads a command line.
 *
 * @param args Without the program's name.
 * @throws Refusal in one line.
 */
export function parseCommand(args: readonly string[]): Request {
  const [command, ...others] = args;
  if (command === 'average') return parseAverage(others);
  if (command === 'info') return parseInfo(others);
  if (command === '--help' || command === '-h') return { command: 'help', text: HELP };
  const what = command === undefined ? 'A command is missing' : `Unknown command ${command}`;
  throw new Refusal(`${what} (average or info; --help tells more)`);
}

function parseAverage(args: readonly string[]): Request {
  const { values, positionals: inputs } = parse(args, {
    out: { type: 'string' },
    weights: { type: 'string' },
    last: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values['help']) return { command: 'help', text: AVERAGE };
  const { out, weights: list, last: count } = values as Record<string, string | undefined>;
  if (out === undefined || out === '') throw new Refusal('--out is missing: the file to write');
  const last = count === undefined ? undefined : countOf(count);
  if (inputs.length === 0) throw new Refusal('Files to average are missing');
  if (last !== undefined && inputs.length !== 1) {
    throw new Refusal('--last N goes with one folder, and no files');
  }
  const weights = list?.split(',').map(weightOf);
  const files = last ?? inputs.length;
  if (weights && weights.length !== files) {
    throw new Refusal(`Invalid --weights: ${list} (expected ${files}, one for each file)`);
  }
  return {
    command: 'average',
    inputs,
    out,
    ...(weights && { weights }),
    ...(last !== undefined && { last }),
  };
}

function parseInfo(args: readonly string[]): Request {
  const { values, positionals } = parse(args, { help: { type: 'boolean', short: 'h' } });
  if (values['help']) return { command: 'help', text: INFO };
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) throw new Refusal('info takes one file');
  return { command: 'info', file };
}

function parse(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // Node explains at length; the first sentence says what is wrong.
    const [first] = (error as Error).message.split(/\.?\n|\. /);
    throw new Refusal(`${first} (--help lists the options)`);
  }
}

function countOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Refusal(`Invalid --last: ${text} (expected an integer >= 1)`);
}

function weightOf(text: string): number {
  const weight = /^\s*$/.test(text) ? NaN : Number(text);
  if (Number.isFinite(weight) && weight > 0) return weight;
  throw new Refusal(`Invalid --weights: ${text} (expected finite numbers > 0)`);
}
